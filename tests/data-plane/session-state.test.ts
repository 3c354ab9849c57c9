/**
 * What a client sets in transaction mode is there in its next transaction, on whichever server
 * connection that is, and nowhere else; it keeps a connection only for what cannot be carried over.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import {
  bind,
  describe as describeMessage,
  execute,
  fields,
  firstColumns,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'state secret';
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE DATABASE acme');
  await cluster.sql(
    'acme',
    `CREATE ROLE reader; GRANT reader TO postgres;
     CREATE SCHEMA one; CREATE TABLE one.t AS SELECT 1 AS n;
     CREATE SCHEMA two; CREATE TABLE two.t AS SELECT 2 AS n;
     CREATE SEQUENCE counted; CREATE TABLE numbered (id serial, a int);
     CREATE FUNCTION set_style() RETURNS void LANGUAGE sql
       AS $$ SELECT set_config('datestyle', 'German', false) $$`,
  );
  // Every server connection is for the clients: none hears notifications.
  const pool = {
    poolMode: 'transaction',
    maxConnections: 3,
    minConnections: 0,
    listen: 'pin',
  } as const;
  const common = { port: cluster.port, database: 'acme', username: 'postgres', password: PASSWORD };
  proxy = await TestProxy.start({
    tenants: [
      { id: 'acme', ...common, pool },
      { id: 'exact', ...common, pool: { ...pool, applicationName: 'exact' } },
      { id: 'always', ...common, pool: { ...pool, serverReset: 'always', maxConnections: 1 } },
      { id: 'single', ...common, pool: { ...pool, maxConnections: 1 } },
    ],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

function connect(parameters: Record<string, string> = {}, tenant = 'acme'): Promise<RawClient> {
  const user = `${tenant}__postgres`;
  return RawClient.login(proxy, { user, password: PASSWORD, parameters });
}

async function messagesOf(client: RawClient, ...messages: Buffer[]): Promise<RawMessage[]> {
  client.send(Buffer.concat(messages));
  return client.until('Z');
}

/** The first column of the rows, or the SQLSTATE. */
async function ask(client: RawClient, sql: string): Promise<string> {
  const messages = await messagesOf(client, query(sql));
  const error = messages.find(({ type }) => type === 'E');
  return error === undefined ? firstColumns(messages).join() : (fields(error)['C'] ?? '');
}

const extended = (sql: string) => [parse(sql), bind(), execute(), sync()];

/** Asks on every server connection of the pool: those before it are held by others meanwhile. */
async function askEverywhere(client: RawClient, sql: string, tenant = 'acme'): Promise<string[]> {
  const answers: string[] = [];
  const holders: RawClient[] = [];
  for (let held = 0; held < 3; held++) {
    answers.push(await ask(client, sql));
    const holder = await connect({}, tenant);
    holders.push(holder);
    if (held < 2) await ask(holder, 'BEGIN; SELECT 1');
  }
  for (const holder of holders) holder.end();
  return [...new Set(answers)];
}

async function pins(reason: string): Promise<number> {
  const metrics = await (await fetch(proxy.metricsUrl)).text();
  const line = new RegExp(`^dbbouncer_session_pins_total\\{reason="${reason}"\\} (\\d+)$`, 'm');
  return Number(line.exec(metrics)?.[1] ?? 0);
}

describe('a parameter that a client sets', () => {
  const ways: readonly [string, (client: RawClient) => Promise<unknown>, string, string][] = [
    ['SET', (c) => ask(c, `SET work_mem = '5MB'`), 'SHOW work_mem', '5MB'],
    ['SET SESSION', (c) => ask(c, `SET SESSION work_mem = 6144`), 'SHOW work_mem', '6MB'],
    ['SET TIME ZONE', (c) => ask(c, `SET TIME ZONE 'Asia/Tokyo'`), 'SHOW timezone', 'Asia/Tokyo'],
    [
      'SET TIME ZONE INTERVAL',
      (c) => ask(c, `SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE`),
      'SHOW timezone',
      '<-08>+08',
    ],
    ['SET NAMES', (c) => ask(c, `SET NAMES 'LATIN1'`), 'SHOW client_encoding', 'LATIN1'],
    ['SET ROLE', (c) => ask(c, 'SET ROLE reader'), 'SELECT current_user', 'reader'],
    [
      'SET SESSION CHARACTERISTICS',
      (c) => ask(c, 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY'),
      'SHOW transaction_read_only',
      'on',
    ],
    [
      'set_config with a value that the text does not tell',
      (c) =>
        messagesOf(
          c,
          parse(`SELECT set_config('app.user', $1, false)`),
          bind(['ann']),
          execute(),
          sync(),
        ),
      `SELECT current_setting('app.user')`,
      'ann',
    ],
    [
      'Parse, Bind, Execute',
      (c) => messagesOf(c, ...extended(`SET work_mem = '9MB'`)),
      'SHOW work_mem',
      '9MB',
    ],
    [
      'SET in a transaction that commits',
      async (c) => {
        for (const sql of ['BEGIN', `SET work_mem = '3MB'`, 'COMMIT']) await ask(c, sql);
      },
      'SHOW work_mem',
      '3MB',
    ],
    [
      'a name beyond ASCII',
      (c) => ask(c, `SET app."Größe" = 'XL'`),
      `SELECT nullif(current_setting('app.größe', true), '')`,
      'XL',
    ],
    [
      'a value beyond ASCII',
      (c) => ask(c, `SET app.city = 'Köln'`),
      `SELECT current_setting('app.city')`,
      'Köln',
    ],
    ['a function', (c) => ask(c, 'SELECT set_style()'), 'SHOW datestyle', 'German, DMY'],
  ];
  for (const [way, set, look, value] of ways) {
    it(`by ${way} is there on every server connection, and the client keeps none`, async () => {
      const client = await connect();
      await set(client);
      assert.deepEqual(await askEverywhere(client, look), [value]);
      const other = await connect();
      assert.notDeepEqual(await askEverywhere(other, look), [value]);
      for (const each of [client, other]) each.end();
    });
  }

  it('in a transaction that is rolled back is gone, and one before a savepoint stays', async () => {
    const client = await connect();
    for (const sql of ['BEGIN', `SET work_mem = '3MB'`, 'ROLLBACK']) await ask(client, sql);
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['4MB']);
    for (const sql of [
      'BEGIN',
      `SET work_mem = '3MB'`,
      'SAVEPOINT s',
      `SET work_mem = '2MB'`,
      'ROLLBACK TO s',
      'COMMIT',
    ]) {
      await ask(client, sql);
    }
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['3MB']);
    client.end();
  });

  it('with SET LOCAL ends with its transaction', async () => {
    const client = await connect();
    for (const sql of ['BEGIN', `SET LOCAL work_mem = '3MB'`, 'COMMIT']) await ask(client, sql);
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['4MB']);
    client.end();
  });

  it('to what the server refuses stays as it was', async () => {
    const client = await connect();
    assert.equal(await ask(client, `SET work_mem = 'an elephant'`), '22023');
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['4MB']);
    client.end();
  });

  it('goes back with RESET to what the client started with, also in the same batch', async () => {
    const client = await connect({ options: '-c work_mem=7MB' });
    await ask(client, `SET work_mem = '5MB'`);
    client.send(Buffer.concat([query('RESET work_mem'), query('SHOW work_mem')]));
    await client.until('Z');
    assert.deepEqual(firstColumns(await client.until('Z')), ['7MB']);
    client.send(Buffer.concat([query('DISCARD ALL'), query('SHOW work_mem')]));
    await client.until('Z');
    assert.deepEqual(firstColumns(await client.until('Z')), ['7MB']);
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['7MB']);
    client.end();
  });

  it('with RESET in a transaction counts there with the value of its start', async () => {
    const client = await connect({ options: '-c search_path=two' });
    for (const sql of ['BEGIN', 'SET search_path = one', 'RESET search_path']) {
      await ask(client, sql);
    }
    assert.equal(await ask(client, 'SELECT n FROM t'), '2');
    await ask(client, 'COMMIT');
    client.end();
  });

  it('beyond the 100th keeps the server connection, and all of them', async () => {
    const pinned = await pins('set');
    const client = await connect();
    for (let i = 0; i < 100; i++) await ask(client, `SET app.n${i} = ${i}`);
    assert.equal(await pins('set'), pinned);
    await ask(client, 'SET app.n100 = 100');
    assert.equal(await pins('set'), pinned + 1);
    assert.deepEqual(await askEverywhere(client, `SELECT current_setting('app.n7')`), ['7']);
    client.end();
  });

  it('that makes every statement of its own too slow harms nobody else', async () => {
    const client = await connect({}, 'single');
    await ask(client, 'SET statement_timeout = 1');
    const other = await connect({}, 'single');
    for (let i = 0; i < 20; i++) {
      await ask(client, 'SELECT 1');
      assert.equal(await ask(other, 'SHOW statement_timeout'), '0');
    }
    for (const each of [client, other]) each.end();
  });
});

describe('ParameterStatus', () => {
  it('tells what a private connection tells when another connection comes', async () => {
    const client = await connect({ options: '-c datestyle=German' });
    const told = (messages: readonly RawMessage[]) =>
      messages
        .filter(({ type }) => type === 'S')
        .map(({ body }) => body.toString().split('\0').slice(0, 2).join('='));
    assert.deepEqual(told(await messagesOf(client, query(`SET datestyle = 'SQL, MDY'`))), [
      'DateStyle=SQL, MDY',
    ]);
    const holder = await connect();
    await ask(holder, 'BEGIN; SELECT 1');
    assert.deepEqual(told(await messagesOf(client, query('SELECT 1'))), []);
    assert.deepEqual(await ask(client, 'SHOW datestyle'), 'SQL, MDY');
    for (const each of [client, holder]) each.end();
  });
});

describe('a prepared statement', () => {
  it('is parsed for each search path by itself, and shared whatever the work_mem', async () => {
    const clients = [
      await connect({ options: '-c search_path=one' }),
      await connect({ options: '-c search_path=two' }),
      await connect({ options: '-c search_path=two -c work_mem=8MB' }),
    ];
    const answers: string[][] = [];
    for (const client of clients) {
      const run = [parse('SELECT n FROM t', 's'), bind([], 's'), execute(), sync()];
      answers.push(firstColumns(await messagesOf(client, ...run)));
    }
    assert.deepEqual(answers, [['1'], ['2'], ['2']]);
    for (const client of clients) client.end();
  });

  it('has its literals in the time zone that its client had when it was parsed', async () => {
    const utc = await connect({ options: '-c timezone=UTC' });
    const tokyo = await connect({ options: '-c timezone=Asia/Tokyo' });
    const sql = `SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::int8`;
    for (const [client, epoch] of [
      [utc, '1577836800'],
      [tokyo, '1577804400'],
    ] as const) {
      const run = [parse(sql, 'z'), bind([], 'z'), execute(), sync()];
      assert.deepEqual(firstColumns(await messagesOf(client, ...run)), [epoch]);
    }
    for (const client of [utc, tokyo]) client.end();
  });

  it('that sets a parameter does so each time it is executed, not when it is parsed', async () => {
    const client = await connect();
    await messagesOf(
      client,
      parse(`SET work_mem = '6MB'`, 'setter'),
      describeMessage('S', 'setter'),
      sync(),
    );
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['4MB']);
    await messagesOf(client, bind([], 'setter'), execute(), sync());
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['6MB']);
    await ask(client, 'RESET work_mem');
    await messagesOf(client, bind([], 'setter'), execute(), sync());
    assert.deepEqual(await askEverywhere(client, 'SHOW work_mem'), ['6MB']);
    client.end();
  });

  it('without a name outlives what the proxy says to the server between two uses', async () => {
    const client = await connect({ options: '-c work_mem=7MB' });
    await ask(client, 'BEGIN');
    await messagesOf(client, ...extended('RESET work_mem'));
    const again = await messagesOf(client, bind(), execute(), sync());
    assert.equal(again.map(({ type }) => type).join(''), '2CZ');
    client.end();
  });

  it('behind SET LOCAL search_path is nobody else’s', async () => {
    const [local, plain] = [await connect(), await connect({ options: '-c search_path=two' })];
    for (const sql of ['BEGIN', 'SET LOCAL search_path = one']) await ask(local, sql);
    const run = [parse('SELECT n FROM t', 'l'), bind([], 'l'), execute(), sync()];
    assert.deepEqual(firstColumns(await messagesOf(local, ...run)), ['1']);
    await ask(local, 'COMMIT');
    assert.deepEqual(firstColumns(await messagesOf(plain, ...run)), ['2']);
    for (const each of [local, plain]) each.end();
  });
});

describe('a pin', () => {
  it('is not kept for a typo, in either protocol', async () => {
    const before = await pins('unparsable');
    const client = await connect();
    assert.equal(await ask(client, 'SELEC 1'), '42601');
    assert.equal(await ask(client, 'CREAT TABLE x ('), '42601');
    await messagesOf(client, ...extended('SELEC 1'));
    await messagesOf(client, parse('SELEC $1', 'named'), bind(['1'], 'named'), execute(), sync());
    assert.equal(await pins('unparsable'), before);
    client.end();
  });

  it('is kept for a text that is too long to be read', async () => {
    const before = await pins('unparsable');
    const client = await connect();
    await ask(client, `SELECT '${'x'.repeat(300_000)}'`);
    assert.equal(await pins('unparsable'), before + 1);
    client.end();
  });

  const failing: readonly [string, readonly string[], string][] = [
    [
      'a temporary table that could not be made',
      ['CREATE TEMP TABLE x (a nosuchtype)'],
      'temp_object',
    ],
    [
      'one that was rolled back',
      ['BEGIN', 'CREATE TEMP TABLE x (a int)', 'ROLLBACK'],
      'temp_object',
    ],
    ['PREPARE of nonsense', ['PREPARE p AS SELECT nosuchcolumn'], 'sql_prepare'],
    ['LISTEN that was rolled back', ['BEGIN', 'LISTEN a', 'ROLLBACK'], 'listen'],
    ['SET of what must not be set', ['SET SESSION AUTHORIZATION nobody'], 'session_authorization'],
  ];
  for (const [name, texts, reason] of failing) {
    it(`is not kept for ${name}`, async () => {
      const before = await pins(reason);
      const client = await connect();
      for (const sql of texts) await ask(client, sql);
      await ask(client, 'SELECT 1');
      assert.equal(await pins(reason), before);
      client.end();
    });
  }

  it('is kept for an advisory lock taken by a statement that failed', async () => {
    const before = await pins('advisory_lock');
    const client = await connect();
    await ask(client, 'SELECT pg_advisory_lock(3), 1 / (SELECT count(*) FROM one.t WHERE n = 0)');
    const held = `SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND objid = 3`;
    assert.equal(await ask(client, held), '1');
    assert.equal(await pins('advisory_lock'), before + 1);
    client.end();
  });

  const kept = [
    ['an advisory lock', 'SELECT pg_advisory_lock(4)', 'advisory_lock'],
    ['PREPARE', 'PREPARE p AS SELECT 1', 'sql_prepare'],
    ['setseed', 'SELECT setseed(0.5)', 'random_seed'],
  ] as const;
  for (const [name, sql, reason] of kept) {
    for (const [how, failing] of [
      ['to run', 'SELECT 1 / n FROM (VALUES (0), (0)) v (n) ORDER BY n'],
      ['to be bound', 'SELECT 1 / 0'],
    ] as const) {
      it(`is kept for ${name}, though a later statement of the batch fails ${how}`, async () => {
        const pinsBefore = await pins(reason);
        const client = await connect();
        const sent = [sql, failing].flatMap((text) => [parse(text), bind(), execute()]);
        const replies = await messagesOf(client, ...sent, sync());
        const error = replies.find(({ type }) => type === 'E');
        assert.equal(error && fields(error)['C'], '22012');
        await ask(client, 'SELECT 1');
        assert.equal(await pins(reason), pinsBefore + 1);
        client.end();
      });
    }
  }

  it('ends with DISCARD ALL, which leaves nothing to keep the connection for', async () => {
    const client = await connect({}, 'single');
    await ask(client, 'CREATE TEMP TABLE mine (a int)');
    await ask(client, 'DISCARD ALL');
    const other = await connect({}, 'single');
    assert.equal(await ask(other, 'SELECT 1'), '1');
    for (const each of [client, other]) each.end();
  });
});

describe('the last value of a sequence', () => {
  it('is known in the transaction of its nextval', async () => {
    const client = await connect();
    for (const [last, next] of [
      ['lastval()', `SELECT nextval('counted')`],
      [`currval('counted')`, `SELECT setval('counted', 7)`],
      [`currval('numbered_id_seq')`, 'INSERT INTO numbered (a) VALUES (1) RETURNING id'],
    ] as const) {
      await ask(client, 'BEGIN');
      const value = await ask(client, next);
      assert.equal(await ask(client, `SELECT ${last}`), value);
      await ask(client, 'COMMIT');
    }
    client.end();
  });

  it('is an error with a hint in the next one, and never the value of another client', async () => {
    const [client, other] = [await connect({}, 'single'), await connect({}, 'single')];
    for (const last of ['lastval()', `currval('counted')`, `currval('numbered_id_seq')`]) {
      for (const next of [
        `SELECT nextval('counted')`,
        'INSERT INTO numbered (a) VALUES (1)',
        `DO $$ BEGIN PERFORM nextval('counted'), nextval('numbered_id_seq'); END $$`,
      ]) {
        await ask(client, next);
        for (const each of [client, other]) {
          const messages = await messagesOf(each, query(`SELECT ${last}`));
          const error = messages.find(({ type }) => type === 'E');
          const { C, H } = error === undefined ? {} : fields(error);
          assert.equal(C, '55000');
          assert.match(H ?? '', /transaction pooling .* use RETURNING/);
        }
      }
    }
    for (const each of [client, other]) each.end();
  });
});

describe('application_name', () => {
  it('is the proxy’s on the server and the client’s own in its greeting, when pooled', async () => {
    const client = await connect({ application_name: 'shop' });
    assert.equal(client.parameter('application_name'), 'shop');
    assert.match(await ask(client, 'SHOW application_name'), /^dbb:/);
    await ask(client, `SET application_name = 'renamed'`);
    for (const name of await askEverywhere(await connect(), 'SHOW application_name')) {
      assert.match(name, /^dbb:/);
    }
    client.end();
  });

  it('is the client’s on each server connection that serves it, when exact', async () => {
    const client = await connect({ application_name: 'shop' }, 'exact');
    assert.deepEqual(await askEverywhere(client, 'SHOW application_name', 'exact'), ['shop']);
    await ask(client, `SET application_name = 'till'`);
    assert.deepEqual(await askEverywhere(client, 'SHOW application_name', 'exact'), ['till']);
    await ask(client, 'RESET application_name');
    assert.deepEqual(await askEverywhere(client, 'SHOW application_name', 'exact'), ['shop']);
    client.end();
  });
});

describe('server_reset: always', () => {
  it('cleans a connection that is clean by its texts', async () => {
    const client = await connect({}, 'always');
    const resets = async () => {
      const metrics = await (await fetch(proxy.metricsUrl)).text();
      return Number(/^dbbouncer_backend_resets_total\{status="clean"\} (\d+)$/m.exec(metrics)?.[1]);
    };
    await ask(client, 'SELECT 1');
    const before = await resets();
    for (let i = 0; i < 5; i++) await ask(client, 'SELECT 1');
    assert.ok((await resets()) >= before + 5);
    client.end();
  });
});
