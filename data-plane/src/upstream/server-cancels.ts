/**
 * Asks servers to cancel what their connections run, each time over a connection of its own.
 * Owns: how many such connections there are at once: however many cancels clients send, a server
 * connection is the aim of one at a time, and has at most one more to come.
 * Leaves: the connection itself to send-cancel.ts; keeping the server connection from other clients
 * meanwhile to the lease.
 */
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { PostgresBackend } from './postgres-backend.ts';
import { sendCancel } from './send-cancel.ts';

/** Cancel connections at once, over all tenants and to the server of one. */
const CONNECTIONS_MAX = 100;
const CONNECTIONS_PER_TENANT_MAX = 10;

export interface CancelOptions {
  readonly tenantKey: string;
  /** How long it may wait in line, and then how long the server may take to close. */
  readonly limitMs: number;
}

interface WantedCancel extends CancelOptions {
  /** Whether there is still something to cancel when its turn comes. */
  readonly isWanted: () => boolean;
}

interface Cancel extends CancelOptions {
  /** Of who asked last. */
  isWanted: () => boolean;
  readonly backend: PostgresBackend;
  readonly over: PromiseWithResolvers<void>;
  readonly deadline: Timer;
}

export class ServerCancels {
  readonly #clock: Clock;
  /** In line; one for each server connection at most, which bounds it. */
  readonly #waiting = new Map<PostgresBackend, Cancel>();
  readonly #running = new Map<PostgresBackend, Cancel>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves when the server has closed the cancel connection, after which its signal is on its way
   * to the backend; also when it could not be reached, when it did not close in time, or when there
   * was nothing to cancel any more: a cancel promises nothing.
   */
  send(backend: PostgresBackend, options: WantedCancel): Promise<void> {
    const waiting = this.#waiting.get(backend);
    if (waiting !== undefined) {
      // Whoever asked before has been answered by now, or wants the same as the last one.
      waiting.isWanted = options.isWanted;
      return waiting.over.promise;
    }
    const deadline = this.#clock.after(options.limitMs, () => this.#giveUp(cancel));
    const cancel: Cancel = { ...options, backend, deadline, over: Promise.withResolvers() };
    this.#waiting.set(backend, cancel);
    this.#serve();
    return cancel.over.promise;
  }

  /** Those that wait and those that are under way. */
  get counts(): { readonly waiting: number; readonly running: number } {
    return { waiting: this.#waiting.size, running: this.#running.size };
  }

  #giveUp({ backend, over }: Cancel): void {
    this.#waiting.delete(backend);
    over.resolve();
  }

  #serve(): void {
    for (const cancel of this.#waiting.values()) {
      if (this.#running.size >= CONNECTIONS_MAX) return;
      if (this.#mayRun(cancel)) void this.#run(cancel);
    }
  }

  #mayRun({ backend, tenantKey }: Cancel): boolean {
    if (this.#running.has(backend)) return false;
    let ofTenant = 0;
    for (const other of this.#running.values()) if (other.tenantKey === tenantKey) ofTenant += 1;
    return ofTenant < CONNECTIONS_PER_TENANT_MAX;
  }

  async #run(cancel: Cancel): Promise<void> {
    const { backend, deadline, over, limitMs } = cancel;
    this.#waiting.delete(backend);
    deadline.cancel();
    if (cancel.isWanted()) {
      this.#running.set(backend, cancel);
      await sendCancel(backend, limitMs);
      this.#running.delete(backend);
    }
    over.resolve();
    this.#serve();
  }
}
