/**
 * Cancel requests at any moment, whole, in pieces and with wrong keys, among clients that share few
 * server connections. Here's how it works:
 * 1. clients run short statements, statements that only a cancel ends, and transactions; some leave
 *    and others come; 2. meanwhile requests are sent for sessions that live and that have ended;
 * 3. each 57014 must be the work of a request for that very session which was under way while the
 *    statement was, and no request explains two of them.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import fc from 'fast-check';
import { fuzzing } from '../support/fuzzing.ts';
import { bind, execute, fields, parse, query, RawClient, sync } from '../support/raw-client.ts';
import type { CancelKey, RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'many cancels';
const CLIENTS = 6;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const tenant = { port: cluster.port, database: 'postgres', username: 'postgres' };
  const tenantIn = (poolMode: 'transaction' | 'session', maxConnections: number) => ({
    ...tenant,
    id: poolMode,
    password: PASSWORD,
    pool: { poolMode, maxConnections, minConnections: 0 },
  });
  proxy = await TestProxy.start({
    tenants: [tenantIn('transaction', 2), tenantIn('session', CLIENTS)],
    // Keys that nobody has are tried here without end.
    env: { DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0' },
  });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

// ---- what clients and cancellers do ----

/** Statements of milliseconds, and those that only a cancel ends. */
type Work =
  | { readonly kind: 'short'; readonly sleepMs: number; readonly how: How; readonly cutAt: number }
  | {
      readonly kind: 'endless';
      readonly afterMs: number;
      readonly how: How;
      readonly cutAt: number;
    }
  | { readonly kind: 'transaction'; readonly sleepMs: number }
  | { readonly kind: 'come_again'; readonly farewell: 'terminate' | 'vanish' };
type How = 'simple' | 'extended';

const how = fc.constantFrom<How>('simple', 'extended');
/** Where the request is cut in two; 0: nowhere. */
const cutAt = fc.constantFrom(0, 0, 1, 4, 5, 9, 20);
const work: fc.Arbitrary<Work> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('short'), sleepMs: fc.nat(4), how, cutAt }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('endless'), afterMs: fc.nat(8), how, cutAt }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('transaction'), sleepMs: fc.nat(4) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('come_again'),
      farewell: fc.constantFrom('terminate', 'vanish'),
    }),
  },
);

interface Shot {
  readonly whom: number;
  readonly afterMs: number;
  /** Whose: of the session there is, of an earlier one of this client, or nobody's. */
  readonly key: 'current' | 'ended' | 'wrong_secret';
  readonly cutAt: number;
}

const shot: fc.Arbitrary<Shot> = fc.record({
  // The last client is never aimed at while it lives: nothing may happen to it.
  whom: fc.nat(CLIENTS - 2),
  afterMs: fc.nat(12),
  key: fc.constantFrom('current', 'current', 'current', 'ended', 'wrong_secret'),
  cutAt: fc.constantFrom(0, 0, 3, 8, 13),
});

// ---- what has happened ----

interface Span {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** From the last byte of a request until the proxy has closed its connection. */
interface SentCancel extends Span {
  readonly key: CancelKey;
}

interface Hit extends Span {
  readonly key: CancelKey;
  readonly statement: string;
}

class Field {
  readonly cancels: SentCancel[] = [];
  readonly hits: Hit[] = [];
  readonly others: string[] = [];

  async cancel(key: CancelKey, cut: number): Promise<void> {
    const canceller = await RawClient.connect(proxy);
    const bytes = cancelRequest(key);
    if (cut > 0) {
      canceller.send(bytes.subarray(0, cut));
      await pause(1);
    }
    const sinceMs = performance.now();
    canceller.send(bytes.subarray(cut));
    await canceller.closed();
    this.cancels.push({ key, sinceMs, untilMs: performance.now() });
  }

  /** Notes what became of a statement that was answered just now. */
  answered(key: CancelKey, statement: string, sinceMs: number, told: readonly RawMessage[]): void {
    for (const message of told.filter(({ type }) => type === 'E')) {
      const { C, M } = fields(message);
      if (C === '57014') this.hits.push({ key, statement, sinceMs, untilMs: performance.now() });
      else this.others.push(`${statement}: ${C} ${M}`);
    }
  }

  /** What no request explains, each being good for one. */
  get unexplained(): string[] {
    const left = new Set(this.cancels.toSorted((a, b) => a.untilMs - b.untilMs));
    const hits = this.hits.toSorted((a, b) => a.untilMs - b.untilMs);
    return hits.flatMap((hit) => {
      const cause = [...left].find(
        ({ key, sinceMs, untilMs }) =>
          key === hit.key && sinceMs <= hit.untilMs && untilMs >= hit.sinceMs,
      );
      if (cause !== undefined) left.delete(cause);
      return cause === undefined ? [`${hit.statement} of ${hit.key.processId}`] : [];
    });
  }
}

function cancelRequest({ processId, secretKey }: CancelKey): Buffer {
  const head = Buffer.alloc(12);
  head.writeInt32BE(12 + secretKey.length, 0);
  head.writeInt32BE(80_877_102, 4);
  head.writeInt32BE(processId, 8);
  return Buffer.concat([head, secretKey]);
}

// ---- one client ----

class Worker {
  readonly #database: string;
  readonly #field: Field;
  #client: RawClient;
  readonly ended: CancelKey[] = [];

  private constructor(database: string, field: Field, client: RawClient) {
    this.#database = database;
    this.#field = field;
    this.#client = client;
  }

  static async start(database: string, field: Field): Promise<Worker> {
    return new Worker(database, field, await logIn(database));
  }

  get key(): CancelKey {
    return this.#client.key();
  }

  async run(works: readonly Work[]): Promise<void> {
    for (const work of works) await this.#run(work);
    this.#client.end();
    await this.#client.closed();
  }

  async #run(work: Work): Promise<void> {
    switch (work.kind) {
      case 'short':
        return void (await this.#say(`SELECT pg_sleep(${work.sleepMs / 1000})`, work));
      case 'endless':
        return this.#endless(work);
      case 'transaction':
        await this.#say('BEGIN');
        await this.#say(`SELECT pg_sleep(${work.sleepMs / 1000})`);
        await this.#say('SELECT 1');
        return void (await this.#say('ROLLBACK'));
      case 'come_again':
        return this.#comeAgain(work.farewell);
    }
  }

  /** Cancelled until it is: a request may come before the statement. */
  async #endless(work: Work & { readonly kind: 'endless' }): Promise<void> {
    const over = this.#say('SELECT pg_sleep(60)', work);
    let told: readonly RawMessage[] | undefined;
    while (told === undefined) {
      told = await Promise.race([over, pause(work.afterMs, undefined)]);
      if (told === undefined) await this.#field.cancel(this.key, 0);
    }
    assert.ok(
      told.some(({ type }) => type === 'E'),
      'only a cancel ends it',
    );
  }

  async #comeAgain(farewell: 'terminate' | 'vanish'): Promise<void> {
    const { key } = this;
    if (farewell === 'terminate') this.#client.end();
    else this.#client.destroy();
    await this.#client.closed();
    this.#client = await logIn(this.#database);
    this.ended.push(key);
  }

  async #say(
    sql: string,
    { how, cutAt }: { how: How; cutAt: number } = { how: 'simple', cutAt: 0 },
  ): Promise<readonly RawMessage[]> {
    const bytes =
      how === 'simple' ? query(sql) : Buffer.concat([parse(sql), bind(), execute(), sync()]);
    const sinceMs = performance.now();
    this.#client.send(bytes.subarray(0, cutAt));
    if (cutAt > 0) await pause(1);
    this.#client.send(bytes.subarray(cutAt));
    const told = await this.#client.until('Z');
    assert.equal(told.at(-1)?.type, 'Z', `${sql} is answered`);
    this.#field.answered(this.key, sql, sinceMs, told);
    return told;
  }
}

const logIn = (database: string) =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database });

async function shoot(shots: readonly Shot[], workers: readonly Worker[], field: Field) {
  for (const { whom, afterMs, key, cutAt } of shots) {
    await pause(afterMs);
    const worker = workers[whom];
    if (worker === undefined) continue;
    const aim = aimOf(worker, key);
    if (aim !== undefined) await field.cancel(aim, cutAt);
  }
}

function aimOf(worker: Worker, key: Shot['key']): CancelKey | undefined {
  if (key === 'ended') return worker.ended.at(-1);
  if (key === 'current') return worker.key;
  const secretKey = Buffer.from(worker.key.secretKey);
  secretKey[0] = (secretKey[0] ?? 0) ^ 1;
  return { processId: worker.key.processId, secretKey };
}

/** At once: each has a pool of its own, and mostly waits. */
describe('cancel requests at any moment', { concurrency: 2 }, () => {
  for (const database of ['transaction', 'session']) {
    it(`end no statement but one of their own session, in ${database} mode`, async () => {
      const works = fc.array(fc.array(work, { minLength: 4, maxLength: 12 }), {
        minLength: CLIENTS,
        maxLength: CLIENTS,
      });
      const cancellers = fc.array(fc.array(shot, { maxLength: 12 }), {
        minLength: 2,
        maxLength: 4,
      });
      let hits = 0;
      await fc.assert(
        fc.asyncProperty(works, cancellers, async (plans, volleys) => {
          const field = new Field();
          const workers = await Promise.all(plans.map(() => Worker.start(database, field)));
          const shooting = volleys.map((shots) => shoot(shots, workers, field));
          await Promise.all([...workers.map((each, i) => each.run(plans[i] ?? [])), ...shooting]);
          assert.deepEqual(field.unexplained, []);
          assert.deepEqual(
            field.others.filter((text) => !/25P02/.test(text)),
            [],
          );
          hits += field.hits.length;
        }),
        fuzzing({ runs: 12, seed: 7_031 }),
      );
      assert.ok(hits > 20, `only ${hits} statements were cancelled`);
    });
  }
});

it('cancel requests leave no client, no lease and nobody in line behind', async () => {
  await proxy.atRest();
});
