/**
 * Nobody can tell by what a failed login reads whether the tenant or the user exists: the same
 * messages of the same lengths, whatever was wrong, for each way to ask for a password.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { ClientAuth } from '@dbbouncer/shared/contract/pool-settings.ts';
import { createPinoLogger } from '@dbbouncer/shared/logging/pino-logger.ts';
import { cstring, fields, frame, RawClient, startup } from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'alike secret';
let cluster: PostgresCluster;
let proxy: TestProxy;
const logged: string[] = [];

/** Names of one length each, or the lengths of messages would differ by them. */
function tenant(clientAuth: ClientAuth): TestTenant {
  return {
    id: 'acme',
    port: cluster.port,
    database: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool: { clientAuth, minConnections: 0 },
    users: [{ name: 'listed', password: 'listed pw' }],
    authQuery: {},
  };
}

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql(
    'postgres',
    `CREATE ROLE lookup LOGIN PASSWORD 'lookup pw'; CREATE ROLE nopass LOGIN;
     CREATE ROLE toolat LOGIN PASSWORD 'toolat pw' VALID UNTIL '2001-01-01';
     SET password_encryption = md5; CREATE ROLE md5pwd LOGIN PASSWORD 'md5pwd pw'`,
  );
  proxy = await TestProxy.start({
    tenants: [tenant('scram-sha-256')],
    env: { DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0' },
    log: createPinoLogger('trace', {}, { write: (line) => void logged.push(line) }),
  });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

/** What a login that fails reads: a line for each message, names taken out. */
async function reads(user: string, database: string): Promise<string> {
  const client = await RawClient.connect(proxy);
  const seen: RawMessage[] = [];
  const next = async () => {
    const message = await client.next();
    if (message !== undefined) seen.push(message);
    return message;
  };
  client.send(startup({ user, database }));
  const asked = await next();
  if (asked?.type === 'R' && asked.body.readInt32BE(0) === SASL) {
    const first = Buffer.from(`n,,n=,r=${'a'.repeat(24)}`);
    const length = Buffer.alloc(4);
    length.writeInt32BE(first.length);
    client.send(frame('p', Buffer.concat([cstring('SCRAM-SHA-256'), length, first])));
    const serverFirst = (await next())?.body.toString('utf8', 4) ?? '';
    const [nonce = ''] = serverFirst.split(',');
    client.send(
      frame('p', Buffer.from(`c=biws,${nonce},p=${Buffer.alloc(32).toString('base64')}`)),
    );
  } else {
    client.send(frame('p', cstring('wrong')));
  }
  while ((await next()) !== undefined);
  return seen.map((message) => lineOf(message, user)).join('\n');
}

const SASL = 10;

function lineOf(message: RawMessage, user: string): string {
  const { type, body } = message;
  if (type === 'R') return `R ${body.readInt32BE(0)} ${body.length}`;
  return `${type} ${JSON.stringify(fields(message)).replaceAll(user, 'USER')}`;
}

/** With the same words, all but where the words are unequal. */
async function assertAlike(logins: readonly (readonly [string, string])[]): Promise<string> {
  const texts = new Set<string>();
  for (const [user, database] of logins) texts.add(await reads(user, database));
  assert.equal(texts.size, 1, [...texts].join('\n---\n'));
  return [...texts].join('');
}

describe('a failed login', () => {
  it('reads the same for a wrong password, no such user and no such tenant', async () => {
    const text = await assertAlike([
      ['listed', 'acme'],
      ['lookup', 'acme'],
      ['nopass', 'acme'],
      ['md5pwd', 'acme'],
      ['toolat', 'acme'],
      ['nobody', 'acme'],
      ['listed', 'none'],
      ['acme__listed', 'x'],
      ['none__listed', 'x'],
    ]);
    assert.match(text, /^R 10 .*\nR 11 .*\nE .*"C":"28P01"/);
  });

  for (const [clientAuth, code] of [
    ['cleartext', 10],
    ['cleartext_without_tls', 3],
  ] as const) {
    it(`reads the same with client_auth ${clientAuth}`, async () => {
      await proxy.setTenant(tenant(clientAuth));
      const text = await assertAlike([
        ['listed', 'acme'],
        ['lookup', 'acme'],
        ['nopass', 'acme'],
        ['nobody', 'acme'],
      ]);
      assert.match(text, new RegExp(`^R ${code} `));
      await proxy.setTenant(tenant('scram-sha-256'));
    });
  }

  it('reads the same with client_auth md5, where users are looked up', async () => {
    await proxy.setTenant(tenant('md5'));
    const text = await assertAlike([
      ['lookup', 'acme'],
      ['nopass', 'acme'],
      ['nobody', 'acme'],
    ]);
    assert.match(text, /^R 10 /);
    await proxy.setTenant(tenant('scram-sha-256'));
  });

  it('is told apart by log and metrics, which name no password', async () => {
    const counted = async () => {
      const page = await (await fetch(proxy.metricsUrl)).text();
      const lines = page.matchAll(/^dbbouncer_auth_failures_total\{reason="(\w+)"\} (\d+)$/gm);
      return new Map(Array.from(lines, ([, reason, count]) => [reason, Number(count)]));
    };
    await proxy.setTenant(tenant('scram-sha-256'));
    const causes = [
      ['listed', 'acme', 'wrong_password'],
      ['lookup', 'acme', 'wrong_password'],
      ['nobody', 'acme', 'unknown_user'],
      ['md5pwd', 'acme', 'method_refused'],
      ['listed', 'none', 'unknown_tenant'],
    ] as const;
    for (const [user, database, reason] of causes) {
      const [earlier, lines] = [await counted(), logged.length];
      await reads(user, database);
      assert.equal((await counted()).get(reason), (earlier.get(reason) ?? 0) + 1, user);
      const line = logged.slice(lines).find((text) => text.includes('login refused'));
      assert.match(line ?? '', new RegExp(`"reason":"${reason}"`));
      assert.match(line ?? '', new RegExp(`"user":"${user}"`));
    }
    for (const secret of [PASSWORD, 'listed pw', 'lookup pw', 'SCRAM-SHA-256$']) {
      assert.deepEqual(
        logged.filter((text) => text.includes(secret)),
        [],
      );
    }
  });

  it('shows the salt that it showed before, and each user another one', async () => {
    const salt = async (user: string) => {
      const client = await RawClient.connect(proxy);
      client.send(startup({ user, database: 'acme' }));
      await client.next();
      const first = Buffer.from(`n,,n=,r=${'a'.repeat(24)}`);
      const length = Buffer.alloc(4);
      length.writeInt32BE(first.length);
      client.send(frame('p', Buffer.concat([cstring('SCRAM-SHA-256'), length, first])));
      const text = (await client.next())?.body.toString('utf8', 4) ?? '';
      client.destroy();
      return /s=([^,]*),i=4096$/.exec(text)?.[1];
    };
    const salts = new Set<string | undefined>();
    for (const user of ['listed', 'lookup', 'nobody', 'no one']) {
      const first = await salt(user);
      assert.equal(await salt(user), first);
      salts.add(first);
    }
    assert.equal(salts.size, 4);
    assert.ok(!salts.has(undefined));
  });
});

describe('a replication connection', () => {
  it('is refused with 0A000 whatever the word, and served where it says no', async () => {
    for (const replication of ['database', 'true', 'on', 'yes', '1', 'TRUE']) {
      const client = await RawClient.connect(proxy);
      client.send(startup({ user: 'listed', database: 'acme', replication }));
      const [refusal] = await client.until('E');
      assert.ok(refusal);
      const { C, M, H } = fields(refusal);
      assert.equal(C, '0A000');
      assert.equal(M, 'replication connections are not pooled');
      assert.match(H ?? '', /to the database server itself/);
      await client.closed();
    }
    for (const replication of ['false', 'off', 'no', '0']) {
      const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
      const client = await RawClient.login(proxy, { ...login, parameters: { replication } });
      client.end();
    }
  });
});
