/**
 * The batches on one server connection, in the order they were sent: the first is the one the
 * server works on.
 * Owns: who is next, and how long all of them are expected to take.
 */
import type { SharedBatch } from './shared-batch.ts';

/** Batches that are over are forgotten in flocks. */
const COMPACT_AT = 256;

export class BatchQueue {
  #batches: (SharedBatch | undefined)[] = [];
  #first = 0;
  #backlogUs = 0;

  get head(): SharedBatch | undefined {
    return this.#batches[this.#first];
  }

  get depth(): number {
    return this.#batches.length - this.#first;
  }

  /** How long the server is expected to work on them, in microseconds. */
  get backlogUs(): number {
    return this.#backlogUs;
  }

  push(batch: SharedBatch): void {
    this.#batches.push(batch);
    this.#backlogUs += batch.expectedUs;
  }

  /** The first one is over. */
  shift(): void {
    const head = this.#batches[this.#first];
    this.#batches[this.#first] = undefined;
    this.#first += 1;
    if (this.#first === this.#batches.length) return this.#clear();
    this.#backlogUs -= head?.expectedUs ?? 0;
    if (this.#first < COMPACT_AT) return;
    this.#batches = this.#batches.slice(this.#first);
    this.#first = 0;
  }

  /** Those behind the first; they stay. */
  behindHead(): readonly SharedBatch[] {
    return this.#batches.slice(this.#first + 1) as readonly SharedBatch[];
  }

  /** Takes all. */
  takeAll(): readonly SharedBatch[] {
    const all = this.#batches.slice(this.#first) as readonly SharedBatch[];
    this.#clear();
    return all;
  }

  #clear(): void {
    this.#batches.length = 0;
    this.#first = 0;
    this.#backlogUs = 0;
  }
}
