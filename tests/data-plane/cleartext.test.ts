/**
 * Passwords in clear go through TLS alone, unless somebody has said otherwise: from clients to the
 * proxy, and from the proxy to servers that ask for them.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { ClientAuth, PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import { Authority } from '../support/certificates.ts';
import { scratchOfTest } from '../support/scratch.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'cleartext secret';
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  const authority = await Authority.create('Cleartext authority');
  const pair = await authority.issue({ commonName: 'localhost', dnsNames: ['localhost'] });
  cluster = await startPostgresCluster({
    superuserPassword: PASSWORD,
    tls: pair,
    hba: ['host all clear 127.0.0.1/32 password'],
  });
  await cluster.sql('postgres', `CREATE ROLE clear LOGIN PASSWORD '${PASSWORD}'`);
  const folder = (await scratchOfTest()).path;
  const [cert, key] = [join(folder, 'proxy.crt'), join(folder, 'proxy.key')];
  writeFileSync(cert, pair.cert);
  writeFileSync(key, pair.key);
  proxy = await TestProxy.start({
    tenants: [],
    env: { DBBOUNCER_TLS_CERT: cert, DBBOUNCER_TLS_KEY: key },
  });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

async function set(pool: PoolOverrides, changes: Partial<TestTenant> = {}): Promise<void> {
  await proxy.setTenant({
    id: 'acme',
    port: cluster.port,
    database: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool: { minConnections: 0, ...pool },
    ...changes,
  });
}

/** What a client is asked for, and whether it is then let in. */
async function login(ssl: 'tls' | 'clear', user = 'postgres', database = 'acme'): Promise<string> {
  const client = new Client({
    host: proxy.host,
    port: proxy.port,
    user,
    password: PASSWORD,
    database,
    ssl: ssl === 'tls' ? { rejectUnauthorized: false } : false,
  });
  let asked = 'nothing';
  const { connection } = client as unknown as { connection: NodeJS.EventEmitter };
  for (const [event, name] of [
    ['authenticationCleartextPassword', 'cleartext'],
    ['authenticationMD5Password', 'md5'],
    ['authenticationSASL', 'SCRAM'],
  ] as const) {
    connection.once(event, () => (asked = name));
  }
  await client.connect();
  await client.query('SELECT 1');
  await client.end();
  return asked;
}

describe('client_auth', () => {
  const cases: readonly (readonly [ClientAuth, string, string])[] = [
    ['scram-sha-256', 'SCRAM', 'SCRAM'],
    ['md5', 'md5', 'md5'],
    ['cleartext', 'cleartext', 'SCRAM'],
    ['cleartext_without_tls', 'cleartext', 'cleartext'],
  ];
  for (const [clientAuth, overTls, without] of cases) {
    it(`${clientAuth} asks for ${overTls} over TLS and for ${without} without`, async () => {
      await set({ clientAuth });
      assert.equal(await login('tls'), overTls);
      assert.equal(await login('clear'), without);
    });
  }
});

describe('a server that asks for the password itself', () => {
  const as = { username: 'clear' } as const;

  it('is given it over TLS', async () => {
    await set({}, { ...as, serverTls: { mode: 'require' } });
    assert.equal(await login('clear', 'clear'), 'SCRAM');
  });

  it('is not given it without TLS: the client reads 08004, and what to do', async () => {
    await set({}, { ...as, serverTls: { mode: 'disable' } });
    await assert.rejects(login('clear', 'clear'), {
      code: '08004',
      hint: /scram-sha-256 in its pg_hba.conf or TLS to it; or set server_cleartext/,
    });
  });

  it('is given it without TLS where server_cleartext says anywhere', async () => {
    // Another tenant: dials of the one before are not repeated for a moment.
    const globex = { ...as, id: 'globex', serverTls: { mode: 'disable' } } as const;
    await set({ serverCleartext: 'anywhere' }, globex);
    assert.equal(await login('clear', 'clear', 'globex'), 'SCRAM');
  });

  it('gets nothing from a verifier alone: 08004', async () => {
    const sql = `SELECT rolpassword AS text FROM pg_authid WHERE rolname = 'clear'`;
    const [row] = await cluster.sql('postgres', sql);
    const password = String(row?.['text']);
    await set({}, { ...as, password, serverTls: { mode: 'require' } });
    await assert.rejects(login('clear', 'clear'), {
      code: '08004',
      message: /asks for the password, and only a verifier is known/,
    });
  });
});
