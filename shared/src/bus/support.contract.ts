/**
 * What the bus's contract and the tests of its adapters have in common.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { sharedErrors } from '../errors.ts';
import type { Bus, BusLog, LogMessage } from './bus.ts';

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);
/** A name no other test uses: engines outlive a single test. */
export const uniqueName = (): string => `t${randomUUID().replaceAll('-', '')}`;

/** Gathers what handlers are called with, and lets a test wait for the n-th item. */
export class Collector<T> {
  readonly items: T[] = [];
  #waiting: { readonly count: number; readonly resolve: () => void } | undefined;

  readonly add = (item: T): void => {
    this.items.push(item);
    if (this.#waiting !== undefined && this.items.length >= this.#waiting.count) {
      this.#waiting.resolve();
    }
  };

  /** The first `count` items, once they are there; the test's own timeout is the limit. */
  async first(count: number): Promise<readonly T[]> {
    if (this.items.length < count) {
      await new Promise<void>((resolve) => (this.#waiting = { count, resolve }));
    }
    return this.items.slice(0, count);
  }
}

export function rejectsWith(code: keyof typeof sharedErrors.specs, promise: Promise<unknown>) {
  return assert.rejects(promise, (error) => sharedErrors.is(error) && error.code === code);
}

export function newLog(bus: Bus, messagesMax?: number): BusLog {
  const stream = uniqueName();
  return bus.log({
    stream,
    subject: `${stream}.entry`,
    ...(messagesMax === undefined ? {} : { messagesMax }),
  });
}

/** Appends "1", "2", … up to `last`, each under its own id. */
export async function appendUpTo(log: BusLog, last: number, from = 1): Promise<void> {
  for (let n = from; n <= last; n += 1) await log.append(`id-${n}`, bytes(String(n)));
}

export const readings = (messages: readonly LogMessage[]): string[] =>
  messages.map((message) => `${message.sequence}:${text(message.data)}`);
