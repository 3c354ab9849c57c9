/**
 * What clients leave on server connections, looked for after each of them: nothing, whatever they
 * plant and wherever; and where something does stay, it is counted and taken away.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
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

const PASSWORD = 'leaky secret';
const INSPECTIONS = 'dbbouncer_state_inspections_total';
let cluster: PostgresCluster;
let proxy: TestProxy;

/** Each leaves something in the session that runs it. */
const PLANTS: Readonly<Record<string, string>> = {
  parameter: `PERFORM set_config('work_mem', '9MB', false)`,
  custom_parameter: `PERFORM set_config('app.user', 'secret', false)`,
  temp_object: `CREATE TEMP TABLE IF NOT EXISTS left_behind (a int)`,
  hold_cursor: `EXECUTE 'DECLARE held CURSOR WITH HOLD FOR SELECT 1'`,
  prepared_statement: `EXECUTE 'PREPARE left_prepared AS SELECT 1'`,
  advisory_lock: `PERFORM pg_advisory_lock(77)`,
  listen: `LISTEN left_channel`,
  sequence: `PERFORM nextval('counted')`,
  // The last: it may not do the others.
  role: `SET ROLE reader`,
};
const KINDS = Object.keys(PLANTS).toSorted();

/** What a function cannot do: a cursor of its own ends with it. */
const NOT_IN_FUNCTIONS: ReadonlySet<string> = new Set(['hold_cursor']);

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE DATABASE acme');
  const functions = Object.entries(PLANTS)
    .filter(([kind]) => !NOT_IN_FUNCTIONS.has(kind))
    .map(
      ([kind, plant]) => `
CREATE FUNCTION plant_${kind}() RETURNS int LANGUAGE plpgsql
  AS $f$ BEGIN ${plant}; RETURN 1; END $f$;
CREATE VIEW view_${kind} AS SELECT plant_${kind}() AS planted;
CREATE TABLE table_${kind} (a int);
CREATE FUNCTION on_${kind}() RETURNS trigger LANGUAGE plpgsql
  AS $f$ BEGIN ${plant}; RETURN NEW; END $f$;
CREATE TRIGGER t BEFORE INSERT ON table_${kind} FOR EACH ROW EXECUTE FUNCTION on_${kind}();`,
    );
  await cluster.sql(
    'acme',
    `CREATE ROLE reader; GRANT ALL ON SCHEMA public TO reader; CREATE SEQUENCE counted;
     CREATE TABLE plain (a int); CREATE TABLE numbered (id serial, a int); ${functions.join('\n')}
     GRANT ALL ON ALL TABLES IN SCHEMA public TO reader`,
  );
  const pool = { poolMode: 'transaction', maxConnections: 1, minConnections: 0 } as const;
  const common = { port: cluster.port, database: 'acme', username: 'postgres', password: PASSWORD };
  const initSql = `SET work_mem = '7MB'; CREATE TEMP TABLE mine (a int); PREPARE p AS SELECT 1;
    SELECT nextval('counted')`;
  proxy = await TestProxy.start({
    tenants: [
      { id: 'acme', ...common, pool },
      { id: 'prepared', ...common, pool, initSql },
      { id: 'lane', ...common, pool: { ...pool, maxConnections: 4 } },
    ],
  });
});
after(async () => {
  await proxy.stop('expected');
  await cluster.stop();
});

function connect(tenant = 'acme'): Promise<RawClient> {
  return RawClient.login(proxy, { user: `${tenant}__postgres`, password: PASSWORD });
}

async function ask(client: RawClient, ...texts: readonly string[]): Promise<string> {
  let answer = '';
  for (const sql of texts) {
    client.send(query(sql));
    const messages = await client.until('Z');
    const error = messages.find(({ type }) => type === 'E');
    answer = error === undefined ? firstColumns(messages).join() : (fields(error)['C'] ?? '');
  }
  return answer;
}

/** Runs `script` as a client of its own, to its end. */
async function play(script: readonly string[], tenant?: string): Promise<void> {
  const client = await connect(tenant);
  await ask(client, ...script);
  client.end();
  await untilAtRest(proxy);
}

const bare = (plant: string) =>
  plant.startsWith('PERFORM')
    ? plant.replace('PERFORM', 'SELECT')
    : plant.replace(/^EXECUTE '(.*)'$/, '$1');

describe('the leak detector', () => {
  it('finds nothing after what clients plant directly, alone and in transactions', async () => {
    const before = await metric(proxy, INSPECTIONS);
    for (const plant of Object.values(PLANTS)) {
      const sql = bare(plant);
      await play([sql]);
      await play(['BEGIN', sql, 'COMMIT', 'SELECT a FROM plain']);
      await play(['BEGIN', sql, 'ROLLBACK', 'SELECT a FROM plain']);
      await play([`SELECT 1; ${sql}; SELECT 1/0`, 'SELECT a FROM plain']);
    }
    await play(['INSERT INTO numbered (a) VALUES (1)', 'SELECT a FROM plain']);
    assert.deepEqual(await proxy.leaks(), []);
    assert.ok((await metric(proxy, INSPECTIONS)) >= before + 4 * Object.keys(PLANTS).length);
  });

  it('finds nothing after what functions, views, triggers and DO plant', async () => {
    const before = await metric(proxy, INSPECTIONS);
    // Warm, so that what is not reset is not for want of knowledge of the catalog.
    for (let i = 0; i < 20; i++) await play(['SELECT a FROM plain']);
    for (const [kind, plant] of Object.entries(PLANTS)) {
      await play([`DO $$ BEGIN ${plant}; END $$`, 'SELECT a FROM plain']);
      if (NOT_IN_FUNCTIONS.has(kind)) continue;
      await play([`SELECT plant_${kind}()`]);
      await play([`SELECT * FROM view_${kind}`]);
      await play(['BEGIN', `INSERT INTO table_${kind} VALUES (1)`, 'COMMIT', 'SELECT 1']);
      await play(['BEGIN', `SELECT plant_${kind}()`, 'ROLLBACK', 'SELECT 1']);
    }
    assert.deepEqual(await proxy.leaks(), []);
    assert.ok((await metric(proxy, INSPECTIONS)) >= before + 20 + 5 * Object.keys(PLANTS).length);
  });

  it('knows what a client has set and prepared from what is left', async () => {
    const client = await connect();
    await ask(client, `SET work_mem = '8MB'`, `SET datestyle = 'German'`, `SET app.mine = 'é'`);
    client.send(Buffer.concat([parse('SELECT 1', 's'), bind([], 's'), execute(), sync()]));
    await client.until('Z');
    await ask(client, 'SET ROLE reader', 'SELECT 1', 'RESET ALL', 'SELECT 1');
    client.end();
    await untilAtRest(proxy);
    assert.deepEqual(await proxy.leaks(), []);
  });

  it('takes what init_sql does for the beginning of a session', async () => {
    await play(['SELECT 1', `SET work_mem = '8MB'`, 'RESET work_mem', 'SELECT 1'], 'prepared');
    await play(['DO $$ BEGIN DROP TABLE mine; END $$', 'SELECT 1'], 'prepared');
    assert.deepEqual(await proxy.leaks(), []);
  });

  it('looks at a shared connection after reads, and not again while it is idle', async () => {
    const client = await connect('lane');
    const shared = () => metric(proxy, 'dbbouncer_shared_batches_total');
    const before = { shared: await shared(), inspections: await metric(proxy, INSPECTIONS) };
    for (let i = 0; i < 30; i++) await ask(client, 'SELECT a FROM plain');
    assert.ok((await shared()) > before.shared, 'the lane has answered');
    client.end();
    await untilAtRest(proxy);
    // A detector that goes on would be at it hundreds of times meanwhile.
    for (let i = 0; i < 20; i++) await play(['SELECT 1'], 'acme');
    const inspections = (await metric(proxy, INSPECTIONS)) - before.inspections;
    assert.ok(inspections > 20 && inspections <= 60, `${inspections} inspections`);
  });

  it('looks at nothing while it is off, and at all as soon as it is on', async () => {
    await proxy.setPool('acme', { leakDetector: 'off' });
    const before = await metric(proxy, INSPECTIONS);
    for (let i = 0; i < 5; i++) await play(['SELECT 1']);
    assert.equal(await metric(proxy, INSPECTIONS), before);
    await proxy.setPool('acme', { leakDetector: 'all' });
    for (let i = 0; i < 5; i++) await play(['SELECT 1']);
    assert.ok((await metric(proxy, INSPECTIONS)) >= before + 5);
  });

  it('counts each kind of what an unseen trigger leaves, and takes it away', async () => {
    const client = await connect();
    await ask(client, `SELECT current_setting('app.user', true)`);
    const resets = () => metric(proxy, 'dbbouncer_backend_resets_total');
    await eventually('an INSERT into the plain table is known to be harmless', async () => {
      const before = await resets();
      await ask(client, 'INSERT INTO plain VALUES (1)');
      await untilIdle();
      return (await resets()) === before;
    });
    const plants = Object.entries(PLANTS).filter(([kind]) => !NOT_IN_FUNCTIONS.has(kind));
    await cluster.sql(
      'acme',
      `CREATE FUNCTION unseen() RETURNS trigger LANGUAGE plpgsql
         AS $f$ BEGIN ${plants.map(([, plant]) => `${plant};`).join(' ')} RETURN NEW; END $f$;
       CREATE TRIGGER unseen BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION unseen()`,
    );
    await ask(client, 'INSERT INTO plain VALUES (2)');
    await untilIdle();
    const found = KINDS.filter((kind) => !NOT_IN_FUNCTIONS.has(kind));
    assert.deepEqual(
      (await proxy.leaks()).toSorted(),
      found.map((kind) => `dbbouncer_state_leaks_total{kind="${kind}"} 1`),
    );
    const next = await connect();
    assert.equal(await ask(next, 'SHOW work_mem'), '4MB');
    assert.equal(await ask(next, 'SELECT current_user'), 'postgres');
    for (const each of [client, next]) each.end();
  });
});

function untilIdle(): Promise<unknown> {
  return eventually('no connection is in use', async () => {
    return (await metric(proxy, 'dbbouncer_connections_active')) === 0;
  });
}
