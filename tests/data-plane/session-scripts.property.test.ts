/**
 * Clients that do at random whatever a session can hold, in and out of transactions: parameters,
 * prepared statements of both kinds, temporary tables, cursors, advisory locks, rows of a shared
 * table. Over the server connections of one pool each reads what it reads on a private connection,
 * message by message, and in the end nothing is left on any.
 * Both sides have a database of their own, so that neither sees the other's rows and locks.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import fc from 'fast-check';
import { fuzzing } from '../support/fuzzing.ts';
import {
  bind,
  close,
  describe as describeMessage,
  execute,
  parse,
  query,
  sync,
} from '../support/raw-client.ts';
import type { RawAddress } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { ObservedClient } from './observed-client.ts';

const PASSWORD = 'random sessions';
const CLIENTS = 3;
/** Both have the same name, which errors may tell, and stand on clusters of their own. */
const DATABASE = 'acme';
const SCHEMA = `CREATE TABLE shared (who int, n int);
  CREATE ROLE someone; GRANT someone TO postgres;
  GRANT ALL ON shared TO someone; CREATE SEQUENCE counted;
  CREATE FUNCTION plant() RETURNS text LANGUAGE sql
    AS $$ SELECT set_config('datestyle', 'German', false) $$;
  CREATE TABLE watched (n int);
  CREATE FUNCTION on_watched() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM plant(); RETURN NEW; END $$;
  CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION on_watched()`;

let pooled: PostgresCluster;
let direct: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  const start = () => startPostgresCluster({ superuserPassword: PASSWORD });
  [pooled, direct] = await Promise.all([start(), start()]);
  for (const cluster of [pooled, direct]) {
    await cluster.sql('postgres', `CREATE DATABASE ${DATABASE}`);
    await cluster.sql(DATABASE, SCHEMA);
  }
  // A client that is pinned has one for itself: fewer than clients would make others wait.
  const pool = { poolMode: 'transaction', maxConnections: CLIENTS, minConnections: 0 } as const;
  const tenant = { port: pooled.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({ tenants: [{ id: DATABASE, database: DATABASE, ...tenant }] });
});
after(async () => {
  await proxy.stop();
  await Promise.all([pooled.stop(), direct.stop()]);
});

function login(address: RawAddress): Promise<ObservedClient> {
  // What any client has set of parameters with two parts is there, empty, for all.
  const parameters = { 'app.one': 'from the start' };
  return ObservedClient.login(address, {
    user: 'postgres',
    password: PASSWORD,
    database: DATABASE,
    parameters,
  });
}

const pick = (...texts: readonly string[]) => fc.constantFrom(...texts);

/** `#` stands for the number of the run: locks of clients that are gone are given up late. */
const sql = fc.oneof(
  { weight: 6, arbitrary: pick('BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT a', 'ROLLBACK TO a') },
  {
    weight: 6,
    arbitrary: pick(
      `SET work_mem = '5MB'`,
      `SET LOCAL work_mem = '6MB'`,
      'RESET work_mem',
      'SHOW work_mem',
      `SET app.one = 'x'`,
      `SELECT current_setting('app.one')`,
      `SELECT set_config('timezone', 'Asia/Tokyo', true)`,
      'SHOW timezone',
      'SET ROLE someone',
      'RESET ROLE',
      'SELECT current_user',
      'RESET ALL',
    ),
  },
  {
    weight: 4,
    arbitrary: pick(
      'CREATE TEMP TABLE mine (n int)',
      'CREATE TEMP TABLE IF NOT EXISTS mine AS SELECT 1 AS n',
      'CREATE TEMP TABLE brief (n int) ON COMMIT DROP',
      'INSERT INTO mine VALUES (2)',
      'SELECT count(*) FROM mine',
      'DROP TABLE mine',
      'DISCARD TEMP',
    ),
  },
  {
    weight: 4,
    arbitrary: pick(
      'SELECT pg_try_advisory_lock(#)',
      'SELECT pg_advisory_unlock(#)',
      'SELECT pg_try_advisory_xact_lock(#)',
      'SELECT pg_advisory_unlock_all()',
    ),
  },
  {
    weight: 5,
    arbitrary: pick(
      'PREPARE p AS SELECT 40 + 2',
      'PREPARE q(int) AS SELECT $1 * 2',
      'EXECUTE p',
      'EXECUTE q(21)',
      'DEALLOCATE p',
      'DEALLOCATE ALL',
      'DISCARD PLANS',
    ),
  },
  {
    weight: 3,
    arbitrary: pick(
      'DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)',
      'DECLARE c CURSOR FOR SELECT generate_series(1, 3)',
      'FETCH 1 FROM c',
      'CLOSE c',
      'CLOSE ALL',
    ),
  },
  {
    weight: 5,
    arbitrary: pick(
      'INSERT INTO shared VALUES (#, 1)',
      'SELECT count(*) FROM shared WHERE who = #',
      'SELECT plant()',
      'INSERT INTO watched VALUES (1)',
      'SHOW datestyle',
      'DO $$ BEGIN PERFORM plant(); END $$',
      `SELECT nextval('counted') > 0`,
      'DISCARD SEQUENCES',
      'DISCARD ALL',
    ),
  },
  {
    weight: 3,
    arbitrary: pick('SELECT 1/0', 'SELEC 1', `SET work_mem = 'much'`, 'SELECT 1; SELECT 2', ''),
  },
);

/** What goes in one write, and how many ReadyForQuery it brings. */
interface Batch {
  readonly text: string;
  readonly messages: readonly Buffer[];
  readonly readies: number;
}

const NAMES = ['one', 'two'] as const;
const name = fc.constantFrom(...NAMES);

const simple = fc.array(sql, { minLength: 1, maxLength: 3 }).map((texts) => ({
  text: texts.join(' | '),
  messages: texts.map((text) => query(text)),
  readies: texts.length,
}));
const unnamed = sql.map((text) => ({
  text: `extended ${text}`,
  messages: [parse(text), bind(), describeMessage('P', ''), execute(), sync()],
  readies: 1,
}));
const named = fc.oneof(
  fc.tuple(name, sql).map(([statement, text]) => ({
    text: `parse ${statement}: ${text}`,
    messages: [parse(text, statement), sync()],
    readies: 1,
  })),
  name.map((statement) => ({
    text: `run ${statement}`,
    messages: [bind([], statement), execute(), sync()],
    readies: 1,
  })),
  name.map((statement) => ({
    text: `close ${statement}`,
    messages: [close('S', statement), sync()],
    readies: 1,
  })),
);
const batch: fc.Arbitrary<Batch> = fc.oneof(
  { weight: 5, arbitrary: simple },
  { weight: 2, arbitrary: unnamed },
  { weight: 3, arbitrary: named },
);
const script = fc.array(fc.tuple(fc.nat({ max: CLIENTS - 1 }), batch), {
  minLength: 1,
  maxLength: 16,
});

let runs = 1000;

/** The number has always four digits: lengths of messages stay as they are. */
function numbered(message: Buffer, run: number): Buffer {
  const text = message.toString('latin1');
  if (!text.includes('#')) return message;
  const replaced = Buffer.from(text.replaceAll('#', String(run)), 'latin1');
  replaced.writeInt32BE(replaced.length - 1, 1);
  return replaced;
}

describe('random scripts of whole sessions', () => {
  it('read message by message the same as on private connections', async () => {
    await fc.assert(
      fc.asyncProperty(script, async (steps) => {
        const run = runs++;
        const pairs = await Promise.all(
          Array.from({ length: CLIENTS }, () =>
            Promise.all([login(proxy), login({ host: '127.0.0.1', port: direct.port })]),
          ),
        );
        try {
          for (const [who, { text, messages, readies }] of steps) {
            const bytes = Buffer.concat(messages.map((message) => numbered(message, run)));
            const pair = pairs[who] ?? [];
            const [mine, right] = await Promise.all(pair.map((side) => side.ask(bytes, readies)));
            assert.deepEqual(mine, right, `${who}: ${text}`);
            const [told, toldRight] = pair.map((side) => Object.fromEntries(side.parameters));
            assert.deepEqual(told, toldRight, `${who}: ${text}`);
          }
        } finally {
          for (const { client } of pairs.flat()) client.end();
        }
      }),
      fuzzing({ runs: 60, seed: 60_817 }),
    );
    await proxy.atRest();
    assert.deepEqual(await proxy.leaks(), []);
  });
});
