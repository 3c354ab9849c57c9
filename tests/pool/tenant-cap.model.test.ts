/**
 * * Random histories of three databases of one tenant under one limit.
 * Here's how it works: each step happens in one of the pools; after every step the limit must hold
 * as the servers count, no room may lie idle while somebody could use it, and clients of one pool
 * are served in order of arrival. Whenever time has passed, nobody may starve beside an idle slot.
 * At the end nothing may be left.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { SIBLING_PATIENCE_MS } from '@dbbouncer/data-plane/pool/limits.ts';
import { TenantCap } from '@dbbouncer/data-plane/pool/tenant-cap.ts';
import { followPromises, ManualClock } from '../support/manual-clock.ts';
import { PoolRig } from './pool-rig.ts';
import { settings } from './scripted-upstream.ts';
import type { RecordingWaiter, ScriptedBackend } from './scripted-upstream.ts';

const DATABASES = ['shop', 'audit', 'archive'];
const DIALS_MAX = 2;
const ACQUIRE_TIMEOUT_MS = 5_000;

const ACTS = [
  'wait',
  'take',
  'release',
  'discard',
  'cancel',
  'accept',
  'refuse',
  'close',
  'sweep',
] as const;

type Step =
  | { readonly do: (typeof ACTS)[number]; readonly at: number; readonly pick: number }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'limit'; readonly to: number };

const limit = fc.integer({ min: 1, max: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom(...ACTS, 'wait' as const, 'accept' as const, 'release' as const),
      at: fc.nat(DATABASES.length - 1),
      pick: fc.nat(20),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.constantFrom(1, 19, 45, 400) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('limit' as const), to: limit }) },
);

/** One database: its pool, who came, who holds what. */
class Site extends PoolRig {
  held: ScriptedBackend[] = [];
  readonly inLine: { readonly waiter: RecordingWaiter; readonly sinceMs: number }[] = [];

  arrive(): void {
    const waiter = this.wait((backend) => this.held.push(backend));
    this.inLine.push({ waiter, sinceMs: this.clock.nowMs() });
  }

  leave(pick: number): void {
    const [gone] = this.inLine.splice(pick % Math.max(1, this.inLine.length), 1);
    if (gone !== undefined) this.pool.cancelWait(gone.waiter);
  }

  giveBack(pick: number, how: 'release' | 'discard'): void {
    const [backend] = this.held.splice(pick % Math.max(1, this.held.length), 1);
    if (backend === undefined) return;
    if (how === 'release') this.pool.release(backend, 'clean');
    else this.pool.discard(backend, 'client_gone');
  }

  /** Forgets who was answered; those must be the longest waiting, and told once. */
  settleLine(): void {
    const open = this.inLine.findIndex(({ waiter }) => waiter.timesTold === 0);
    const answered = this.inLine.splice(0, open === -1 ? this.inLine.length : open);
    for (const { waiter } of answered) assert.equal(waiter.timesTold, 1);
    assert.ok(
      this.inLine.every(({ waiter }) => waiter.timesTold === 0),
      'nobody is answered before somebody who came first',
    );
  }

  /** Waiters no slot is coming for. */
  get uncovered(): RecordingWaiter[] {
    const { idle, dialing, resetting } = this.pool.stats();
    return this.inLine.slice(idle + dialing + resetting).map(({ waiter }) => waiter);
  }

  /** As many of them as may dial now, if they were not patient enough already. */
  get starving(): number {
    const { idle, dialing, resetting, failing } = this.pool.stats();
    if (failing !== undefined) return 0;
    const nowMs = this.clock.nowMs();
    const late = this.inLine
      .slice(idle + dialing + resetting)
      .filter(({ sinceMs }) => nowMs - sinceMs >= SIBLING_PATIENCE_MS * 2);
    return Math.min(late.length, DIALS_MAX - dialing);
  }
}

class Tenant {
  readonly #clock = new ManualClock();
  readonly #cap: TenantCap;
  readonly #sites: readonly Site[];
  #lastOccupied = 0;

  constructor(maxConnections: number) {
    this.#cap = new TenantCap(maxConnections);
    this.#sites = DATABASES.map(
      (database) =>
        new Site({
          clock: this.#clock,
          cap: this.#cap,
          identity: { database },
          settings: {
            maxConnections,
            acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
            idleTimeoutMs: 1_000,
          },
          limits: { waitersMax: 100, dialsMax: DIALS_MAX },
        }),
    );
  }

  async take(next: Step): Promise<void> {
    if (next.do === 'pass') await this.#clock.pass(next.ms);
    else if (next.do === 'limit') this.#resize(next.to);
    else this.#act(next.do, next.at, next.pick);
    await followPromises();
    this.#check(next);
  }

  async finish(): Promise<void> {
    for (let round = 0; round < 10; round += 1) {
      for (const site of this.#sites) {
        while (site.held.length > 0) site.giveBack(0, 'release');
        site.upstream.acceptAll();
        site.upstream.followCloses();
      }
      await this.take({ do: 'pass', ms: 1_000 });
      for (const site of this.#sites) site.pool.sweep();
    }
    const left = this.#sites.map(({ pool }) => pool.stats());
    assert.equal(
      left.reduce((sum, stats) => sum + stats.total + stats.waiting, 0),
      0,
    );
    assert.equal(this.#cap.occupied, 0);
  }

  #resize(to: number): void {
    for (const site of this.#sites) {
      site.pool.resize(
        settings({
          maxConnections: to,
          acquireTimeoutMs: ACQUIRE_TIMEOUT_MS,
          idleTimeoutMs: 1_000,
        }),
      );
    }
  }

  #act(act: (typeof ACTS)[number], at: number, pick: number): void {
    const site = this.#sites[at];
    assert.ok(site);
    if (act === 'wait') site.arrive();
    else if (act === 'take') {
      const backend = site.pool.take();
      if (backend !== undefined) site.held.push(backend);
    } else if (act === 'release' || act === 'discard') site.giveBack(pick, act);
    else if (act === 'cancel') site.leave(pick);
    else if (act === 'accept') site.upstream.dials[0]?.succeed();
    else if (act === 'refuse') site.upstream.dials[0]?.fail();
    else if (act === 'sweep') site.pool.sweep();
    else site.upstream.backends.find(({ isClosing }) => isClosing)?.serverCloses();
  }

  #check(after: Step): void {
    const stats = this.#sites.map(({ pool }) => pool.stats());
    const occupied = this.#sites.reduce((sum, { upstream }) => sum + upstream.occupied, 0);
    assert.equal(
      stats.reduce((sum, { total }) => sum + total, 0),
      occupied,
    );
    assert.equal(this.#cap.occupied, occupied, 'the limit counts what the servers count');
    const max = Math.max(this.#cap.limit, this.#lastOccupied);
    assert.ok(occupied <= max, `${occupied} server connections, ${max} may be`);
    this.#lastOccupied = occupied;
    for (const site of this.#sites) {
      site.settleLine();
      const { dialing, waiting, failing } = site.pool.stats();
      assert.equal(waiting, site.inLine.length);
      const mayDial = failing === undefined && dialing < DIALS_MAX;
      const couldDial = mayDial && site.uncovered.length > 0;
      assert.ok(!couldDial || this.#cap.room === 0, 'room is used as long as somebody waits');
    }
    if (after.do === 'pass') this.#checkNobodyStarves();
  }

  #checkNobodyStarves(): void {
    const stats = this.#sites.map(({ pool }) => pool.stats());
    const idle = stats.reduce((sum, each) => sum + each.idle, 0);
    const closing = stats.reduce((sum, each) => sum + each.closing, 0);
    const starving = this.#sites.reduce((sum, site) => sum + site.starving, 0);
    const coming = this.#cap.room + closing;
    assert.ok(idle === 0 || starving <= coming, `${starving} starve beside ${idle} idle slots`);
  }
}

describe('TenantCap, any history of three databases', () => {
  it('holds the limit, wastes no room, starves nobody and leaves nothing', async () => {
    const steps = fc.array(step, { minLength: 10, maxLength: 120, size: 'max' });
    await fc.assert(
      fc.asyncProperty(limit, steps, async (maxConnections, history) => {
        const tenant = new Tenant(maxConnections);
        for (const next of history) await tenant.take(next);
        await tenant.finish();
      }),
      { numRuns: 400 },
    );
  });
});
