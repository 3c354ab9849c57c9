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

export class LaneLine {
  #waiting: Waiting[] = [];
  /** How many wait with the same parameters. */
  readonly #byVector = new Map<string, number>();

  get length(): number {
    return this.#waiting.length;
  }

  get hasRoom(): boolean {
    return this.#waiting.length < LINE_MAX;
  }

  /** Whether somebody waits whom one with these parameters must not overtake. */
  isBefore(vectorKey: string): boolean {
    return this.#waiting.length > 0 && this.#byVector.has(vectorKey);
  }

  /** The parameters of the longest waiting. */
  get firstRequest(): BatchRequest | undefined {
    return this.#waiting[0]?.request;
  }

  join(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#count(waiting.request, 1);
  }

  leave(request: BatchRequest): void {
    const at = this.#waiting.findIndex((waiting) => waiting.request === request);
    if (at === -1) return;
    this.#waiting.splice(at, 1);
    this.#count(request, -1);
  }

  /** Offers each to `serve`, in order of arrival, as long as that helps. */
  serve(serve: (waiting: Waiting) => Served): void {
    const line = this.#waiting;
    const stay: Waiting[] = [];
    this.#waiting = stay;
    for (const [at, waiting] of line.entries()) {
      if (stay.length >= PATIENCE) {
        stay.push(...line.slice(at));
        break;
      }
      this.#count(waiting.request, -1);
      const served = serve(waiting);
      if (served !== 'stays') continue;
      stay.push(waiting);
      this.#count(waiting.request, 1);
    }
  }

  /** Takes out those that have waited since then, or for longer. */
  takeLate(thenMs: number): readonly BatchRequest[] {
    const late = this.#waiting.filter(({ sinceMs }) => sinceMs <= thenMs);
    if (late.length === 0) return NOBODY;
    this.#waiting = this.#waiting.filter(({ sinceMs }) => sinceMs > thenMs);
    for (const { request } of late) this.#count(request, -1);
    return late.map(({ request }) => request);
  }

  #count({ vector }: BatchRequest, change: 1 | -1): void {
    const count = (this.#byVector.get(vector.key) ?? 0) + change;
    if (count === 0) this.#byVector.delete(vector.key);
    else this.#byVector.set(vector.key, count);
  }
}

const NOBODY: readonly BatchRequest[] = Object.freeze([]);
