/**
 * Clients that come, ask, cancel, wait and vanish at random, while operators pause, resume, drain,
 * reconnect and kill their tenant, change its limits, move it to another server and back, and its
 * server connections are shot: nobody hangs, nothing stays leased, nobody stays in line, and the
 * server connections stay within the limit and fall to the minimum (invariants 1, 2 and 4).
 * Here's how it works: a script is a list of steps; but for those that hear what a client is told
 * for a moment, no step waits for what it brings about. At the end the tenant is active, every
 * client that is left ends its transaction and must have an answer to all it has asked, or have
 * been ended; then all leave.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import * as fc from 'fast-check';
import { eventually } from '../support/eventually.ts';
import { fuzzing } from '../support/fuzzing.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import { bind, execute, firstColumns, frame, parse, query } from '../support/raw-client.ts';
import { RawClient, sync } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'mixed secret';
const SEATS = 7;
/** For one batch; a client that is pinned may leave nothing for others, and they have several. */
const ACQUIRE_TIMEOUT_MS = 300;
/** Nobody may wait for longer, whatever happens. */
const ANSWERED_WITHIN_MS = 10_000;
const MINIMUM = 1;
/** The highest max_connections that a script sets. */
const LIMIT_MAX = 4;
/** A step that hears a client waits for this long at most. */
const HEARS_MS = 40;
let here: PostgresCluster;
let there: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  const options = { superuserPassword: PASSWORD };
  [here, there] = await Promise.all([startPostgresCluster(options), startPostgresCluster(options)]);
  for (const cluster of [here, there]) {
    await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
    await cluster.sql('postgres', 'CREATE DATABASE other');
    await cluster.sql('postgres', 'CREATE TABLE kept (a int); GRANT ALL ON kept TO app');
  }
  const bystander = { ...tenant(here, 3), id: 'bystander', database: 'other' };
  proxy = await TestProxy.start({ tenants: [tenant(here, 3), bystander] });
});
after(async () => {
  await proxy.stop();
  await Promise.all([here.stop(), there.stop()]);
});

function tenant({ port }: PostgresCluster, maxConnections: number) {
  const pool = {
    poolMode: 'transaction',
    minConnections: MINIMUM,
    maxConnections,
    acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
    pauseWaitTimeoutMs: ACQUIRE_TIMEOUT_MS,
    cancelWaitTimeoutMs: 2_000,
    queryWaitNotifyMs: 20,
    serverCheckDelayMs: 50,
    idleTimeoutMs: 100,
    maxQueries: 20,
  } as const;
  const login = { username: 'app', password: PASSWORD };
  return { id: 'acme', port, database: 'postgres', ...login, pool };
}

const login = (id: string) =>
  RawClient.login(proxy, { user: 'app', password: PASSWORD, database: id });

// --- scripts ---

const copyData = frame('d', Buffer.from('5\n6\n'));
const copyDone = frame('c', Buffer.alloc(0));

/** What a client may send; each is answered with one ReadyForQuery. */
const BATCHES: Readonly<Record<string, Buffer>> = {
  select: query('SELECT 1'),
  begin: query('BEGIN'),
  commit: query('COMMIT'),
  rollback: query('ROLLBACK'),
  insert: query('INSERT INTO kept VALUES (1)'),
  failure: query('SELECT 1/0'),
  'a long statement': query('SELECT pg_sleep(0.03)'),
  'a very long statement': query('SELECT pg_sleep(20)'),
  'a parameter': query(`SET work_mem = '7MB'`),
  'a pin': query('CREATE TEMP TABLE IF NOT EXISTS mine (a int)'),
  'a channel': query('LISTEN news'),
  'a notification': query(`NOTIFY news, 'x'`),
  'a pipeline': Buffer.concat([
    parse('INSERT INTO kept VALUES ($1::int)', 's'),
    bind(['2'], 's'),
    execute(),
    bind(['3'], 's'),
    execute(),
    frame('C', Buffer.from('Ss\0')),
    sync(),
  ]),
  copy: Buffer.concat([query('COPY kept FROM STDIN'), copyData, copyDone]),
};
const ENDS = ['Terminate', 'a lost connection', 'half a message'] as const;
const OPERATIONS: readonly TenantOperation[] = ['pause', 'resume', 'drain', 'reconnect', 'kill'];

type Step =
  | { readonly do: 'come' | 'cancel' | 'hear'; readonly seat: number }
  | { readonly do: 'ask'; readonly seat: number; readonly batch: string }
  | { readonly do: 'leave'; readonly seat: number; readonly how: (typeof ENDS)[number] }
  | { readonly do: 'operate'; readonly operation: TenantOperation }
  | { readonly do: 'change'; readonly where: 'here' | 'there'; readonly maxConnections: number }
  | { readonly do: 'shoot' }
  | { readonly do: 'pass'; readonly ms: number };

const seat = fc.nat({ max: SEATS - 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('come' as const), seat }) },
  {
    weight: 24,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      seat,
      batch: fc.constantFrom(...Object.keys(BATCHES)),
    }),
  },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('hear' as const), seat }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('cancel' as const), seat }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('leave' as const),
      seat,
      how: fc.constantFrom(...ENDS),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('operate' as const),
      operation: fc.constantFrom(...OPERATIONS),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      where: fc.constantFrom('here' as const, 'there' as const),
      maxConnections: fc.integer({ min: 1, max: LIMIT_MAX }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'shoot' as const }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(0, 3, 15, 60) }),
  },
);

// --- clients ---

/** One client after its login, and how many answers it is owed. */
class Guest {
  readonly client: RawClient;
  #owed = 0;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(client: RawClient) {
    this.client = client;
    void this.#listen();
  }

  async #listen(): Promise<void> {
    for (;;) {
      const message = await this.client.next();
      if (message === undefined) break;
      if (message.type === 'Z') this.#owed -= 1;
      if (this.#owed === 0) this.#wake?.();
    }
    this.#isOver = true;
    this.#wake?.();
  }

  /** Resolves when it has heard the end of all it has asked. */
  async answered(): Promise<void> {
    if (this.isAnswered) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  ask(batch: Buffer): void {
    this.#owed += 1;
    this.client.send(batch);
  }

  leave(how: (typeof ENDS)[number]): void {
    if (how === 'Terminate') return this.client.end();
    if (how === 'half a message') this.client.send(query('SELECT 1').subarray(0, 9));
    this.client.destroy();
  }

  /** Whether it has heard the end of all it has asked, or has been ended. */
  get isAnswered(): boolean {
    return this.#isOver || this.#owed === 0;
  }

  get state(): string {
    return this.#isOver ? 'ended' : `${this.#owed} answers missing`;
  }
}

class Run {
  readonly #seats = new Map<number, Promise<Guest | undefined>>();
  readonly #cancels: Promise<void>[] = [];

  async take(next: Step): Promise<void> {
    switch (next.do) {
      case 'come':
        return this.#come(next.seat);
      case 'ask': {
        const batch = BATCHES[next.batch];
        return this.#with(next.seat, (guest) => batch && guest.ask(batch));
      }
      case 'hear':
        return this.#hear(next.seat);
      case 'cancel':
        return this.#with(next.seat, (guest) => this.#cancels.push(cancel(guest.client)));
      case 'leave':
        this.#with(next.seat, (guest) => guest.leave(next.how));
        this.#seats.delete(next.seat);
        return;
      case 'operate':
        return proxy.operate('acme', next.operation);
      case 'change':
        return proxy.setTenant(tenant(next.where === 'here' ? here : there, next.maxConnections));
      case 'shoot':
        return shootAll();
      case 'pass':
        return pause(next.ms);
      default:
        return next satisfies never;
    }
  }

  /** All seats are taken. */
  async begin(): Promise<void> {
    for (let at = 0; at < SEATS; at += 1) this.#come(at);
    await Promise.all(this.#seats.values());
  }

  /** Everybody left must have been answered, and everything must come to rest. */
  async finish(): Promise<void> {
    await proxy.operate('acme', 'resume');
    const guests = (await Promise.all(this.#seats.values())).filter((guest) => guest !== undefined);
    await Promise.all(this.#cancels);
    for (const guest of guests) guest.ask(query('ROLLBACK'));
    const isOver = async () => {
      if (guests.every((guest) => guest.isAnswered)) return true;
      await endLongStatements();
      return false;
    };
    await eventually('everybody is answered', isOver, {
      withinMs: ANSWERED_WITHIN_MS,
      onFailure: () => guests.map((guest) => guest.state).join(', '),
    });
    for (const guest of guests) guest.leave('Terminate');
  }

  /** A login may be refused, or wait: nobody sits there then, and nobody waits for it. */
  #come(at: number): void {
    if (this.#seats.has(at)) return;
    this.#seats.set(
      at,
      login('acme').then(
        (client) => new Guest(client),
        () => undefined,
      ),
    );
  }

  async #hear(at: number): Promise<void> {
    const moment = pause(HEARS_MS, undefined);
    const hearing = this.#seats.get(at)?.then((guest) => guest?.answered());
    await Promise.race([moment, hearing]);
  }

  #with(at: number, act: (guest: Guest) => unknown): void {
    void this.#seats.get(at)?.then((guest) => guest && act(guest));
  }
}

/** Never fails: the proxy may have nothing to cancel. */
async function cancel(client: RawClient): Promise<void> {
  const canceller = await RawClient.connect(proxy);
  canceller.cancel(client.key());
  await canceller.closed();
}

/** Past the proxy, so that it does not help those who wait for nothing. */
async function endLongStatements(): Promise<void> {
  const sql = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
    WHERE query LIKE '%pg_sleep(20)%' AND state = 'active' AND pid <> pg_backend_pid()`;
  await Promise.all([here.sql('postgres', sql), there.sql('postgres', sql)]);
}

async function shootAll(): Promise<void> {
  const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'dbb:%' AND datname = 'postgres'`;
  await Promise.all([here.sql('postgres', sql), there.sql('postgres', sql)]);
}

/** Counts server connections again and again. */
class Counting {
  readonly #done: Promise<number>;
  #state: 'counting' | 'over' = 'counting';

  constructor() {
    this.#done = this.#count();
  }

  async #count(): Promise<number> {
    let most = 0;
    // Each for itself: the two cannot be asked at the same moment.
    while (this.#state === 'counting') most = Math.max(most, ...(await serverConnections()));
    return most;
  }

  /** The most there were at one moment. */
  end(): Promise<number> {
    this.#state = 'over';
    return this.#done;
  }
}

/** Of the proxy, as each of the two servers counts. */
async function serverConnections(): Promise<readonly number[]> {
  const sql = `SELECT 1 FROM pg_stat_activity
    WHERE application_name LIKE 'dbb:%' AND datname = 'postgres'`;
  const rows = await Promise.all([here.sql('postgres', sql), there.sql('postgres', sql)]);
  return rows.map(({ length }) => length);
}

describe('a random mix of clients, operators and accidents', () => {
  it('answers everybody and leaves leased = waiting = 0 and the minimum', async () => {
    const bystander = await login('bystander');
    const scripts = fc.array(step, { minLength: 10, maxLength: 60, size: 'max' });
    await fc.assert(
      fc.asyncProperty(scripts, async (script) => {
        await proxy.setTenant(tenant(here, 3));
        const run = new Run();
        const counting = new Counting();
        await run.begin();
        for (const each of script) await run.take(each);
        await run.finish();
        assert.ok((await counting.end()) <= LIMIT_MAX, 'the servers count no more than the limit');
        const isAlone = async () => (await metric(proxy, 'dbbouncer_clients')) === 1;
        await eventually('all have left', isAlone);
        bystander.send(query('SELECT 4'));
        assert.deepEqual(firstColumns(await bystander.until('Z')), ['4'], 'nobody else noticed');
        const leased = () => metric(proxy, 'dbbouncer_connections_active');
        const waiting = () => metric(proxy, 'dbbouncer_connections_waiting');
        await eventually('nothing is leased', async () => (await leased()) === 0);
        await eventually('nobody waits', async () => (await waiting()) === 0);
      }),
      fuzzing({ runs: 8, seed: 60_317 }),
    );
    bystander.end();
    await untilAtRest(proxy);
    const isAtMinimum = async () => {
      const [one = 0, other = 0] = await serverConnections();
      return one + other <= MINIMUM;
    };
    await eventually('the server connections fall to the minimum', isAtMinimum);
  });
});
