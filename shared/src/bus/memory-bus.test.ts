/** The in-process bus: the contract, and what only it can show with a clock that is turned. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Clock, Timer } from '../kernel/clock.ts';
import { busContract } from './bus.contract.ts';
import { BUS_LIMITS } from './bus.ts';
import { createMemoryBus } from './memory-bus.ts';
import { bytes, newLog, rejectsWith } from './support.contract.ts';

busContract('MemoryBus', async () => createMemoryBus());

/** Stands still until it is turned. */
class TurnedClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<{ readonly atMs: number; readonly fire: () => void }>();

  nowMs(): number {
    return this.#nowMs;
  }

  idleMs(): number {
    return this.#nowMs;
  }

  timestamp(): string {
    return `${this.#nowMs} ms`;
  }

  after(delayMs: number, fire: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, fire };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  turn(byMs: number): void {
    this.#nowMs += byMs;
    for (const timer of this.#timers) {
      if (timer.atMs > this.#nowMs) continue;
      this.#timers.delete(timer);
      timer.fire();
    }
  }

  get pending(): number {
    return this.#timers.size;
  }
}

describe('MemoryBus in time', () => {
  it('takes an id again 120 s after it was appended, not 1 ms earlier', async () => {
    const clock = new TurnedClock();
    const log = newLog(createMemoryBus({ clock }));
    await log.append('a', bytes('one'));
    clock.turn(BUS_LIMITS.duplicateWindowMs - 1);
    assert.equal((await log.append('a', bytes('one'))).duplicate, true);
    clock.turn(1);
    assert.deepEqual(await log.append('a', bytes('one')), { sequence: 2, duplicate: false });
  });

  it('fails a request when its 50 ms have passed and leaves no timer behind', async () => {
    const clock = new TurnedClock();
    const bus = createMemoryBus({ clock });
    bus.respond('silent', () => new Promise(() => {}));
    bus.respond('echo', async (data) => data);
    const failed = rejectsWith('BUS_UNAVAILABLE', bus.request('silent', bytes('x'), 50));
    await bus.request('echo', bytes('x'), 50);
    assert.equal(clock.pending, 1);
    clock.turn(50);
    await failed;
    assert.equal(clock.pending, 0);
  });

  it('stamps a log with the time of its first use', async () => {
    const clock = new TurnedClock();
    const bus = createMemoryBus({ clock });
    clock.turn(1_000);
    assert.equal((await newLog(bus).state()).createdAt, '1000 ms');
  });
});
