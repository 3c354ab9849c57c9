/**
 * All that is known about notifications within one database of one server, over all its pools: the
 * connections that listen, and which client speaks through which server process.
 *
 * A notification names the server process it was sent from; a client knows itself and others by the
 * process ids that the proxy gave. A process changes hands with every lease, and a notification
 * arrives some time after its transaction. So whoever may notify *speaks* first: a process that
 * another client spoke through before is theirs until a fence on each listener has shown that
 * everything they had sent was heard.
 */
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';

/** A connection that listens. */
export interface Hearing {
  /** Settles when everything was heard that had been committed, and answered, before this call. */
  fence(): Promise<void>;
}

/** Who speaks through a process; each time somebody begins to is another object. */
interface Speaker {
  readonly clientProcessId: number;
  /** Whether all of it was heard. */
  fate: 'unheard' | 'heard';
}

export class Exchange {
  readonly #listeners = new Set<Hearing>();
  /** By the server's process id: at most one for each backend that is open. */
  readonly #speakers = new Map<number, Speaker>();
  #fence: Promise<void> | undefined;
  #nextFence: Promise<void> | undefined;

  /** Whether anybody listens; if not, who speaks matters to nobody. */
  get isLive(): boolean {
    return this.#listeners.size > 0;
  }

  join(listener: Hearing): void {
    this.#listeners.add(listener);
  }

  leave(listener: Hearing): void {
    this.#listeners.delete(listener);
  }

  /**
   * A client is about to run on `backend` what may notify.
   * @returns `granted`, or a promise after which to ask again, before anything is sent.
   */
  speak(backend: PostgresBackend, clientProcessId: number): 'granted' | Promise<void> {
    const processId = backend.key?.processId;
    if (processId === undefined) return 'granted';
    const before = this.#speakers.get(processId);
    const isTheirs = before !== undefined && before.clientProcessId !== clientProcessId;
    if (isTheirs && before.fate === 'unheard' && this.isLive) return this.#hear(before);
    if (before === undefined) backend.socket.once('close', () => this.#gone(processId));
    this.#speakers.set(processId, { clientProcessId, fate: 'unheard' });
    return 'granted';
  }

  /** The client that spoke through `backend` gives it back, everything it sent being answered. */
  spoken(backend: PostgresBackend): void {
    const speaker = this.#speakers.get(backend.key?.processId ?? 0);
    if (speaker !== undefined && this.isLive) void this.#hear(speaker);
  }

  /** The client that a notification of this server process is from, if it is one of ours. */
  clientOf(processId: number): number | undefined {
    return this.#speakers.get(processId)?.clientProcessId;
  }

  async #hear(speaker: Speaker): Promise<void> {
    await this.#afterFence();
    speaker.fate = 'heard';
  }

  /** Its last words may be on their way; then the server may give its number to another process. */
  #gone(processId: number): void {
    void this.#afterFence().then(() => this.#speakers.delete(processId));
  }

  /** One fence at a time; all that ask meanwhile share the next. */
  #afterFence(): Promise<void> {
    if (this.#fence !== undefined) {
      this.#nextFence ??= this.#fence.then(() => {
        this.#nextFence = undefined;
        return this.#afterFence();
      });
      return this.#nextFence;
    }
    this.#fence = this.#fenceAll();
    return this.#fence;
  }

  async #fenceAll(): Promise<void> {
    await Promise.allSettled(Array.from(this.#listeners, (listener) => listener.fence()));
    this.#fence = undefined;
  }
}

/** The exchange of each database; one lives as long as a pool has it. */
export class Exchanges {
  readonly #known = new Map<string, WeakRef<Exchange>>();

  /** @param database with its server */
  of(database: string): Exchange {
    const known = this.#known.get(database)?.deref();
    if (known !== undefined) return known;
    for (const [key, reference] of this.#known) {
      if (reference.deref() === undefined) this.#known.delete(key);
    }
    const exchange = new Exchange();
    this.#known.set(database, new WeakRef(exchange));
    return exchange;
  }
}
