/**
 * * Random histories of one pool, held against the naive model after every step. Here's how it
 * works: a history is a list of steps; each is done to the real pool (on a manual clock, with
 * servers that obey the step) and to the model; then what clients heard, how many slots are in
 * which state and what the servers count must agree. At the end all clients leave, and the pool
 * must come to rest at its minimum.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { followPromises } from '../support/manual-clock.ts';
import { NaivePool } from './naive-pool.ts';
import type { Heard, NaiveSettings } from './naive-pool.ts';
import { PoolRig } from './pool-rig.ts';
import { RecordingWaiter, refusal, settings } from './scripted-upstream.ts';
import type { ScriptedBackend } from './scripted-upstream.ts';

const WAITERS_MAX = 6;
const DIALS_MAX = 3;

type GiveBack =
  | { readonly do: 'discard'; readonly pick: number }
  | { readonly do: 'release'; readonly pick: number; readonly condition: 'clean' | 'dirty' };

type Step =
  | GiveBack
  | { readonly do: 'take' | 'sweep' | 'drain' }
  | { readonly do: 'wait'; readonly agoMs: number }
  | { readonly do: 'cancel'; readonly pick: number }
  | { readonly do: 'dial ends'; readonly pick: number; readonly outcome: 'done' | 'failed' }
  | { readonly do: 'answer'; readonly pick: number; readonly queries: number }
  | { readonly do: 'warm'; readonly slots: number }
  | { readonly do: 'check ends'; readonly pick: number; readonly outcome: 'done' | 'failed' }
  | { readonly do: 'reset ends'; readonly pick: number; readonly outcome: 'done' | 'failed' }
  | { readonly do: 'server closes'; readonly pick: number; readonly which: 'any' | 'closing' }
  | { readonly do: 'resize'; readonly to: NaiveSettings }
  | { readonly do: 'pass'; readonly ms: number };

const pick = fc.nat(50);
const outcome = fc.constantFrom('done' as const, 'done' as const, 'failed' as const);
const someSettings: fc.Arbitrary<NaiveSettings> = fc
  .record({
    minConnections: fc.integer({ min: 0, max: 3 }),
    maxConnections: fc.integer({ min: 1, max: 5 }),
    idleTimeoutMs: fc.constantFrom(0, 500, 2_000),
    maxLifetimeMs: fc.constantFrom(0, 5_000),
    acquireTimeoutMs: fc.constantFrom(300, 1_000, 5_000),
    reserveConnections: fc.integer({ min: 0, max: 3 }),
    reserveTimeoutMs: fc.constantFrom(0, 200, 800),
    maxQueries: fc.constantFrom(0, 0, 3),
    serverCheckDelayMs: fc.constantFrom(0, 400, 1_500),
    queryWaitNotifyMs: fc.constantFrom(0, 150, 700),
  })
  .map((drawn) => {
    const { maxConnections } = drawn;
    const minConnections = Math.min(drawn.minConnections, maxConnections);
    const reserveMax = maxConnections - Math.max(1, minConnections);
    const reserveConnections = Math.min(drawn.reserveConnections, reserveMax);
    return { ...drawn, minConnections, reserveConnections };
  });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: 'take' as const }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('wait' as const), agoMs: fc.constantFrom(0, 0, 150) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('cancel' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('discard' as const), pick }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('release' as const),
      pick,
      condition: fc.constantFrom('clean' as const, 'dirty' as const),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('dial ends' as const), pick, outcome }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('reset ends' as const), pick, outcome }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('check ends' as const), pick, outcome }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('answer' as const),
      pick,
      queries: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('warm' as const),
      slots: fc.integer({ min: 0, max: 6 }),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('server closes' as const),
      pick,
      which: fc.constantFrom('any' as const, 'closing' as const, 'closing' as const),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(0, 1, 100, 250, 600, 3_000),
    }),
  },
  { weight: 4, arbitrary: fc.constant({ do: 'sweep' as const }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('resize' as const), to: someSettings }) },
);

/** At most one drain, late enough that something is there to drain. */
const history: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.array(step, { minLength: 5, maxLength: 120, size: 'max' }),
    fc.option(fc.array(step, { maxLength: 20, size: 'max' })),
  )
  .map(([before, after]) => (after === null ? before : [...before, { do: 'drain' }, ...after]));

class Run {
  readonly #rig: PoolRig;
  readonly #model: NaivePool;
  readonly #clients: RecordingWaiter[] = [];
  /** Backends that clients hold, and have not given back although the server closed. */
  #held: ScriptedBackend[] = [];
  readonly #cancelled = new Set<number>();
  #drained: 'no' | 'yes' = 'no';
  #lastTotal = 0;

  constructor(initial: NaiveSettings) {
    this.#rig = new PoolRig({
      settings: initial,
      limits: { waitersMax: WAITERS_MAX, dialsMax: DIALS_MAX },
    });
    this.#model = new NaivePool(initial, WAITERS_MAX, DIALS_MAX);
  }

  async take(next: Step): Promise<void> {
    await this.#perform(next);
    await followPromises();
    this.#compare();
  }

  /** All clients leave, all servers follow: nothing may be left but the minimum. */
  async finish(): Promise<void> {
    const limits = { maxLifetimeMs: 0, maxQueries: 0, serverCheckDelayMs: 0, idleTimeoutMs: 1_000 };
    const rest = { ...this.#model.settings, ...limits };
    await this.take({ do: 'resize', to: rest });
    for (let round = 0; round < 20; round += 1) {
      while (this.#held.length > 0) {
        await this.take({ do: 'release', pick: 0, condition: 'clean' });
      }
      while (this.#rig.upstream.dials.length > 0) {
        await this.take({ do: 'dial ends', pick: 0, outcome: 'done' });
      }
      for (const _ of this.#resetting()) {
        await this.take({ do: 'reset ends', pick: 0, outcome: 'done' });
      }
      for (const _ of this.#checking()) {
        await this.take({ do: 'check ends', pick: 0, outcome: 'done' });
      }
      for (const _ of this.#closing()) {
        await this.take({ do: 'server closes', pick: 0, which: 'closing' });
      }
      await this.take({ do: 'pass', ms: 1_000 });
      await this.take({ do: 'sweep' });
    }
    const stats = this.#rig.pool.stats();
    const isKept = this.#model.isUsed && !this.#model.isDraining;
    assert.equal(stats.active + stats.waiting, 0, 'nothing is leased, nobody waits');
    assert.equal(stats.total, isKept ? this.#model.settings.minConnections : 0);
    assert.equal(this.#drained, this.#model.isDraining ? 'yes' : 'no');
    assert.equal(this.#rig.upstream.occupied, stats.total, 'the servers count alike');
  }

  async #perform(next: Step): Promise<void> {
    const { pool, clock } = this.#rig;
    switch (next.do) {
      case 'take': {
        const backend = pool.take();
        if (backend !== undefined) this.#held.push(backend);
        assert.equal(backend?.id, this.#model.take(), 'the backend taken');
        break;
      }
      case 'wait':
        return this.#wait(clock.nowMs() - next.agoMs);
      case 'cancel':
        return this.#cancel(next.pick);
      case 'discard':
      case 'release':
        return this.#giveBack(next);
      case 'dial ends':
        return this.#endDial(next.pick, next.outcome);
      case 'reset ends':
        return this.#endReset(next.pick, next.outcome);
      case 'check ends':
        return this.#endCheck(next.pick, next.outcome);
      case 'answer':
        return this.#answer(next.pick, next.queries);
      case 'warm':
        pool.warm(next.slots);
        this.#model.warm(next.slots);
        break;
      case 'server closes':
        return this.#closeServer(next.pick, next.which);
      case 'resize':
        pool.resize(settings(next.to));
        this.#model.resize(next.to);
        break;
      case 'sweep':
        pool.sweep();
        this.#model.sweep();
        break;
      case 'drain':
        void pool.drain('pool_drained').then(() => (this.#drained = 'yes'));
        this.#model.drain();
        break;
      case 'pass':
        await clock.pass(next.ms);
        this.#model.pass(next.ms);
    }
  }

  #wait(sinceMs: number): void {
    const waiter = new RecordingWaiter((backend) => this.#held.push(backend));
    this.#clients.push(waiter);
    this.#rig.pool.wait(waiter, sinceMs);
    assert.equal(waiter.timesTold, 0, 'never told from within wait()');
    this.#model.wait(this.#clients.length - 1, sinceMs);
  }

  #cancel(choice: number): void {
    const client = this.#clients.length === 0 ? 0 : choice % this.#clients.length;
    const waiter = this.#clients[client];
    if (waiter === undefined) return;
    if (waiter.timesTold === 0) this.#cancelled.add(client);
    this.#rig.pool.cancelWait(waiter);
    this.#model.cancel(client);
  }

  #giveBack(next: GiveBack): void {
    const backend = choose(this.#held, next.pick);
    if (backend === undefined) return;
    this.#held = this.#held.filter((other) => other !== backend);
    if (next.do === 'discard') {
      this.#rig.pool.discard(backend, 'client_gone');
      this.#model.discard(backend.id);
    } else {
      this.#rig.pool.release(backend, next.condition);
      this.#model.release(backend.id, next.condition);
    }
  }

  #endDial(choice: number, result: 'done' | 'failed'): void {
    const { dials } = this.#rig.upstream;
    const dial = choose(dials, choice);
    if (dial === undefined) return;
    const index = dials.indexOf(dial);
    if (result === 'done') this.#model.dialSucceeds(index, dial.succeed().id);
    else {
      dial.fail(refusal('too many connections'));
      this.#model.dialFails(index, 'UPSTREAM_REFUSED');
    }
  }

  #endReset(choice: number, result: 'done' | 'failed'): void {
    const backend = choose(this.#resetting(), choice);
    if (backend === undefined) return;
    backend.endReset(result);
    this.#model.resetEnds(backend.id, result);
  }

  #endCheck(choice: number, result: 'done' | 'failed'): void {
    const backend = choose(this.#checking(), choice);
    if (backend === undefined) return;
    backend.endCheck(result);
    this.#model.checkEnds(backend.id, result);
  }

  #answer(choice: number, queries: number): void {
    const backend = choose(this.#held, choice);
    if (backend === undefined) return;
    backend.answered += queries;
    this.#model.answers(backend.id, queries);
  }

  #closeServer(choice: number, which: 'any' | 'closing'): void {
    const open = this.#rig.upstream.backends.filter(({ isOpen }) => isOpen);
    const backend = choose(which === 'any' ? open : this.#closing(), choice);
    if (backend === undefined) return;
    backend.serverCloses();
    this.#model.serverCloses(backend.id);
  }

  #resetting(): ScriptedBackend[] {
    return this.#rig.upstream.backends.filter(({ isResetting }) => isResetting);
  }

  #checking(): ScriptedBackend[] {
    return this.#rig.upstream.backends.filter(({ isChecking }) => isChecking);
  }

  #closing(): ScriptedBackend[] {
    return this.#rig.upstream.backends.filter(({ isClosing }) => isClosing);
  }

  #compare(): void {
    const stats = this.#rig.pool.stats();
    const model = this.#model;
    const { active, idle, checking, dialing, resetting, closing, total } = stats;
    const { waiting, longestWaitMs } = stats;
    const [first] = model.line;
    assert.deepEqual(
      { active, idle, checking, dialing, resetting, closing, total, waiting, longestWaitMs },
      {
        checking: model.in('checking').length,
        active: model.in('leased').length,
        idle: model.in('idle').length,
        dialing: model.in('dialing').length,
        resetting: model.in('resetting').length,
        closing: model.in('closing').length,
        total: model.servers.length,
        waiting: model.line.length,
        longestWaitMs: first === undefined ? 0 : model.nowMs - first.sinceMs,
      },
    );
    assert.equal(this.#rig.upstream.occupied, total, 'slots and server connections');
    const { maxConnections } = model.settings;
    assert.ok(total <= Math.max(maxConnections, this.#lastTotal), 'never grows above the limit');
    this.#lastTotal = total;
    const timers = this.#rig.clock.pendingTimers;
    assert.ok(timers <= 1, 'one timer at most');
    assert.ok(waiting === 0 || timers === 1, 'nobody waits without a deadline');
    this.#compareClients();
  }

  #compareClients(): void {
    const inLine = new Set(this.#model.line.map(({ client }) => client));
    for (const [client, waiter] of this.#clients.entries()) {
      assert.equal(heardBy(waiter), this.#model.heard.get(client), `client ${client}`);
      const notices = this.#model.told.has(client) ? 1 : 0;
      assert.equal(waiter.notices.length, notices, `client ${client} is told why it waits`);
      const isOpen = inLine.has(client) || this.#cancelled.has(client);
      assert.equal(waiter.timesTold, isOpen ? 0 : 1, `client ${client} is told once`);
    }
  }
}

function heardBy(waiter: RecordingWaiter): Heard | undefined {
  if (waiter.movedSinceMs !== undefined) return 'moved';
  return waiter.backend?.id ?? waiter.error?.code;
}

function choose<T>(from: readonly T[], choice: number): T | undefined {
  return from.length === 0 ? undefined : from[choice % from.length];
}

describe('PoolCore, any history', () => {
  it('agrees with the naive model after every step and comes to rest at the minimum', async () => {
    await fc.assert(
      fc.asyncProperty(someSettings, history, async (initial, steps) => {
        const run = new Run(initial);
        for (const next of steps) await run.take(next);
        await run.finish();
      }),
      { numRuns: 400 },
    );
  });
});
