/**
 * More users of a tenant: each is another user of the server, with limits and a pool mode of its
 * own; ways to prove a password that are weaker than SCRAM; what becomes of sessions and pools when
 * users change.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { ClientAuth } from '@dbbouncer/shared/contract/pool-settings.ts';
import { fields, firstColumns, query, RawClient, startup } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'the tenant’s own';
let cluster: PostgresCluster;
let proxy: TestProxy;

function tenant(changes: Partial<TestTenant> = {}): TestTenant {
  return {
    id: 'acme',
    port: cluster.port,
    database: 'postgres',
    username: 'app',
    password: PASSWORD,
    pool: {
      poolMode: 'transaction',
      maxConnections: 5,
      minConnections: 0,
      acquireTimeoutMs: 1_500,
    },
    users: [
      { name: 'report', password: 'report pw', maxConnections: 1, maxClientConnections: 7 },
      { name: 'mapped', password: 'client pw', serverUser: 'real', serverPassword: 'real pw' },
      {
        name: 'sticky',
        password: 'sticky pw',
        serverUser: 'report',
        serverPassword: 'report pw',
        poolMode: 'session',
      },
      { name: 'odd "user"; DROP', password: 'pässwörd' },
    ],
    ...changes,
  };
}

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql(
    'postgres',
    `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE report LOGIN PASSWORD 'report pw';
     CREATE ROLE real LOGIN PASSWORD 'real pw';
     CREATE ROLE "odd ""user""; DROP" LOGIN PASSWORD 'pässwörd'`,
  );
  // Guesses are not slowed down here: these tests make a lot of them.
  const env = { DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0' };
  proxy = await TestProxy.start({ tenants: [tenant()], env });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

const login = (user: string, password: string) =>
  RawClient.login(proxy, { user, password, database: 'acme' });

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'))[0];
}

describe('users of a tenant', () => {
  it('are each the user of the server that the tenant says', async () => {
    const expected = [
      ['app', PASSWORD, 'app'],
      ['report', 'report pw', 'report'],
      ['mapped', 'client pw', 'real'],
      ['acme__mapped', 'client pw', 'real'],
      ['odd "user"; DROP', 'pässwörd', 'odd "user"; DROP'],
    ] as const;
    for (const [user, password, serverUser] of expected) {
      const client = await login(user, password);
      assert.equal(await ask(client, 'SELECT session_user'), serverUser);
      client.end();
    }
    await proxy.atRest();
  });

  it('are let in with their own password alone', async () => {
    const refused = [
      ['report', PASSWORD],
      ['app', 'report pw'],
      ['mapped', 'real pw'],
      ['real', 'real pw'],
      ['nobody', 'report pw'],
      ['report', ''],
    ] as const;
    for (const [user, password] of refused) {
      await assert.rejects(login(user, password), /28P01: password authentication failed/, user);
    }
  });

  it('have as many server connections as max_connections says, over their names', async () => {
    const [first, second, other] = [
      await login('report', 'report pw'),
      await login('report', 'report pw'),
      await login('app', PASSWORD),
    ];
    await ask(first, 'BEGIN; SELECT 1');
    second.send(query('SELECT 1'));
    const [refusal] = await second.until('Z');
    assert.ok(refusal);
    assert.equal(fields(refusal)['C'], '53300');
    assert.match(fields(refusal)['M'] ?? '', /all 1 of max_connections of user "report"/);
    assert.equal(await ask(other, 'SELECT session_user'), 'app');
    await ask(first, 'COMMIT');
    assert.equal(await ask(second, 'SELECT session_user'), 'report');
    for (const client of [first, second, other]) client.end();
    await proxy.atRest();
  });

  it('have as many clients as max_client_connections says: the 8th of 7 reads 53300', async () => {
    const clients = await Promise.all(
      Array.from({ length: 7 }, () => login('report', 'report pw')),
    );
    await assert.rejects(
      login('report', 'report pw'),
      /53300: .*"report" of tenant "acme" has 7, .* max_client_connections is 7/,
    );
    const other = await login('app', PASSWORD);
    assert.equal(await ask(other, 'SELECT session_user'), 'app');
    for (const client of [...clients, other]) client.end();
    await proxy.atRest();
    (await login('report', 'report pw')).end();
  });

  it('keep their server connection in a pool mode of their own', async () => {
    const sticky = await login('sticky', 'sticky pw');
    await ask(sticky, `SELECT 1`);
    const shared = await login('report', 'report pw');
    shared.send(query('SELECT 1'));
    const [refusal] = await shared.until('Z');
    assert.equal(refusal && fields(refusal)['C'], '53300', 'the one connection is kept');
    sticky.end();
    assert.equal(await ask(shared, 'SELECT session_user'), 'report');
    shared.end();
    await proxy.atRest();
  });

  it('share no prepared statement with another user of the server', async () => {
    const [app, mapped] = [
      new Client(pgAddress('app', PASSWORD)),
      new Client(pgAddress('mapped', 'client pw')),
    ];
    await app.connect();
    await mapped.connect();
    const named = { name: 'who', text: 'SELECT session_user::text AS who' };
    for (const [client, who] of [
      [app, 'app'],
      [mapped, 'real'],
      [app, 'app'],
    ] as const) {
      assert.deepEqual((await client.query(named)).rows, [{ who }]);
    }
    await app.end();
    await mapped.end();
    await proxy.atRest();
  });
});

function pgAddress(user: string, password: string) {
  return { host: proxy.host, port: proxy.port, user, password, database: 'acme' };
}

describe('a change of users', () => {
  it('ends the sessions of one that was removed, and nobody else', async () => {
    const [report, app] = [await login('report', 'report pw'), await login('app', PASSWORD)];
    await proxy.setTenant(tenant({ users: [] }));
    const [refusal] = await report.until('E');
    assert.equal(refusal && fields(refusal)['C'], '57P01');
    assert.match(refusal ? (fields(refusal)['M'] ?? '') : '', /user "report" is no longer one of/);
    assert.equal(await ask(app, 'SELECT session_user'), 'app');
    await assert.rejects(login('report', 'report pw'), /28P01/);
    app.end();
    await proxy.setTenant(tenant());
    await proxy.atRest();
  });

  it('drains no pool when the same password is written in another way', async () => {
    const client = await login('app', PASSWORD);
    const pid = await ask(client, 'SELECT pg_backend_pid()');
    // A new reference to the same text: what a password that is sealed anew looks like.
    await proxy.setTenant(tenant());
    assert.equal(await ask(client, 'SELECT pg_backend_pid()'), pid);
    await cluster.sql('postgres', `ALTER ROLE app PASSWORD 'rotated'`);
    await proxy.setTenant(tenant({ password: 'rotated' }));
    assert.notEqual(await ask(client, 'SELECT pg_backend_pid()'), pid);
    client.end();
    await cluster.sql('postgres', `ALTER ROLE app PASSWORD '${PASSWORD}'`);
    await proxy.setTenant(tenant());
    await proxy.atRest();
  });

  it('opens at once what a raised max_connections has room for', async () => {
    const users = [{ name: 'report', password: 'report pw', maxConnections: 2 }];
    const [first, second] = [
      await login('report', 'report pw'),
      await login('report', 'report pw'),
    ];
    await ask(first, 'BEGIN; SELECT 1');
    await proxy.setTenant(tenant({ users }));
    assert.equal(await ask(second, 'SELECT session_user'), 'report');
    for (const client of [first, second]) client.end();
    await proxy.setTenant(tenant());
    await proxy.atRest();
  });
});

describe('client_auth', () => {
  /** What the client is asked for when it comes without TLS: 10 SASL, 5 md5, 3 cleartext. */
  async function askedFor(user: string): Promise<number | undefined> {
    const client = await RawClient.connect(proxy);
    client.send(startupOf(user));
    const message = await client.next();
    client.destroy();
    return message?.type === 'R' ? message.body.readInt32BE(0) : undefined;
  }

  const cases: readonly (readonly [ClientAuth, number])[] = [
    ['scram-sha-256', 10],
    ['md5', 5],
    ['cleartext', 10],
    ['cleartext_without_tls', 3],
  ];
  for (const [clientAuth, code] of cases) {
    it(`${clientAuth} without TLS asks for ${code}, of users that do not exist too`, async () => {
      await proxy.setTenant(tenant({ pool: { clientAuth, minConnections: 0 } }));
      for (const user of ['app', 'report', 'nobody']) {
        assert.equal(await askedFor(user), code, user);
      }
      for (const [user, password] of [
        ['app', PASSWORD],
        ['mapped', 'client pw'],
      ] as const) {
        const client = new Client(pgAddress(user, password));
        await client.connect();
        await client.end();
        const wrong = new Client(pgAddress(user, `${password} `));
        await assert.rejects(wrong.connect(), { code: '28P01' });
      }
      const nobody = new Client(pgAddress('nobody', PASSWORD));
      await assert.rejects(nobody.connect(), { code: '28P01' });
      await proxy.setTenant(tenant());
    });
  }

  it('can be another one for one user', async () => {
    const users = [{ name: 'report', password: 'report pw', clientAuth: 'md5' }] as const;
    await proxy.setTenant(tenant({ users }));
    assert.equal(await askedFor('report'), 5);
    assert.equal(await askedFor('app'), 10);
    const client = new Client(pgAddress('acme__report', 'report pw'));
    await client.connect();
    await client.end();
    await proxy.setTenant(tenant());
  });

  it('takes no empty password in clear', async () => {
    await proxy.setTenant(tenant({ pool: { clientAuth: 'cleartext_without_tls' } }));
    const client = await RawClient.connect(proxy);
    client.send(startupOf('app'));
    await client.next();
    client.send(Buffer.from([0x70, 0, 0, 0, 5, 0]));
    const [refusal] = await client.until('E');
    assert.equal(refusal && fields(refusal)['C'], '28P01');
    client.destroy();
    await proxy.setTenant(tenant());
  });
});

function startupOf(user: string): Buffer {
  return startup({ user, database: 'acme' });
}
