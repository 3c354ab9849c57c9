/**
 * Runs the dials of one pool and says of each, once, how it ended.
 * Owns: aborting, and the moment between a login and our hearing of it. Leaves: what follows to
 * pool.ts.
 */
import type { Backend, Upstream } from '../upstream/upstream.ts';
import type { DialGate } from './dial-gate.ts';
import type { Slot } from './slot.ts';

/**
 * `closed_after_login`: there was a backend, and its server ended it before anybody could use it.
 */
export type DialFailure = { readonly error: unknown } | 'closed_after_login';

export interface DialOutcome<B> {
  succeeded(slot: Slot<B>, backend: B): void;
  failed(slot: Slot<B>, cause: DialFailure): void;
  /** The server closed a connection that had succeeded. */
  closed(slot: Slot<B>): void;
}

export class Dialer<B extends Backend> {
  readonly #upstream: Upstream<B>;
  readonly #gate: DialGate;
  readonly #outcome: DialOutcome<B>;
  readonly #running = new Set<AbortController>();

  constructor(upstream: Upstream<B>, gate: DialGate, outcome: DialOutcome<B>) {
    this.#upstream = upstream;
    this.#gate = gate;
    this.#outcome = outcome;
  }

  begin(slot: Slot<B>): void {
    void this.#run(slot);
  }

  /** Running dials end soon, most of them as failed. */
  abortAll(): void {
    for (const dial of this.#running) dial.abort();
  }

  async #run(slot: Slot<B>): Promise<void> {
    const abort = new AbortController();
    const leaveGate = this.#gate.enter();
    this.#running.add(abort);
    const server: { state: 'unheard' | 'told' | 'closed' } = { state: 'unheard' };
    const closed = (): void => {
      if (server.state === 'told') this.#outcome.closed(slot);
      else server.state = 'closed';
    };
    const result = await this.#attempt(closed, abort.signal);
    this.#running.delete(abort);
    if ('error' in result) this.#outcome.failed(slot, result);
    else if (server.state === 'closed') this.#outcome.failed(slot, 'closed_after_login');
    else {
      server.state = 'told';
      this.#outcome.succeeded(slot, result.backend);
    }
    leaveGate();
  }

  async #attempt(
    closed: () => void,
    signal: AbortSignal,
  ): Promise<{ readonly backend: B } | { readonly error: unknown }> {
    try {
      return { backend: await this.#upstream.dial({ closed }, signal) };
    } catch (error) {
      return { error };
    }
  }
}
