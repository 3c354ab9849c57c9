/**
 * Who may log in and who may not: every way to name a tenant, every way to get it wrong, and bytes
 * that are no login. Each refusal is a protocol-level error or a clean close; the process and its
 * memory stay as they were.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import pg from 'pg';
import { fields, frame, query, RawClient, startup } from '../support/raw-client.ts';
import type { RawLogin } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'login secret';
const app = { username: 'app', password: PASSWORD };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: 'super secret' });
  await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
  for (const name of ['acme_db', 'acme_reports', 'acme_private', 'globex_db', 'lonely']) {
    await cluster.sql('postgres', `CREATE DATABASE ${name}`);
  }
  const { port } = cluster;
  proxy = await TestProxy.start({
    tenants: [
      { id: 'acme', port, database: 'acme_db', databases: ['acme_reports'], ...app },
      { id: 'Globex', port, database: 'globex_db', ...app },
    ],
    env: { DBBOUNCER_CLIENT_LOGIN_TIMEOUT: '700ms', DBBOUNCER_MAX_CLIENT_CONNECTIONS: '40' },
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

interface Attempt {
  user?: string;
  password?: string;
  database?: string;
  options?: string;
  tenantId?: string;
}

/** The database that answers. */
async function reach(attempt: Attempt): Promise<string> {
  const { host, port } = proxy;
  const { user = 'app', password = PASSWORD, database, options, tenantId } = attempt;
  const parameters = {
    ...(options === undefined ? {} : { options }),
    ...(tenantId === undefined ? {} : { tenant_id: tenantId }),
  };
  const login: RawLogin = {
    user,
    password,
    parameters,
    ...(database === undefined ? {} : { database }),
  };
  const client = await RawClient.login({ host, port }, login);
  client.send(query('SELECT current_database()'));
  const messages = await client.until('Z');
  client.end();
  const row = messages.find(({ type }) => type === 'D');
  return row?.body.toString('utf8', 6) ?? 'no row';
}

describe('tenant selectors', () => {
  const cases: readonly [string, Attempt, string][] = [
    ["options='-c tenant_id=acme'", { options: '-c tenant_id=acme' }, 'acme_db'],
    ["options='-ctenant_id=acme'", { options: '-ctenant_id=acme' }, 'acme_db'],
    ["options='--tenant_id=globex', another case", { options: '--tenant_id=globex' }, 'globex_db'],
    ["options='--tenant-id=acme', as dashes", { options: '--tenant-id=acme' }, 'acme_db'],
    ['a startup parameter tenant_id', { tenantId: 'acme' }, 'acme_db'],
    ['the user name acme__app', { user: 'acme__app' }, 'acme_db'],
    ['the database name', { database: 'acme' }, 'acme_db'],
    ['two that agree', { user: 'acme__app', options: '-c tenant_id=ACME' }, 'acme_db'],
    ['with a listed database', { tenantId: 'acme', database: 'acme_reports' }, 'acme_reports'],
    ['with its own database', { tenantId: 'acme', database: 'acme_db' }, 'acme_db'],
    ['with its own id as database', { tenantId: 'acme', database: 'acme' }, 'acme_db'],
    ["with libpq's default, the user name", { tenantId: 'acme', database: 'app' }, 'acme_db'],
  ];
  for (const [name, attempt, expected] of cases) {
    it(`takes ${name}`, async () => {
      assert.equal(await reach(attempt), expected);
    });
  }

  it('strips the selector and passes the other options to the server', async () => {
    const client = new pg.Client({
      host: proxy.host,
      port: proxy.port,
      user: 'app',
      password: PASSWORD,
      database: 'app',
      options: '-c tenant_id=acme -c work_mem=7MB --geqo=off',
    });
    await client.connect();
    const shown = async (name: string) =>
      Object.values((await client.query(`SHOW ${name}`)).rows[0]);
    assert.deepEqual(await shown('work_mem'), ['7MB']);
    assert.deepEqual(await shown('geqo'), ['off']);
    await client.end();
  });
});

describe('refused logins', () => {
  const wrong = '28P01: password authentication failed for user "app"';
  const cases: readonly [string, Attempt, string | RegExp][] = [
    ['a wrong password', { tenantId: 'acme', password: 'guess' }, wrong],
    ['an unknown tenant, in the same words', { tenantId: 'nobody' }, wrong],
    ['no tenant at all, in the same words', {}, wrong],
    [
      'an unknown user, in the same words',
      { tenantId: 'acme', user: 'mallory' },
      '28P01: password authentication failed for user "mallory"',
    ],
    [
      'a user name of one tenant with the selector of another, in the same words',
      { user: 'Globex__app', tenantId: 'acme' },
      '28P01: password authentication failed for user "Globex__app"',
    ],
    [
      'parameters that name two tenants',
      { tenantId: 'acme', options: '-c tenant_id=globex' },
      /^28000: the login names different tenants/,
    ],
    [
      "a database that is another tenant's id",
      { tenantId: 'acme', database: 'globex' },
      '3D000: database "globex" is not one of tenant "acme"',
    ],
    [
      'a database of the server that the tenant does not list',
      { tenantId: 'acme', database: 'acme_private' },
      '3D000: database "acme_private" is not one of tenant "acme"',
    ],
    [
      "a parameter that the server does not know, in the server's words",
      { options: '-c tenant_id=acme -c nonsense=1' },
      '42704: unrecognized configuration parameter "nonsense"',
    ],
    ['options that are none', { options: '-d 5' }, /^42601: /],
  ];
  for (const [name, attempt, expected] of cases) {
    it(`reads ${name}`, async () => {
      const rejected = reach(attempt).then(
        () => 'logged in',
        (error: Error) => error.message,
      );
      const text = await rejected;
      if (typeof expected === 'string') assert.equal(text, expected);
      else assert.match(text, expected);
    });
  }

  it('shows an unknown user the same salt at each try, another one than a known user', async () => {
    const salt = async (user: string, tenant: string): Promise<string> => {
      const client = await RawClient.connect(proxy);
      client.send(startup({ user, tenant_id: tenant }));
      await client.next();
      const first = Buffer.from('n,,n=,r=abcdefghijklmnop');
      const length = Buffer.alloc(4);
      length.writeInt32BE(first.length);
      client.send(frame('p', Buffer.concat([Buffer.from('SCRAM-SHA-256\0'), length, first])));
      const text = (await client.next())?.body.toString('utf8', 4) ?? '';
      client.destroy();
      return /s=([^,]+)/.exec(text)?.[1] ?? 'no salt';
    };
    assert.equal(await salt('ghost', 'acme'), await salt('ghost', 'acme'));
    assert.equal(await salt('app', 'nobody'), await salt('app', 'nobody'));
    assert.notEqual(await salt('app', 'nobody'), await salt('app', 'acme'));
  });
});

describe('bytes that are no login', () => {
  /** What the proxy answers to `bytes` before it closes. */
  async function answerTo(bytes: Buffer): Promise<string> {
    const client = await RawClient.connect(proxy);
    client.send(bytes);
    const message = await client.next();
    if (message === undefined) return 'closed';
    await client.closed();
    const { S, C, M } = fields(message);
    return `${message.type} ${S} ${C} ${M}`;
  }

  it('answers garbage, a 2 GB length and a negative one with FATAL 08P01', async () => {
    const huge = Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0]);
    const negative = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0]);
    assert.match(await answerTo(Buffer.from('GET / HTTP/1.1\r\n\r\n')), /^E FATAL 08P01/);
    assert.match(await answerTo(huge), /^E FATAL 08P01 .*2147483647/);
    assert.match(await answerTo(negative), /^E FATAL 08P01 .*-1/);
  });

  it('answers protocol 2.0 and replication with FATAL 0A000', async () => {
    const old = Buffer.from([0, 0, 0, 8, 0, 2, 0, 0]);
    assert.match(await answerTo(old), /^E FATAL 0A000 /);
    const replication = startup({ user: 'app', tenant_id: 'acme', replication: 'database' });
    assert.match(await answerTo(replication), /^E FATAL 0A000 replication/);
  });

  it('answers a message that is not allowed before authentication with FATAL 08P01', async () => {
    const early = Buffer.concat([startup({ user: 'app', tenant_id: 'acme' }), query('SELECT 1')]);
    const client = await RawClient.connect(proxy);
    client.send(early);
    assert.equal((await client.next())?.type, 'R');
    const refusal = await client.next();
    assert.equal(refusal && fields(refusal)['C'], '08P01');
    await client.closed();
  });

  it('says nothing to a client that ends before or during its login', async () => {
    const end = frame('X', Buffer.alloc(0));
    const late = startup({ user: 'app', tenant_id: 'acme' });
    assert.equal(await answerTo(end), 'closed');
    assert.equal(await answerTo(Buffer.concat([end, late])), 'closed');
    const client = await RawClient.connect(proxy);
    client.send(startup({ user: 'app', tenant_id: 'acme' }));
    assert.equal((await client.next())?.type, 'R');
    client.send(end);
    assert.equal(await client.next(), undefined);
  });

  it('ends a half-open startup after client_login_timeout', async () => {
    const client = await RawClient.connect(proxy);
    client.send(Buffer.from([0, 0, 0]));
    const refusal = await client.next();
    assert.match((refusal && fields(refusal)['M']) ?? '', /client_login_timeout \(700 ms\)/);
    await client.closed();
  });

  it('ends a session whose message declares 2 GB, or has an unknown type', async () => {
    for (const bytes of [
      Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]),
      frame('~', Buffer.alloc(3)),
    ]) {
      const client = await RawClient.login(proxy, {
        ...login(),
        parameters: { tenant_id: 'acme' },
      });
      client.send(bytes);
      const refusal = await client.next();
      assert.equal(refusal && fields(refusal)['C'], '08P01');
      await client.closed();
    }
  });

  it('answers no to TLS and GSSAPI requests and goes on', async () => {
    const client = await RawClient.connect(proxy);
    const request = (code: number) => {
      const bytes = Buffer.alloc(8);
      bytes.writeInt32BE(8, 0);
      bytes.writeInt32BE(code, 4);
      return bytes;
    };
    const answer = () => new Promise((resolve) => client.socket.once('data', resolve));
    client.send(request(80877103));
    assert.equal(String(await answer()), 'N');
    client.send(request(80877104));
    assert.equal(String(await answer()), 'N');
    client.destroy();
  });

  it('refuses the 41st client with 53300 naming max_client_connections', async () => {
    await proxy.report(({ clients }) => clients === 0);
    const held = await Promise.all(Array.from({ length: 40 }, () => RawClient.connect(proxy)));
    const refused = RawClient.login(proxy, { ...login(), parameters: { tenant_id: 'acme' } });
    await assert.rejects(
      refused,
      /53300: too many clients: this proxy has 40, and its max_client_connections is 40/,
    );
    for (const client of held) client.destroy();
    await proxy.report(({ clients }) => clients === 0);
  });

  it('survives 300 hostile connections without keeping memory', async () => {
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 30; round++) {
      await Promise.all(
        Array.from({ length: 10 }, async (_, i) => {
          const client = await RawClient.connect(proxy);
          const noise = Buffer.alloc(64 * 1024, (round * 10 + i) % 256);
          client.send(noise);
          await client.closed();
        }),
      );
    }
    await proxy.report(({ clients }) => clients === 0);
    assert.equal(await reach({ tenantId: 'acme' }), 'acme_db');
    const grownMb = (process.memoryUsage().rss - before) / 1e6;
    assert.ok(grownMb < 100, `grew by ${grownMb.toFixed(0)} MB`);
  });
});

function login(): RawLogin {
  return { user: 'app', password: PASSWORD };
}
