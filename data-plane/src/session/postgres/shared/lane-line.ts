/**
 * Batches that wait for the shared lane: for room, or for what is about to be known of them.
 * Owns: their order, and since when each waits. Leaves: where they go, and when, to lane.ts.
 */
import type { BatchRequest } from './batch-request.ts';

/** As many clients as may be in line for a server connection. */
const LINE_MAX = 10_000;
/** After so many that have to stay, those behind them are not tried. */
const PATIENCE = 32;

export interface Waiting {
  readonly request: BatchRequest;
  readonly sinceMs: number;
}

/** What becomes of one in line: `left` is in line no more. */
export type Served = 'left' | 'stays';

/** So many places in front are empty before the others move up. */
const EMPTY_MAX = 1_024;

export class LaneLine {
  /** In order of arrival, from `#head`; empty where somebody has left. */
  #places: (Waiting | undefined)[] = [];
  #head = 0;
  #length = 0;
  /** While the line is served: who was offered and stays. */
  #staying: Waiting[] = [];
  /** How many wait with the same parameters. */
  readonly #byVector = new Map<string, number>();

  get length(): number {
    return this.#length;
  }

  get hasRoom(): boolean {
    return this.#length < LINE_MAX;
  }

  /** Whether somebody waits whom one with these parameters must not overtake. */
  isBefore(vectorKey: string): boolean {
    return this.#length > 0 && this.#byVector.has(vectorKey);
  }

  join(waiting: Waiting): void {
    this.#places.push(waiting);
    this.#count(waiting.request, 1);
  }

  leave(request: BatchRequest): void {
    const isIt = (waiting: Waiting | undefined) => waiting?.request === request;
    const at = this.#places.findIndex(isIt);
    const staying = at === -1 ? this.#staying.findIndex(isIt) : -1;
    if (at === -1 && staying === -1) return;
    if (at === -1) this.#staying.splice(staying, 1);
    else this.#places[at] = undefined;
    this.#count(request, -1);
  }

  /** Offers each to `serve`, in order of arrival, as long as that helps. */
  serve(serve: (waiting: Waiting) => Served): void {
    const staying = this.#staying;
    // Who joins meanwhile is not tried.
    const end = this.#places.length;
    while (this.#head < end && staying.length < PATIENCE) {
      const waiting = this.#places[this.#head];
      this.#places[this.#head++] = undefined;
      if (waiting === undefined) continue;
      this.#count(waiting.request, -1);
      if (serve(waiting) !== 'stays') continue;
      staying.push(waiting);
      this.#count(waiting.request, 1);
    }
    for (const waiting of staying.toReversed()) this.#places[--this.#head] = waiting;
    staying.length = 0;
    this.#moveUp();
  }

  #moveUp(): void {
    if (this.#length === 0) this.#places.length = 0;
    else if (this.#head <= EMPTY_MAX || this.#head * 2 <= this.#places.length) return;
    else this.#places.splice(0, this.#head);
    this.#head = 0;
  }

  /** Takes out those that have waited since then, or for longer. */
  takeLate(thenMs: number): readonly BatchRequest[] {
    let late: BatchRequest[] | undefined;
    for (let at = this.#head; at < this.#places.length; at += 1) {
      const waiting = this.#places[at];
      if (waiting === undefined || waiting.sinceMs > thenMs) continue;
      this.#places[at] = undefined;
      this.#count(waiting.request, -1);
      late = late ?? [];
      late.push(waiting.request);
    }
    return late ?? NOBODY;
  }

  #count({ vector }: BatchRequest, change: 1 | -1): void {
    this.#length += change;
    const count = (this.#byVector.get(vector.key) ?? 0) + change;
    if (count === 0) this.#byVector.delete(vector.key);
    else this.#byVector.set(vector.key, count);
  }
}

const NOBODY: readonly BatchRequest[] = Object.freeze([]);
