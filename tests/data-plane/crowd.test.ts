/**
 * A crowd that connects, asks and leaves in random order while the database restarts three times:
 * nobody hangs, everybody who is not served reads why, no slot leaks. 300 clients, and 2,000 in
 * `npm run fuzz`.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';
import { fuzzing, isLongForm } from '../support/fuzzing.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import { fields, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'crowd secret';
const CLIENTS = isLongForm() ? 2_000 : 300;
const { seed: SEED = randomInt(1_000_000) } = fuzzing({ runs: 1, seed: 77_001 });
/** Clients that are there at the same time. */
const AT_ONCE = 80;
const MAX_CONNECTIONS = 8;
/** More than acquire_timeout and a restart: who has heard nothing until then hangs. */
const HANGS_AFTER_MS = 20_000;
/** What a client may read instead of its answer while its database goes down and comes back. */
const EXPECTED =
  /^(?:57P01|57P02|57P03|08\d{3}|53300|XX000 the database system is|58000 the database system is)/;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const pool = {
    poolMode: 'transaction',
    maxConnections: MAX_CONNECTIONS,
    minConnections: 2,
    idleTimeoutMs: 200,
    serverLoginRetryMs: 300,
    acquireTimeoutMs: 8_000,
    leakDetector: 'off',
  } as const;
  const login = { username: 'postgres', password: PASSWORD };
  const { port } = cluster;
  proxy = await TestProxy.start({
    tenants: [{ id: 'acme', port, database: 'postgres', ...login, pool }],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

/** Whole numbers below a limit, the same for the same seed. Source: Lehmer, MINSTD. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed % 2_147_483_646) + 1;
  }

  below(limit: number): number {
    this.#state = (this.#state * 48_271) % 2_147_483_647;
    return this.#state % limit;
  }
}

/** `served`, or what the client read instead. */
type Outcome = string;

/** What the client reads to `sql`: nothing but rows, or an error. */
async function answer(client: RawClient, sql: string): Promise<Outcome> {
  client.send(query(sql));
  const messages = await client.until('Z');
  const error = messages.find(({ type }) => type === 'E');
  if (error !== undefined) {
    const { C, M } = fields(error);
    return `${C} ${M}`;
  }
  return messages.at(-1)?.type === 'Z' ? 'served' : '08006 ended';
}

/** One client from its login to its end, with what it read at last. */
async function visit(dice: Dice): Promise<Outcome> {
  const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
  const client = await RawClient.login(proxy, login).catch((error: Error) => error.message);
  if (typeof client === 'string') return client === 'connection ended' ? '08006 ended' : client;
  let last: Outcome = 'served';
  for (let left = dice.below(4); left >= 0 && last === 'served'; left -= 1) {
    const kind = dice.below(4);
    if (kind === 0) last = await answer(client, 'BEGIN');
    if (kind === 1) last = await answer(client, 'SELECT pg_sleep(0.005)');
    if (last === 'served') last = await answer(client, 'SELECT 1');
    if (kind === 0 && last === 'served') last = await answer(client, 'COMMIT');
    if (dice.below(4) === 0) await pause(dice.below(20));
  }
  const end = dice.below(3);
  if (end === 0) client.end();
  else if (end === 1) client.destroy();
  else {
    client.send(query('BEGIN; SELECT pg_sleep(0.01)'));
    client.destroy();
  }
  return last;
}

async function orHang(visiting: Promise<Outcome>): Promise<Outcome> {
  const hang = new AbortController();
  const late = pause(HANGS_AFTER_MS, `hangs`, { signal: hang.signal }).catch(() => 'over');
  const outcome = await Promise.race([visiting, late]);
  hang.abort();
  return outcome;
}

describe(`${CLIENTS} clients and 3 restarts of their database, seed ${SEED}`, () => {
  it('leave nobody hanging and no slot leaking', async () => {
    const outcomes: Outcome[] = [];
    const dice = new Dice(SEED);
    let begun = 0;
    const seat = async () => {
      while (begun < CLIENTS) {
        begun += 1;
        outcomes.push(await orHang(visit(new Dice(dice.below(1_000_000)))));
      }
    };
    const isPast = (share: number) => () => outcomes.length >= CLIENTS * share;
    const restarts = async () => {
      await eventually('a quarter is through', isPast(0.25), { withinMs: 120_000 });
      await cluster.restart('immediate');
      await eventually('a half is through', isPast(0.5), { withinMs: 120_000 });
      await cluster.restart('fast');
      await eventually('three quarters are through', isPast(0.75), { withinMs: 120_000 });
      await cluster.kill();
      await cluster.start();
    };
    await Promise.all([restarts(), ...Array.from({ length: AT_ONCE }, seat)]);

    const strange = outcomes.filter((each) => each !== 'served' && !EXPECTED.test(each));
    assert.deepEqual(strange, []);
    assert.equal(outcomes.length, CLIENTS);
    const served = outcomes.filter((each) => each === 'served').length;
    assert.ok(served > CLIENTS / 4, `${served} were served`);

    await untilAtRest(proxy);
    // What a starting server said is repeated until it is asked again (server_login_retry).
    await eventually('the next client is served', async () => (await visit(dice)) === 'served');
    await untilAtRest(proxy);
    const sql = `SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'dbb:%'`;
    const fallen = async () => (await cluster.sql('postgres', sql)).length === 2;
    await eventually('the server connections fall to the minimum of 2', fallen);
    assert.equal(await metric(proxy, 'dbbouncer_connections_total'), 2);
  });
});
