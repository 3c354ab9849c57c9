/**
 * Users that are looked up in the tenant's database: who is let in, what becomes of changed and
 * removed users, what names can do, how often and over how many connections the database is asked,
 * and what clients read when it cannot be.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, firstColumns, query, RawClient, startup } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'of the superuser';
const LOOKUP = `CREATE SCHEMA auth;
  CREATE FUNCTION auth.lookup(asked text, OUT name text, OUT verifier text)
    LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS
    $$ SELECT rolname, rolpassword FROM pg_authid
       WHERE rolname = asked AND rolcanlogin AND NOT rolsuper
       AND coalesce(rolvaliduntil > now(), true) $$;
  REVOKE ALL ON FUNCTION auth.lookup FROM PUBLIC;
  CREATE ROLE asker LOGIN PASSWORD 'asker pw' CONNECTION LIMIT 2;
  GRANT USAGE ON SCHEMA auth TO asker;
  GRANT EXECUTE ON FUNCTION auth.lookup TO asker;
  ALTER ROLE asker SET search_path = auth;
  CREATE TABLE still_there ()`;
/** As the documentation proposes. */
const BY_FUNCTION = {
  user: 'asker',
  password: 'asker pw',
  query: 'SELECT name, verifier FROM auth.lookup($1)',
} as const;

let cluster: PostgresCluster;
let proxy: TestProxy;

function tenant(changes: Partial<TestTenant> = {}): TestTenant {
  return {
    id: 'acme',
    port: cluster.port,
    database: 'postgres',
    username: 'app',
    password: 'app pw',
    pool: { poolMode: 'transaction', maxConnections: 8, minConnections: 0, acquireTimeoutMs: 1500 },
    authQuery: BY_FUNCTION,
    ...changes,
  };
}

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', LOOKUP);
  await cluster.sql(
    'postgres',
    `CREATE ROLE app LOGIN PASSWORD 'app pw'; CREATE ROLE ann LOGIN PASSWORD 'ann pw';
     CREATE ROLE "O'Neil; ""x""" LOGIN PASSWORD 'quoted pw';
     CREATE ROLE late LOGIN PASSWORD 'late pw' VALID UNTIL '2001-01-01';
     CREATE ROLE nopassword LOGIN;
     SET password_encryption = md5; CREATE ROLE old LOGIN PASSWORD 'old pw'`,
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

async function sessionUser(user: string, password: string): Promise<string | undefined> {
  const client = await login(user, password);
  const name = await ask(client, 'SELECT session_user');
  client.end();
  return name;
}

type Outcome = 'cached' | 'found' | 'missing' | 'failed';

async function lookups(outcome: Outcome): Promise<number> {
  return counted(`dbbouncer_auth_query_lookups_total{outcome="${outcome}"}`);
}

async function counted(series: string): Promise<number> {
  const page = await (await fetch(proxy.metricsUrl)).text();
  const line = page.split('\n').find((text) => text.startsWith(`${series} `));
  return Number(line?.slice(series.length) ?? 0);
}

/** How much a counter grows while something is done. */
async function growth(outcome: Outcome, action: () => Promise<unknown>): Promise<number> {
  const earlier = await lookups(outcome);
  await action();
  return (await lookups(outcome)) - earlier;
}

describe('auth_query', () => {
  it('lets users in whom no config names, and each is itself on the server', async () => {
    assert.equal(await sessionUser('ann', 'ann pw'), 'ann');
    assert.equal(await sessionUser('acme__ann', 'ann pw'), 'ann');
    assert.equal(await sessionUser(`O'Neil; "x"`, 'quoted pw'), `O'Neil; "x"`);
    assert.equal(await sessionUser('app', 'app pw'), 'app', "the tenant's own");
  });

  it('serves psql and node-postgres', async () => {
    const { host, port } = proxy;
    const address = { host, port, user: 'ann', password: 'ann pw', database: 'acme' };
    const client = new Client(address);
    await client.connect();
    const { rows } = await client.query('SELECT session_user::text AS who');
    assert.deepEqual(rows, [{ who: 'ann' }]);
    await client.end();
    const sql = 'SELECT session_user';
    const { stdout } = await promisify(execFile)(
      'psql',
      ['-h', host, '-p', `${port}`, '-U', 'ann', '-d', 'acme', '-Atc', sql],
      { env: { ...process.env, PGPASSWORD: 'ann pw' } },
    );
    assert.equal(stdout.trim(), 'ann');
  });

  it('tells nobody whether a user exists, has no password, or has it no more', async () => {
    const texts = new Set<string>();
    for (const [user, password] of [
      ['ann', 'wrong'],
      ['ann', ''],
      ['nobody', 'wrong'],
      ['late', 'late pw'],
      ['nopassword', 'x'],
      ['postgres', PASSWORD],
      ['a'.repeat(63), 'x'],
      ['a'.repeat(64), 'x'],
      ['b'.repeat(4000), 'x'],
    ] as const) {
      const error = await login(user, password).then(
        () => assert.fail(`${user} was let in`),
        (refused: Error) => refused,
      );
      texts.add(error.message.replaceAll(user, 'USER'));
    }
    assert.equal(texts.size, 1, [...texts].join('\n'));
    assert.match([...texts].join(''), /^28P01: password authentication failed for user "USER"$/);
  });

  it('takes a name as a value, whatever is in it', async () => {
    const names = [
      `'; DROP TABLE still_there; --`,
      `ann' OR '1'='1`,
      `ann'--`,
      `ann\\' OR 1=1--`,
      `$1`,
      `%`,
      `ann\n`,
      `\u{1f600}`,
      `$$; DROP TABLE still_there; $$`,
      ` ann`,
      `ANN`,
      `"ann"`,
      `ann\u00a0`,
    ];
    const failed = await growth('failed', async () => {
      for (const name of names) await assert.rejects(login(name, 'ann pw'), /^Error: 28P01/, name);
    });
    assert.equal(failed, 0);
    await cluster.sql('postgres', 'SELECT FROM still_there');
  });

  it('asks with no setting of the client: search_path can name no other function', async () => {
    await cluster.sql(
      'postgres',
      `CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
       CREATE FUNCTION evil.lookup(asked text, OUT name text, OUT verifier text) LANGUAGE sql AS
         $$ SELECT asked, 'known to the attacker' $$`,
    );
    const query = 'SELECT name, verifier FROM lookup($1)';
    await proxy.setTenant(tenant({ authQuery: { ...BY_FUNCTION, query } }));
    for (const parameters of [{ search_path: 'evil' }, { options: '-c search_path=evil' }]) {
      const attack = { user: 'ann', password: 'known to the attacker', database: 'acme' };
      await assert.rejects(RawClient.login(proxy, { ...attack, parameters }), /28P01/);
      const own = { user: 'ann', password: 'ann pw', database: 'acme' };
      const client = await RawClient.login(proxy, { ...own, parameters });
      assert.equal(await ask(client, 'SHOW search_path'), 'evil', 'her own sessions have it');
      client.end();
      await proxy.setTenant(tenant({ authQuery: { ...BY_FUNCTION, query, cacheTtlMs: 0 } }));
    }
    await cluster.sql('postgres', 'DROP SCHEMA evil CASCADE');
    await proxy.setTenant(tenant());
  });

  it('asks nothing of the database for names that no server can have', async () => {
    const asked = await growth('missing', () =>
      assert.rejects(login('ä'.repeat(32), 'ann pw'), /28P01/),
    );
    assert.equal(asked, 0);
  });

  it('asks once for 200 logins of one unknown user', async () => {
    await proxy.setTenant(tenant());
    const [missing, cached] = [await lookups('missing'), await lookups('cached')];
    const refused = await Promise.all(
      Array.from({ length: 200 }, () =>
        login('stranger', 'x').then(
          () => 'let in',
          (error: Error) => error.message.slice(0, 5),
        ),
      ),
    );
    assert.deepEqual([...new Set(refused)], ['28P01']);
    assert.equal(await lookups('missing'), missing + 1);
    assert.ok((await lookups('cached')) <= cached + 199);
  });

  it('asks over 2 connections, whoever many names are asked for', async () => {
    // One more would be refused by the server: CONNECTION LIMIT 2.
    await proxy.setTenant(tenant());
    const failed = await growth('failed', () =>
      Promise.all(
        Array.from({ length: 60 }, (_, index) =>
          assert.rejects(login(`invented ${index}`, 'x'), /28P01/),
        ),
      ),
    );
    assert.equal(failed, 0);
  });

  it('gives users of the list without a password their limits', async () => {
    await proxy.setTenant(tenant({ users: [{ name: 'ann', maxConnections: 1 }] }));
    const [first, second] = [await login('ann', 'ann pw'), await login('ann', 'ann pw')];
    await ask(first, 'BEGIN; SELECT 1');
    second.send(query('SELECT 1'));
    const [refusal] = await second.until('Z');
    assert.match(refusal ? (fields(refusal)['M'] ?? '') : '', /max_connections of user "ann"/);
    for (const client of [first, second]) client.end();
    await proxy.setTenant(tenant());
    await proxy.atRest();
  });

  it('serves users with an md5 verifier where client_auth allows it', async () => {
    const settings = tenant().pool;
    await assert.rejects(login('old', 'old pw'), /28P01/);
    for (const clientAuth of ['md5', 'cleartext_without_tls'] as const) {
      await proxy.setTenant(tenant({ pool: { ...settings, clientAuth } }));
      const client = new Client({
        host: proxy.host,
        port: proxy.port,
        user: clientAuth === 'md5' ? 'old' : 'acme__old',
        password: 'old pw',
        database: 'acme',
      });
      // The server asks for SCRAM, which an md5 verifier cannot give: the proof was accepted.
      await assert.rejects(client.connect(), { code: '08004' });
      await assert.rejects(
        new Client({ ...proxyAddress(), user: 'old', password: 'wrong' }).connect(),
        { code: '28P01' },
      );
    }
    await proxy.setTenant(tenant());
  });
});

describe('client_auth md5 with auth_query', () => {
  it('asks those who do not exist for what the last one who does was asked for', async () => {
    const settings = tenant().pool;
    await proxy.setTenant(tenant({ pool: { ...settings, clientAuth: 'md5' } }));
    const asked = async (user: string) => {
      const client = await RawClient.connect(proxy);
      client.send(startup({ user, database: 'acme' }));
      const message = await client.next();
      client.destroy();
      return message?.body.readInt32BE(0);
    };
    assert.equal(await asked('ann'), SASL);
    assert.equal(await asked('nobody'), SASL);
    assert.equal(await asked('old'), MD5);
    assert.equal(await asked('nobody'), MD5);
    await proxy.setTenant(tenant());
  });
});

/** Codes of authentication requests. */
const MD5 = 5;
const SASL = 10;

function proxyAddress() {
  return { host: proxy.host, port: proxy.port, database: 'acme' };
}

describe('what was looked up', () => {
  it('is asked for once within cache_ttl, and at each login with 0', async () => {
    await proxy.setTenant(tenant());
    const once = await growth('found', async () => {
      for (let index = 0; index < 5; index++) await sessionUser('ann', 'ann pw');
    });
    assert.equal(once, 1);
    await proxy.setTenant(tenant({ authQuery: { ...BY_FUNCTION, cacheTtlMs: 0 } }));
    const each = await growth('found', async () => {
      for (let index = 0; index < 3; index++) await sessionUser('ann', 'ann pw');
    });
    assert.equal(each, 3);
    await proxy.setTenant(tenant());
  });

  it('is asked for again after a change of the tenant', async () => {
    await sessionUser('ann', 'ann pw');
    await proxy.setTenant(tenant({ databases: ['template1'] }));
    assert.equal(await growth('found', () => sessionUser('ann', 'ann pw')), 1);
    await proxy.setTenant(tenant());
  });

  it('is nobody any more once the database has dropped the user', async () => {
    await proxy.setTenant(tenant({ authQuery: { ...BY_FUNCTION, cacheTtlMs: 0 } }));
    await cluster.sql('postgres', `CREATE ROLE brief LOGIN PASSWORD 'brief pw'`);
    assert.equal(await sessionUser('brief', 'brief pw'), 'brief');
    await proxy.atRest();
    await cluster.sql('postgres', 'DROP ROLE brief');
    await assert.rejects(login('brief', 'brief pw'), /28P01/);
    await proxy.setTenant(tenant());
  });

  it('follows a changed password: the new one alone is let in, sessions go on', async () => {
    await proxy.setTenant(tenant({ authQuery: { ...BY_FUNCTION, cacheTtlMs: 0 } }));
    await cluster.sql('postgres', `CREATE ROLE rota LOGIN PASSWORD 'first'`);
    const early = await login('rota', 'first');
    const pid = await ask(early, 'SELECT pg_backend_pid()');
    await cluster.sql('postgres', `ALTER ROLE rota PASSWORD 'second'`);
    await assert.rejects(login('rota', 'first'), /28P01/);
    assert.equal(await ask(early, 'SELECT pg_backend_pid()'), pid, 'nobody knows the new one yet');
    assert.equal(await sessionUser('rota', 'second'), 'rota');
    assert.notEqual(await ask(early, 'SELECT pg_backend_pid()'), pid, 'the old connection is gone');
    assert.equal(await ask(early, 'SELECT session_user'), 'rota');
    early.end();
    await proxy.atRest();
    await proxy.setTenant(tenant());
  });
});

describe('an auth_query that cannot be asked', () => {
  const cases: readonly (readonly [string, TestTenant['authQuery']])[] = [
    ['is not allowed to', { user: 'asker', password: 'asker pw' }],
    ['is not SQL', { ...BY_FUNCTION, query: 'SELEC $1' }],
    ['asks without a name', { ...BY_FUNCTION, query: `SELECT 'ann', 'x'` }],
    ['returns one column', { ...BY_FUNCTION, query: 'SELECT $1::text' }],
    ['returns three columns', { ...BY_FUNCTION, query: `SELECT $1::text, 'x', 1` }],
    ['returns two rows', { ...BY_FUNCTION, query: `VALUES ($1::text, 'x'), ($1, 'y')` }],
    ['returns somebody else', { ...BY_FUNCTION, query: `SELECT $1 || 'a', 'x'` }],
    ['logs in with a wrong password', { ...BY_FUNCTION, password: 'wrong' }],
    ['asks in a database that is not there', { ...BY_FUNCTION, database: 'gone' }],
    ['takes more than one statement', { ...BY_FUNCTION, query: 'SELECT 1; SELECT $1, 2' }],
    ['copies', { ...BY_FUNCTION, query: 'COPY (SELECT 1) TO STDOUT' }],
  ];
  for (const [title, authQuery] of cases) {
    it(`reads 08001 without saying why, when it ${title}`, async () => {
      await proxy.setTenant(tenant(authQuery === undefined ? {} : { authQuery }));
      const failed = await growth('failed', () =>
        assert.rejects(login('ann', 'ann pw'), /^Error: 08001: users cannot be looked up/),
      );
      assert.equal(failed, 1);
      assert.equal(await sessionUser('app', 'app pw'), 'app', "the tenant's own user needs none");
      await proxy.setTenant(tenant());
      assert.equal(await sessionUser('ann', 'ann pw'), 'ann');
    });
  }

  it('is asked again at once when the database is back', async () => {
    const other = await startPostgresCluster({ superuserPassword: PASSWORD });
    await other.sql('postgres', LOOKUP);
    await other.sql('postgres', `CREATE ROLE bob LOGIN PASSWORD 'bob pw'`);
    const username = 'postgres';
    const changes = { port: other.port, username, password: PASSWORD } as const;
    await proxy.setTenant(tenant({ id: 'globex', ...changes }));
    await other.stop();
    const bob = { user: 'globex__bob', password: 'bob pw' };
    await assert.rejects(RawClient.login(proxy, bob), /08001/);
    await other.start();
    const client = await loginInTheEnd(bob);
    assert.equal(await ask(client, 'SELECT session_user'), 'bob');
    client.end();
    await proxy.removeTenant('globex');
    await other.remove();
  });
});

/** Failed dials are not repeated for a moment. */
async function loginInTheEnd(who: { readonly user: string; readonly password: string }) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await RawClient.login(proxy, who);
    } catch (error) {
      if (attempt === 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
