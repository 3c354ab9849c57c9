/**
 * What the catalog of a real database says about statements, beside what they really leave in a
 * session. A statement that plants something must never be called clean; the plain ones that make
 * up most traffic must be.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { leavesClean } from '@dbbouncer/data-plane/session/postgres/catalog-judgement.ts';
import { textEffects } from '@dbbouncer/data-plane/session/postgres/sql/effects.ts';
import { Catalog } from '@dbbouncer/data-plane/upstream/catalog/catalog.ts';
import type { CatalogFacts } from '@dbbouncer/data-plane/upstream/catalog/catalog-facts.ts';
import { RELATIONS_MAX } from '@dbbouncer/data-plane/upstream/catalog/catalog-query.ts';
import { loadCatalogFacts } from '@dbbouncer/data-plane/upstream/catalog/load-catalog.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { followPromises, ManualClock } from '../support/manual-clock.ts';
import { CASES, CATALOG_LAST } from './catalog-cases.ts';
import type { CatalogCase } from './catalog-cases.ts';

const PASSWORD = 'catalog secret';
let cluster: PostgresCluster;
let databases = 0;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
});
after(() => cluster.remove());

async function databaseWith(setup: string): Promise<string> {
  const database = `case_${(databases += 1)}`;
  await cluster.sql('postgres', `CREATE DATABASE ${database}`);
  if (setup !== '') await cluster.sql(database, setup);
  return database;
}

async function withSession<T>(
  database: string,
  user: string,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const { host, port } = cluster;
  const client = new Client({ host, port, user, password: PASSWORD, database });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** The rows of all results of a simple Query, as the proxy's own conversation gives them. */
async function rowsOf(client: Client, text: string): Promise<(string | null)[][]> {
  const types = { getTypeParser: () => (value: string) => value };
  const result = await client.query({ text, rowMode: 'array', types });
  const results = (Array.isArray(result) ? result : [result]) as { rows: (string | null)[][] }[];
  return results.flatMap(({ rows }) => rows);
}

function factsOf(database: string): Promise<CatalogFacts> {
  return withSession(database, 'app', (client) => loadCatalogFacts((sql) => rowsOf(client, sql)));
}

async function catalogOf(facts: CatalogFacts): Promise<Catalog> {
  const load = () => Promise.resolve(facts);
  const catalog = new Catalog({ load, clock: new ManualClock(), log: silentLogger });
  catalog.refreshSoon();
  await followPromises();
  return catalog;
}

/** What a statement may leave behind without a text showing it. */
async function sessionState(client: Client): Promise<unknown> {
  const rows = await rowsOf(
    client,
    `SELECT current_setting('application_name'), current_setting('search_path'),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       (SELECT count(*) FROM pg_listening_channels()),
       (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
       (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors)`,
  );
  const lastValue = await rowsOf(client, 'SELECT lastval()').catch(() => 'none');
  return { rows, lastValue };
}

function leavesTraces(database: string, text: string): Promise<boolean> {
  return withSession(database, 'postgres', async (client) => {
    const before = await sessionState(client);
    await client.query(text);
    const after = await sessionState(client);
    return JSON.stringify(before) !== JSON.stringify(after);
  });
}

async function check({ setup, clean = [], dirty = [], plants = [] }: CatalogCase): Promise<void> {
  const database = await databaseWith(setup);
  const catalog = await catalogOf(await factsOf(database));
  const judged = (text: string) =>
    leavesClean(textEffects(text, { standardConformingStrings: true }), catalog);
  for (const text of clean) assert.equal(judged(text), true, `clean: ${text}`);
  for (const text of [...dirty, ...plants]) assert.equal(judged(text), false, `dirty: ${text}`);
  // These first: the clean ones may empty the tables.
  for (const text of plants) {
    assert.equal(await leavesTraces(database, text), true, `really plants: ${text}`);
  }
  for (const text of clean) {
    assert.equal(await leavesTraces(database, text), false, `leaves nothing: ${text}`);
  }
}

describe('the catalog tells', () => {
  for (const one of CASES) it(one.name, () => check(one));
});

describe('the look-up in the catalog', () => {
  it('leaves the session as it was, also with operators of others in its way', async () => {
    const database = await databaseWith(`
      CREATE FUNCTION plant(oid, oid) RETURNS bool LANGUAGE sql
        AS $$ SELECT set_config('application_name', 'planted', false) IS NOT NULL $$;
      CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = plant);
      CREATE OPERATOR public.>= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = plant);
      ${CATALOG_LAST}`);
    await withSession(database, 'app', async (client) => {
      await client.query("SET application_name TO 'mine'");
      await loadCatalogFacts((sql) => rowsOf(client, sql));
      const names = ['application_name', 'search_path', 'statement_timeout', 'jit'];
      const state = names.map((name) => `current_setting('${name}')`);
      const [row] = await rowsOf(client, `SELECT ${state.join()}`);
      assert.deepEqual(row, ['mine', 'public, pg_catalog', '0', 'on']);
    });
  });

  it('takes less than 2 s for 10000 relations and knows nothing of 10001', async () => {
    const database = await databaseWith(`
      DO $$ BEGIN FOR i IN 1..5000 LOOP EXECUTE format(
        'CREATE TABLE t%s (id int, at timestamptz DEFAULT now(), n int CHECK (n > 0))', i);
      END LOOP; END $$`);
    // Two transactions: each table takes a lock until its own ends.
    await cluster.sql(
      database,
      `DO $$ BEGIN FOR i IN 5001..${RELATIONS_MAX} LOOP EXECUTE format(
        'CREATE TABLE t%s (id int, at timestamptz DEFAULT now(), n int CHECK (n > 0))', i);
      END LOOP; END $$`,
    );
    const { facts, ms } = await fastestOf(3, () => factsOf(database));
    assert.ok(ms < 2_000, `${ms} ms`);
    assert.equal(facts.kind === 'known' && facts.relations.get(`t${RELATIONS_MAX}`), 'insert');
    await cluster.sql(database, 'CREATE TABLE one_more ()');
    assert.deepEqual(await factsOf(database), { kind: 'unknown', reason: 'too_many_relations' });
  });
});

/** A machine that is busy with something else makes a look-up slow; nothing makes one fast. */
async function fastestOf(tries: number, load: () => Promise<CatalogFacts>) {
  const times: number[] = [];
  let facts = await load();
  for (let i = 0; i < tries; i++) {
    const began = performance.now();
    facts = await load();
    times.push(performance.now() - began);
  }
  return { facts, ms: Math.min(...times) };
}
