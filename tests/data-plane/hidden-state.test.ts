/**
 * State that is easily overlooked, since no reset takes it or no text shows it: the seed of
 * random(), times that a statement keeps from its parsing, names that all clients share, and code
 * that was defined after a statement was sent.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';
import { untilAtRest } from '../support/proxy-metrics.ts';
import {
  bind,
  execute,
  fields,
  firstColumns,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'hidden secret';
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE DATABASE acme');
  await cluster.sql(
    'acme',
    `CREATE TABLE plain (a int); CREATE TABLE raced (a int);
     CREATE FUNCTION seeding() RETURNS float8 LANGUAGE sql
       AS $$ SELECT setseed(0.5); SELECT random() $$;
     CREATE FUNCTION checking(int) RETURNS boolean LANGUAGE plpgsql AS $$
       BEGIN PERFORM set_config('app.planted', 'secret', false); RETURN true; END $$;
     CREATE DOMAIN checked AS int CHECK (checking(VALUE)); CREATE TYPE composite AS (a checked);
     CREATE TABLE composites (a composite);
     CREATE FUNCTION planting() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN PERFORM set_config('app.planted', 'secret', false); RETURN NEW; END $$`,
  );
  const pool = { poolMode: 'transaction', minConnections: 0, listen: 'pin' } as const;
  const common = { port: cluster.port, database: 'acme', username: 'postgres', password: PASSWORD };
  proxy = await TestProxy.start({
    tenants: [
      { id: 'single', ...common, pool: { ...pool, maxConnections: 1 } },
      { id: 'acme', ...common, pool: { ...pool, maxConnections: 4 } },
    ],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

function connect(tenant = 'single'): Promise<RawClient> {
  return RawClient.login(proxy, { user: `${tenant}__postgres`, password: PASSWORD });
}

async function send(client: RawClient, ...messages: Buffer[]): Promise<string> {
  client.send(Buffer.concat(messages));
  const answer = await client.until('Z');
  const error = answer.find(({ type }) => type === 'E');
  return error === undefined ? firstColumns(answer).join() : (fields(error)['C'] ?? '');
}

const ask = (client: RawClient, sql: string) => send(client, query(sql));
/** Until then everything is reset that could leave something. */
async function catalogIsKnown(client: RawClient): Promise<void> {
  for (let i = 0; i < 100; i++) await ask(client, 'SELECT count(*) FROM plain');
}

const run = (name: string) => Buffer.concat([bind([], name), execute(), sync()]);

describe('the seed of random()', () => {
  const ways: Readonly<Record<string, readonly string[]>> = {
    'setseed()': ['SELECT setseed(0.5)'],
    'setseed() in a transaction that is rolled back': ['BEGIN', 'SELECT setseed(0.5)', 'ROLLBACK'],
    'setseed() in a statement that fails': ['SELECT 1 / length(setseed(0.5)::text)'],
    'setseed() in a function': ['SELECT seeding()'],
    'setseed() in DO': ['DO $$ BEGIN PERFORM setseed(0.5); END $$'],
    'SET seed': ['SET seed = 0.5'],
    'SET LOCAL seed': ['BEGIN', 'SET LOCAL seed = 0.5', 'COMMIT'],
    'set_config, local': [`SELECT set_config('seed', '0.5', true)`],
  };
  for (const [way, texts] of Object.entries(ways)) {
    it(`that a client sets by ${way} does not tell what the next client gets`, async () => {
      const numbers = new Set<string>();
      for (let round = 0; round < 2; round++) {
        const first = await connect();
        for (const sql of texts) await ask(first, sql);
        first.end();
        await untilAtRest(proxy);
        const second = await connect();
        numbers.add(await ask(second, 'SELECT random()'));
        second.end();
      }
      assert.equal(numbers.size, 2);
    });
  }

  it('stays with the client that has set it', async () => {
    const client = await connect();
    await ask(client, 'SELECT setseed(0.5)');
    const number = await ask(client, 'SELECT random()');
    await ask(client, 'SELECT setseed(0.5)');
    assert.equal(await ask(client, 'SELECT random()'), number);
    client.end();
  });
});

describe('a prepared statement', () => {
  /** Of a first use the server connection is cleaned, until the catalog is known. */
  async function sharedName(client: RawClient, text: string): Promise<string> {
    await send(client, parse(text, 'mine'), sync());
    return eventually('the statement stays on the server connection', async () => {
      await send(client, run('mine'));
      const known = `SELECT name FROM pg_prepared_statements WHERE statement = '${text}'`;
      return (await ask(client, known)) || undefined;
    });
  }

  it('given up by the name that clients share is still there for its own', async () => {
    const [owner, other] = [await connect(), await connect()];
    const name = await sharedName(owner, 'SELECT 4711');
    const givingUp = `DEALLOCATE ${name}`;
    const ways: readonly (readonly Buffer[])[] = [
      [query(givingUp)],
      [parse(givingUp), bind(), execute(), sync()],
      [parse(givingUp, 'theirs'), bind([], 'theirs'), execute(), sync()],
      [query(`BEGIN; ${givingUp}; COMMIT`)],
    ];
    for (const way of ways) {
      await send(other, ...way);
      assert.equal(await send(owner, run('mine')), '4711');
      assert.equal(await send(owner, run('mine')), '4711');
    }
    owner.end();
    other.end();
  });

  it(`with 'now' has the time of its own parsing, not of another client's`, async () => {
    const [early, late] = [await connect(), await connect()];
    const text = `SELECT extract(epoch FROM 'now'::timestamptz)`;
    await send(early, parse(text, 'a'), run('a'));
    await ask(late, 'SELECT pg_sleep(0.01)');
    const start = Number(await ask(late, 'SELECT extract(epoch FROM clock_timestamp())'));
    assert.ok(Number(await send(late, parse(text, 'b'), run('b'))) >= start);
    early.end();
    late.end();
  });
});

describe('a domain whose check calls a function', () => {
  it('leaves nothing where only the OID of a parameter names it', async () => {
    const client = await connect('acme');
    await ask(client, `SELECT current_setting('app.planted', true)`);
    const oid = Number(await ask(client, `SELECT 'checked'::regtype::oid`));
    await catalogIsKnown(client);
    for (const name of ['', 'named']) {
      const parsed = parse('SELECT $1', name, [oid]);
      assert.equal(await send(client, parsed, bind(['1'], name), execute(), sync()), '1');
    }
    client.end();
    await untilAtRest(proxy);
    assert.deepEqual(await proxy.leaks(), []);
  });

  it('leaves nothing where a statement with such a literal is only parsed', async () => {
    const client = await connect('acme');
    await ask(client, `SELECT current_setting('app.planted', true)`);
    await catalogIsKnown(client);
    const texts = [
      `SELECT '(1)'::composite`,
      `SELECT '{1}'::checked[]`,
      `INSERT INTO composites VALUES ('(1)')`,
    ];
    for (const text of texts) await send(client, parse(text), sync());
    client.end();
    await untilAtRest(proxy);
    assert.deepEqual(await proxy.leaks(), []);
  });
});

describe('a trigger that is committed while an INSERT waits for it', () => {
  it('leaves nothing to the next client of the server connection', async () => {
    const definer = await connect('acme');
    // The detector looks for names that it has read.
    await ask(definer, `SELECT current_setting('app.planted', true)`);
    await ask(definer, 'BEGIN');
    await ask(
      definer,
      'CREATE TRIGGER t BEFORE INSERT ON raced FOR EACH ROW EXECUTE FUNCTION planting()',
    );
    // Long enough for the catalog to be read, which does not show the trigger.
    const reader = await connect('acme');
    await catalogIsKnown(reader);
    const writer = await connect('acme');
    const inserted = ask(writer, 'INSERT INTO raced VALUES (1)');
    await eventually('the INSERT waits for the trigger', async () => {
      const waits = `SELECT 1 FROM pg_stat_activity
        WHERE query LIKE 'INSERT INTO raced%' AND wait_event_type = 'Lock'`;
      return (await cluster.sql('postgres', waits)).length > 0;
    });
    await ask(definer, 'COMMIT');
    assert.equal(await inserted, '');
    for (const client of [definer, reader, writer]) client.end();
    await untilAtRest(proxy);
    assert.deepEqual(await proxy.leaks(), []);
  });
});
