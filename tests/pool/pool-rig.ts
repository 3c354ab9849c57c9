/**
 * A pool on a manual clock with a scripted upstream: what most pool tests begin with.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { DialGate } from '@dbbouncer/data-plane/pool/dial-gate.ts';
import type { PoolLimits } from '@dbbouncer/data-plane/pool/limits.ts';
import { Pool } from '@dbbouncer/data-plane/pool/pool.ts';
import type { PoolIdentity } from '@dbbouncer/data-plane/pool/pool.ts';
import type { Random } from '@dbbouncer/data-plane/pool/random.ts';
import type { SlotCap } from '@dbbouncer/data-plane/pool/slot-cap.ts';
import { followPromises, ManualClock } from '../support/manual-clock.ts';
import { identity, RecordingWaiter, ScriptedUpstream, settings } from './scripted-upstream.ts';
import type { ScriptedBackend } from './scripted-upstream.ts';

export interface PoolRigOptions {
  readonly settings?: Partial<PoolSettings>;
  readonly identity?: Partial<PoolIdentity>;
  readonly limits?: PoolLimits;
  readonly cap?: SlotCap;
  readonly gate?: DialGate;
  /** Default is always 1: no jitter. */
  readonly random?: Random;
  readonly clock?: ManualClock;
}

export class PoolRig {
  readonly clock: ManualClock;
  readonly upstream = new ScriptedUpstream();
  readonly pool: Pool<ScriptedBackend>;

  constructor(options: PoolRigOptions = {}) {
    this.clock = options.clock ?? new ManualClock();
    this.pool = new Pool({
      identity: identity(options.identity),
      settings: settings(options.settings),
      upstream: this.upstream,
      clock: this.clock,
      log: silentLogger,
      random: options.random ?? (() => 1),
      ...(options.cap && { cap: options.cap }),
      ...(options.gate && { gate: options.gate }),
      ...(options.limits && { limits: options.limits }),
    });
  }

  /** A client gets in line. */
  wait(onGranted?: (backend: ScriptedBackend) => void): RecordingWaiter {
    const waiter = new RecordingWaiter(onGranted);
    this.pool.wait(waiter);
    return waiter;
  }

  /** `count` clients that hold a backend each, newly dialed. */
  async lease(count: number): Promise<ScriptedBackend[]> {
    const waiters = Array.from({ length: count }, () => this.wait());
    while (this.upstream.dials.length > 0) {
      this.upstream.acceptAll();
      await followPromises();
    }
    return waiters.map((waiter) => {
      if (waiter.backend === undefined) throw new Error('the pool has no room for so many leases');
      return waiter.backend;
    });
  }

  /** What a server or a failed dial decides, and what the pool makes of it. */
  async after(act: () => void): Promise<void> {
    act();
    await followPromises();
  }
}
