/** Operations on a connection that comes and goes, with plain words as connections. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '../kernel/clock.ts';
import type { Clock } from '../kernel/clock.ts';
import { Flights } from './nats-flights.ts';
import { rejectsWith } from './support.contract.ts';

/** Fires its only timer when told; says whether that was cancelled. */
class OneTimerClock implements Clock {
  #fire: (() => void) | undefined;

  nowMs(): number {
    return 0;
  }

  idleMs(): number {
    return 0;
  }

  timestamp(): string {
    return '';
  }

  after(_delayMs: number, fire: () => void) {
    this.#fire = fire;
    return { cancel: () => (this.#fire = undefined) };
  }

  get isArmed(): boolean {
    return this.#fire !== undefined;
  }

  fire(): void {
    this.#fire?.();
  }
}

const never = (): Promise<string> => new Promise(() => {});

describe('Flights', () => {
  it('begins at once on a connection and ends with its result, its timer cancelled', async () => {
    const clock = new OneTimerClock();
    const flights = new Flights<string>(clock);
    const result = flights.run('work', 100, 'first', async (connection) => `on ${connection}`);
    assert.equal(await result, 'on first');
    assert.equal(clock.isArmed, false);
  });

  it('waits for the next connection when there is none, and begins once', async () => {
    const flights = new Flights<string>(new OneTimerClock());
    const begun: string[] = [];
    let finish = (_word: string) => {};
    const result = flights.run<string>('work', 100, undefined, (connection) => {
      begun.push(connection);
      return new Promise((resolve) => (finish = resolve));
    });
    flights.lost();
    assert.deepEqual(begun, []);
    flights.connected('first');
    flights.connected('second');
    finish('done');
    assert.equal(await result, 'done');
    assert.deepEqual(begun, ['first']);
  });

  it('fails what was begun when the connection is lost', async () => {
    const clock = new OneTimerClock();
    const flights = new Flights<string>(clock);
    const failed = rejectsWith('BUS_UNAVAILABLE', flights.run('work', 100, 'first', never));
    flights.lost();
    await failed;
    assert.equal(clock.isArmed, false);
  });

  it('fails at its deadline, saying what was missing', async () => {
    const clock = new OneTimerClock();
    const flights = new Flights<string>(clock);
    const unbegun = flights.run('work', 100, undefined, never);
    clock.fire();
    await assert.rejects(unbegun, /could not work: not connected within 100 ms/);
    const unanswered = flights.run('work', 100, 'first', never);
    clock.fire();
    await assert.rejects(unanswered, /could not work: no answer within 100 ms/);
  });

  it('fails with the cause of the operation, and ignores an end that comes late', async () => {
    const flights = new Flights<string>(new OneTimerClock());
    const cause = new Error('no space left');
    const failed = flights.run('work', 100, 'first', () => Promise.reject(cause));
    await assert.rejects(failed, { code: 'BUS_UNAVAILABLE', cause });
    let finish = (_word: string) => {};
    const late = flights.run<string>('work', 100, 'first', () => {
      return new Promise((resolve) => (finish = resolve));
    });
    flights.closed();
    finish('too late');
    await rejectsWith('BUS_UNAVAILABLE', late);
  });

  it('fails everything when closed, begun or not', async () => {
    const flights = new Flights<string>(systemClock);
    const both = [
      flights.run('work', 100, 'first', never),
      flights.run('work', 100, undefined, never),
    ];
    flights.closed();
    for (const one of both) await rejectsWith('BUS_UNAVAILABLE', one);
  });
});
