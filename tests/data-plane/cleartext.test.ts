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
let ca: string;

before(async () => {
  const authority = await Authority.create('Cleartext authority');
  ca = authority.cert;
  const pair = await authority.issue({ commonName: 'localhost', dnsNames: ['localhost'] });
  cluster = await startPostgresCluster({
    superuserPassword: PASSWORD,
    tls: pair,
    hba: ['host all clear 127.0.0.1/32 password', 'host all clear ::1/128 password'],
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

  it('is given it over TLS with a certificate that was verified', async () => {
    await set({}, { ...as, host: 'localhost', serverTls: { mode: 'verify-full', ca } });
    assert.equal(await login('clear', 'clear'), 'SCRAM');
  });

  it('is not given it over TLS with anybody: the client reads 08004, and what to do', async () => {
    await set({}, { ...as, id: 'unknown', serverTls: { mode: 'require' } });
    await assert.rejects(login('clear', 'clear', 'unknown'), {
      code: '08004',
      message: /its certificate was not verified, so that it may be anybody/,
      hint: /server_tls with verify-full; or set server_cleartext of the tenant to "over_tls"/,
    });
  });

  it('is given it over any TLS where server_cleartext says over_tls', async () => {
    const any = { ...as, id: 'any', serverTls: { mode: 'require' } } as const;
    await set({ serverCleartext: 'over_tls' }, any);
    assert.equal(await login('clear', 'clear', 'any'), 'SCRAM');
  });

  it('is not given it without TLS: the client reads 08004, and what to do', async () => {
    await set({}, { ...as, serverTls: { mode: 'disable' } });
    await assert.rejects(login('clear', 'clear'), {
      code: '08004',
      message: /the connection to it is not encrypted/,
      hint: /server_tls with verify-full; or set server_cleartext of the tenant to "anywhere"/,
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
    const tls = { mode: 'verify-full', ca } as const;
    await set({}, { ...as, id: 'verifier', host: 'localhost', password, serverTls: tls });
    await assert.rejects(login('clear', 'clear', 'verifier'), {
      code: '08004',
      message: /asks for the password, and only a verifier is known/,
    });
  });
});
