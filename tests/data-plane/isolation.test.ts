/**
 * What one client leaves in its session never reaches the next client of the same server
 * connection, also when it was planted inside functions, views, triggers and defaults.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'isolation secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE DATABASE acme');
  await cluster.sql(
    'acme',
    `CREATE FUNCTION plant() RETURNS text LANGUAGE sql
       AS $$ SELECT set_config('app.user', 'secret', false) $$;
     CREATE TABLE watched (a int);
     CREATE FUNCTION on_watched() RETURNS trigger LANGUAGE plpgsql
       AS $$ BEGIN PERFORM plant(); RETURN NEW; END $$;
     CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION on_watched();
     CREATE VIEW planting AS SELECT plant() AS p;
     CREATE TABLE numbered (id serial, a int);
     CREATE TABLE plain (a int)`,
  );
  const pool = { poolMode: 'transaction', maxConnections: 1, minConnections: 1 } as const;
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', database: 'acme', ...tenant }] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

async function ask(client: RawClient, sql: string): Promise<string> {
  client.send(query(sql));
  const messages = await client.until('Z');
  const error = messages.find(({ type }) => type === 'E');
  return error === undefined ? firstColumns(messages).join() : (fields(error)['C'] ?? '');
}

/** What the next client sees after `plant` was run by one before it. */
async function seenAfter(plant: string, look: string): Promise<string> {
  const [first, next] = [await RawClient.login(proxy, login), await RawClient.login(proxy, login)];
  // Warm, so that the catalog is known and connections are not reset for want of knowledge.
  for (let i = 0; i < 20; i++) await ask(next, 'SELECT a FROM plain');
  await ask(first, plant);
  // A client that is pinned gives its connection up only when it leaves.
  first.end();
  const seen = await ask(next, look);
  next.end();
  return seen;
}

const lookAtParameter = `SELECT coalesce(current_setting('app.user', true), '')`;

describe('the next client of a server connection', () => {
  const plants: readonly [string, string][] = [
    ['a function', 'SELECT plant()'],
    ['a trigger', 'INSERT INTO watched VALUES (1)'],
    ['a view over a function', 'SELECT * FROM planting'],
    ['DO', 'DO $$ BEGIN PERFORM plant(); END $$'],
    ['several statements in one text', `SELECT 1; SET app.user = 'secret'`],
    ['a view made a moment ago', 'CREATE VIEW fresh AS SELECT plant(); SELECT * FROM fresh'],
  ];
  for (const [name, plant] of plants) {
    it(`does not see a parameter set by ${name}`, async () => {
      assert.equal(await seenAfter(plant, lookAtParameter), '');
    });
  }

  it('does not see lastval of another client, but 55000', async () => {
    assert.equal(
      await seenAfter('INSERT INTO numbered (a) VALUES (1)', 'SELECT lastval()'),
      '55000',
    );
  });

  it('does not see temporary tables, cursors, prepared statements and locks', async () => {
    const temp = 'CREATE TEMP TABLE mine (a int)';
    assert.equal(await seenAfter(temp, 'SELECT count(*) FROM mine'), '42P01');
    const prepare = 'PREPARE p AS SELECT 1';
    assert.equal(await seenAfter(prepare, 'SELECT count(*) FROM pg_prepared_statements'), '0');
    const lock = 'SELECT pg_advisory_lock(7)';
    const held = `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`;
    assert.equal(await seenAfter(lock, held), '0');
  });
});
