/**
 * Runs the dials of one pool and says of each, once, how it ended.
 * Owns: aborting, and the moment between a login and our hearing of it. Leaves: what follows to
 * pool.ts.
 */
import type { Backend, ServerEvents, Upstream } from '../upstream/upstream.ts';
import type { DialGate } from './dial-gate.ts';
import type { Slot } from './slot.ts';

/**
 * `closed_after_login`: there was a backend, and its server ended it before anybody could use it.
 * `given_up`: there was no slot for it any more, which says nothing of the server.
 */
export type DialFailure = { readonly error: unknown } | 'closed_after_login' | 'given_up';

export interface DialOutcome<B> {
  succeeded(slot: Slot<B>, backend: B): void;
  failed(slot: Slot<B>, cause: DialFailure): void;
  /** Whether what a dial has occupied is still there, at this moment. */
  mayGoOn(): boolean;
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
    const way = { state: 'open' as 'open' | 'given_up' };
    const mayGoOn = (): boolean => {
      if (!this.#outcome.mayGoOn()) way.state = 'given_up';
      return way.state === 'open';
    };
    const result = await this.#attempt({ closed, mayGoOn }, abort.signal);
    this.#running.delete(abort);
    if ('error' in result)
      this.#outcome.failed(slot, way.state === 'given_up' ? 'given_up' : result);
    else if (server.state === 'closed') this.#outcome.failed(slot, 'closed_after_login');
    else {
      server.state = 'told';
      this.#outcome.succeeded(slot, result.backend);
    }
    leaveGate();
  }

  async #attempt(
    events: ServerEvents,
    signal: AbortSignal,
  ): Promise<{ readonly backend: B } | { readonly error: unknown }> {
    try {
      return { backend: await this.#upstream.dial(events, signal) };
    } catch (error) {
      return { error };
    }
  }
}
