/**
 * No client ever sees another's rows, errors, notices or state, and each has exactly one answer to
 * what it asks (invariants 3 and 4), whatever becomes of its neighbours on the shared lane.
 * Here's how it works: fourteen clients ask what bears their mark, one thing after the other, over
 * a lane of a few connections. Meanwhile its connections break between two bytes or are terminated,
 * clients cancel, read slowly or vanish, tables are locked by an outsider, the tenant is paused,
 * reconnected and given other settings. At the end nothing is held, and the server connections fall
 * to the minimum (invariant 2).
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import * as fc from 'fast-check';
import { eventually } from '../support/eventually.ts';
import { fuzzing } from '../support/fuzzing.ts';
import { LaneBreaker } from '../support/lane-breaker.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import { query, RawClient } from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { askOf, ASKS, judge, LANE_TABLES } from './lane-asks.ts';
import type { Ask, AskName, Asker, Batch } from './lane-asks.ts';

const PASSWORD = 'isolated secret';
const TENANT = 'isolated';
const SEATS = 14;
const ANSWERED_WITHIN_MS = 10_000;
const MINIMUM = 1;
/** What hears notifications for all clients stays for half a minute, of one pool and the next. */
const LISTENERS = 2;
const POOL: PoolOverrides = {
  poolMode: 'transaction',
  minConnections: MINIMUM,
  maxConnections: 5,
  sharedConnections: 2,
  maxPreparedStatements: 3,
  acquireTimeoutMs: ANSWERED_WITHIN_MS,
  pauseWaitTimeoutMs: ANSWERED_WITHIN_MS,
  cancelWaitTimeoutMs: 2_000,
  idleTimeoutMs: 200,
  pipelineStallMs: 20,
  pipelineBudgetUs: 50_000,
  leakDetector: 'sample',
};
let cluster: PostgresCluster;
let breaker: LaneBreaker;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', `CREATE DATABASE ${TENANT}`);
  await cluster.sql(TENANT, LANE_TABLES);
  breaker = await LaneBreaker.start(cluster.port);
  proxy = await TestProxy.start({ tenants: [] });
  await proxy.setTenant({
    id: TENANT,
    port: breaker.port,
    database: TENANT,
    username: 'postgres',
    password: PASSWORD,
    pool: POOL,
  });
});
after(async () => {
  await proxy.stop();
  breaker.close();
  await cluster.stop();
});

// --- scripts ---

interface Wish {
  readonly name: AskName;
  readonly from: number;
  readonly count: number;
}

type Fault =
  | { readonly do: 'break'; readonly bytes: number }
  | { readonly do: 'terminate' | 'lock' | 'reconnect' | 'pause' }
  | { readonly do: 'cancel' | 'vanish' | 'slow'; readonly seat: number }
  | { readonly do: 'change'; readonly pool: PoolOverrides };

interface Script {
  readonly wishes: readonly (readonly Wish[])[];
  readonly faults: readonly { readonly afterMs: number; readonly fault: Fault }[];
}

const SHARED: readonly AskName[] = ASKS.filter((name) =>
  /simple|empty|unnamed|named|binary|failing|zoned/.test(name),
);
const seat = fc.nat({ max: SEATS - 1 });
const wish: fc.Arbitrary<Wish> = fc.record({
  name: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...SHARED) },
    { weight: 2, arbitrary: fc.constantFrom(...ASKS) },
  ),
  from: fc.nat({ max: 999 }),
  count: fc.constantFrom(0, 1, 1, 1, 3, 1_000),
});
const fault: fc.Arbitrary<Fault> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('break' as const),
      bytes: fc.oneof(fc.nat({ max: 200 }), fc.nat({ max: 100_000 })),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom('cancel' as const, 'cancel' as const, 'vanish' as const, 'slow' as const),
      seat,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'terminate' as const,
        'lock' as const,
        'reconnect' as const,
        'pause' as const,
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      pool: fc.record({
        maxConnections: fc.integer({ min: 3, max: 8 }),
        sharedConnections: fc.integer({ min: 0, max: 3 }),
        pipelineDepthMax: fc.constantFrom(1, 4, 64),
        pipelineResendRatio: fc.constantFrom(0, 0.1, 1),
      }),
    }),
  },
);
const script: fc.Arbitrary<Script> = fc.record({
  wishes: fc.array(fc.array(wish, { minLength: 10, maxLength: 30 }), {
    minLength: SEATS,
    maxLength: SEATS,
  }),
  faults: fc.array(fc.record({ afterMs: fc.constantFrom(0, 1, 3, 10), fault }), {
    maxLength: 12,
  }),
});

// --- clients ---

let lastMark = 0;

/** Who sits somewhere, what it waits for, and how often it was asked to be cancelled. */
class Guest implements Asker {
  readonly mark = `m${++lastMark}`;
  readonly client: RawClient;
  zone: string;
  waitsFor = 'nothing';
  /** Cancel requests it has made: the proxy carries each out when it arrives. */
  cancels = 0;
  state: 'here' | 'gone' = 'here';

  private constructor(client: RawClient, zone: string) {
    this.client = client;
    this.zone = zone;
  }

  static async come(zone: string): Promise<Guest> {
    const parameters = { TimeZone: zone };
    const login = { user: 'postgres', password: PASSWORD, database: TENANT, parameters };
    const deadlineMs = performance.now() + ANSWERED_WITHIN_MS;
    for (;;) {
      try {
        return new Guest(await RawClient.login(proxy, login), zone);
      } catch (error) {
        // Its server connection, or the greeting's, may have been the one that broke.
        if (performance.now() > deadlineMs) throw error;
        await pause(10);
      }
    }
  }

  leave(): void {
    this.state = 'gone';
    this.client.destroy();
  }
}

class Run {
  readonly #guests: Guest[] = [];
  readonly #chores: Promise<unknown>[] = [];
  #broken = 0;
  #cancelled = 0;
  #operations: Promise<void> = Promise.resolve();

  async play({ wishes, faults }: Script): Promise<void> {
    const zones = ['UTC', 'Asia/Tokyo'];
    for (let at = 0; at < SEATS; at++) this.#guests.push(await Guest.come(zones[at % 2] as string));
    const sitting = wishes.map((ofSeat, at) => this.#sit(at, ofSeat));
    const stirring = this.#stir(faults);
    await Promise.all([...sitting, stirring]);
    await Promise.all(this.#chores);
    await this.#operations;
    for (const { client } of this.#guests) client.end();
  }

  // ---- asking ----

  async #sit(at: number, wishes: readonly Wish[]): Promise<void> {
    for (const { name, from, count } of wishes) {
      const guest = this.#guests[at] as Guest;
      const ended = await this.#ask(guest, askOf(name, guest, from, count));
      if (ended) this.#guests[at] = await Guest.come(at % 2 === 0 ? 'UTC' : 'Asia/Tokyo');
    }
  }

  /** @returns whether the client's connection has ended */
  async #ask(guest: Guest, { name, batches }: Ask): Promise<boolean> {
    let hasFailed = false;
    for (const batch of batches) {
      const outcome = await this.#exchange(guest, name, batch, hasFailed);
      if (outcome === 'ended') return true;
      if (outcome === 'failed') hasFailed = true;
    }
    return false;
  }

  async #exchange(
    guest: Guest,
    name: string,
    batch: Batch,
    hasFailed: boolean,
  ): Promise<'answered' | 'failed' | 'ended'> {
    guest.waitsFor = `${name}: ${batch.bytes.toString('latin1').slice(0, 60)}`;
    guest.client.send(batch.bytes);
    const answer = await within(guest.client.until('Z'), () => guest.waitsFor);
    guest.waitsFor = 'nothing';
    if (guest.state === 'gone') return 'ended';
    const mayFail = hasFailed ? [...(batch.mayFail ?? []), '25P02', '26000'] : [];
    const circumstances = {
      isCancelled: guest.cancels > 0,
      isCancelledBeside: this.#cancelled > 0,
      areServersBroken: this.#broken > 0,
    };
    try {
      return judge(
        hasFailed ? loosely(batch, mayFail, answer) : { ...batch, mayFail },
        answer,
        guest,
        circumstances,
      );
    } catch (error) {
      throw new Error(`${guest.mark} asked "${name}" and read ${summary(answer)}`, {
        cause: error,
      });
    }
  }

  // ---- what happens meanwhile ----

  async #stir(faults: Script['faults']): Promise<void> {
    for (const { afterMs, fault: next } of faults) {
      if (afterMs > 0) await pause(afterMs);
      this.#do(next);
    }
  }

  #do(next: Fault): void {
    switch (next.do) {
      case 'break':
        this.#broken += 1;
        return breaker.breakAfter(next.bytes);
      case 'terminate':
        this.#broken += 1;
        return this.#chore(terminateOne());
      case 'lock':
        return this.#chore(lockFor(100));
      case 'cancel':
        return this.#chore(this.#cancel(this.#guests[next.seat] as Guest));
      case 'vanish':
        return this.#guests[next.seat]?.leave();
      case 'slow': {
        const { socket } = (this.#guests[next.seat] as Guest).client;
        socket.pause();
        return this.#chore(pause(60).then(() => socket.resume()));
      }
      case 'reconnect':
        return this.#operate(() => proxy.operate(TENANT, 'reconnect'));
      case 'pause':
        return this.#operate(async () => {
          await proxy.operate(TENANT, 'pause');
          await proxy.operate(TENANT, 'resume');
        });
      case 'change':
        return this.#operate(() => proxy.setPool(TENANT, next.pool));
      default:
        return next satisfies never;
    }
  }

  #chore(work: Promise<unknown>): void {
    this.#chores.push(work);
  }

  /** One after the other, as an operator works. */
  #operate(work: () => Promise<void>): void {
    this.#operations = this.#operations.then(work);
  }

  async #cancel(guest: Guest): Promise<void> {
    guest.cancels += 1;
    this.#cancelled += 1;
    const canceller = await RawClient.connect(proxy);
    canceller.cancel(guest.client.key());
    await canceller.closed();
  }
}

/** After an error of the same request rows may be missing, not others come. */
function loosely(batch: Batch, mayFail: readonly string[], answer: readonly RawMessage[]): Batch {
  const rows = answer.filter(({ type }) => type === 'D').length;
  const { zone: _, ...rest } = batch;
  return { ...rest, mayFail, rows: batch.rows.slice(0, rows) };
}

function summary(answer: readonly RawMessage[]): string {
  const types = answer.map(({ type }) => type).join('');
  const errors = answer.filter(({ type }) => type === 'E' || type === 'S' || type === 'N');
  return `${types.slice(0, 60)} ${errors.map(({ body }) => body.toString('latin1')).join()}`;
}

async function within<T>(work: Promise<T>, what: () => string): Promise<T> {
  const late = new AbortController();
  const limit = pause(ANSWERED_WITHIN_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`not answered within ${ANSWERED_WITHIN_MS} ms: ${what()}`);
  });
  limit.catch(() => {});
  try {
    return await Promise.race([work, limit]);
  } finally {
    late.abort();
  }
}

// --- the server ---

const CONNECTIONS = `FROM pg_stat_activity
  WHERE datname = '${TENANT}' AND application_name LIKE 'dbb:%'`;

async function terminateOne(): Promise<void> {
  await cluster.sql(
    'postgres',
    `SELECT pg_terminate_backend(pid) ${CONNECTIONS} ORDER BY random() LIMIT 1`,
  );
}

async function lockFor(ms: number): Promise<void> {
  await cluster.sql(TENANT, `BEGIN; LOCK TABLE numbers; SELECT pg_sleep(${ms / 1_000}); COMMIT`);
}

async function untilAtMinimum(): Promise<void> {
  let left: readonly unknown[] = [];
  const isThere = async () => {
    left = await cluster.sql('postgres', `SELECT state, query ${CONNECTIONS}`);
    return left.length <= MINIMUM + LISTENERS;
  };
  const onFailure = () => JSON.stringify(left);
  await eventually('server connections fall to the minimum', isThere, { onFailure });
  const kept = await metric(proxy, 'dbbouncer_connections_kept', { tenant: TENANT });
  assert.ok(kept <= LISTENERS, `${kept} connections are kept`);
}

/** Everybody reads until there is a lane. */
async function untilThereIsALane(): Promise<void> {
  const clients = await Promise.all(Array.from({ length: SEATS }, () => Guest.come('UTC')));
  const before = await metric(proxy, 'dbbouncer_shared_batches_total', { tenant: TENANT });
  await eventually('a connection is shared', async () => {
    await Promise.all(
      clients.map(({ client }) => {
        client.send(query('SELECT n FROM numbers WHERE n = 1'));
        return client.until('Z');
      }),
    );
    return (await metric(proxy, 'dbbouncer_shared_batches_total', { tenant: TENANT })) > before;
  });
  for (const { client } of clients) client.end();
}

describe('clients of the shared lane', () => {
  it('never see rows, errors, notices or state of another, and are answered once', async () => {
    await fc.assert(
      fc.asyncProperty(script, async (steps) => {
        await untilThereIsALane();
        await new Run().play(steps);
        breaker.breakAfter(Infinity);
        await proxy.setPool(TENANT, POOL);
        await untilAtRest(proxy);
        await untilAtMinimum();
      }),
      fuzzing({ runs: 2, seed: 20_261_121 }),
    );
    const shared = await metric(proxy, 'dbbouncer_shared_batches_total', { tenant: TENANT });
    assert.ok(shared > 20, `${shared} batches were shared`);
  });
});
