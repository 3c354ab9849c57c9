/**
 * * An upstream whose servers do what a test says, when it says so. It counts connections as the
 * server would: one is open from the beginning of its dial until the server has closed.
 */
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '@dbbouncer/data-plane/errors.ts';
import type {
  Backend,
  CloseReason,
  ServerEvents,
  Upstream,
} from '@dbbouncer/data-plane/upstream/upstream.ts';
import type { PoolIdentity, Waiter } from '@dbbouncer/data-plane/pool/pool.ts';
import type { WaitNotice } from '@dbbouncer/data-plane/pool/waiter.ts';

export class ScriptedBackend implements Backend {
  readonly id: number;
  answered = 0;
  readonly #events: ServerEvents;
  #server: 'open' | 'closed' = 'open';
  closeReason: CloseReason | undefined;
  #reset: PromiseWithResolvers<void> | undefined;
  #check: PromiseWithResolvers<void> | undefined;

  constructor(id: number, events: ServerEvents) {
    this.id = id;
    this.#events = events;
  }

  close(reason: CloseReason): void {
    this.closeReason ??= reason;
  }

  /** Whether the pool has asked for the end and the server has not yet followed. */
  get isClosing(): boolean {
    return this.closeReason !== undefined && this.#server === 'open';
  }

  get isOpen(): boolean {
    return this.#server === 'open';
  }

  get isResetting(): boolean {
    return this.#reset !== undefined;
  }

  beginReset(): Promise<void> {
    this.#reset = Promise.withResolvers<void>();
    return this.#reset.promise;
  }

  endReset(outcome: 'done' | 'failed'): void {
    if (outcome === 'done') this.#reset?.resolve();
    else this.#reset?.reject(new Error('DISCARD ALL failed'));
    this.#reset = undefined;
  }

  get isChecking(): boolean {
    return this.#check !== undefined;
  }

  beginCheck(): Promise<void> {
    this.#check = Promise.withResolvers<void>();
    return this.#check.promise;
  }

  endCheck(outcome: 'done' | 'failed'): void {
    if (outcome === 'done') this.#check?.resolve();
    else this.#check?.reject(new Error('no answer'));
    this.#check = undefined;
  }

  /** The server ends the connection, asked or not. */
  serverCloses(): void {
    this.#server = 'closed';
    this.#events.closed();
  }
}

export class ScriptedDial {
  readonly #accept: (dial: ScriptedDial) => ScriptedBackend;
  readonly #result = Promise.withResolvers<ScriptedBackend>();
  readonly #over: () => void;
  readonly signal: AbortSignal;
  readonly events: ServerEvents;

  constructor(
    events: ServerEvents,
    signal: AbortSignal,
    accept: (dial: ScriptedDial) => ScriptedBackend,
    over: () => void,
  ) {
    this.events = events;
    this.signal = signal;
    this.#accept = accept;
    this.#over = over;
    signal.addEventListener('abort', () => this.fail(refusal('aborted')));
  }

  get promise(): Promise<ScriptedBackend> {
    return this.#result.promise;
  }

  succeed(): ScriptedBackend {
    this.#over();
    const backend = this.#accept(this);
    this.#result.resolve(backend);
    return backend;
  }

  fail(error: unknown = refusal('too many connections')): void {
    this.#over();
    this.#result.reject(error);
  }
}

export class ScriptedUpstream implements Upstream<ScriptedBackend> {
  readonly dials: ScriptedDial[] = [];
  readonly backends: ScriptedBackend[] = [];
  #nextId = 1;

  dial(events: ServerEvents, signal: AbortSignal): Promise<ScriptedBackend> {
    const dial = new ScriptedDial(
      events,
      signal,
      () => this.#accept(events),
      () => this.dials.splice(this.dials.indexOf(dial), 1),
    );
    this.dials.push(dial);
    return dial.promise;
  }

  reset(backend: ScriptedBackend): Promise<void> {
    return backend.beginReset();
  }

  check(backend: ScriptedBackend): Promise<void> {
    return backend.beginCheck();
  }

  /** Dials under way and connections the server has not closed. */
  get occupied(): number {
    return this.dials.length + this.backends.filter((backend) => backend.isOpen).length;
  }

  /** Every dial under way succeeds, in order. */
  acceptAll(): void {
    for (const dial of Array.from(this.dials)) dial.succeed();
  }

  /** The server follows every close that was asked for. */
  followCloses(): void {
    for (const backend of this.backends.filter((each) => each.isClosing)) backend.serverCloses();
  }

  #accept(events: ServerEvents): ScriptedBackend {
    const backend = new ScriptedBackend(this.#nextId, events);
    this.#nextId += 1;
    this.backends.push(backend);
    return backend;
  }
}

/** A client in line that writes down what it hears. */
export class RecordingWaiter implements Waiter<ScriptedBackend> {
  backend: ScriptedBackend | undefined;
  error: AppError | undefined;
  movedSinceMs: number | undefined;
  /** Why it had to wait on, as it was told meanwhile. */
  readonly notices: WaitNotice[] = [];
  /** How often it was told anything; a second time is the pool's fault. */
  timesTold = 0;
  readonly #onGranted: (backend: ScriptedBackend) => void;

  constructor(onGranted: (backend: ScriptedBackend) => void = () => {}) {
    this.#onGranted = onGranted;
  }

  granted(backend: ScriptedBackend): void {
    this.timesTold += 1;
    this.backend = backend;
    this.#onGranted(backend);
  }

  stillWaiting(notice: WaitNotice): void {
    this.notices.push(notice);
  }

  refused(error: AppError): void {
    this.timesTold += 1;
    this.error = error;
  }

  moved(waitedSinceMs: number): void {
    this.timesTold += 1;
    this.movedSinceMs = waitedSinceMs;
  }
}

export function refusal(words: string): AppError {
  return proxyErrors.fail('UPSTREAM_REFUSED', words);
}

export function settings(changes: Partial<PoolSettings> = {}): PoolSettings {
  const small = { minConnections: 0, maxConnections: 5, serverCheckDelayMs: 0 };
  return { ...DEFAULT_POOL_SETTINGS, ...small, ...changes };
}

export function identity(changes: Partial<PoolIdentity> = {}): PoolIdentity {
  return {
    tenant: 'acme',
    protocol: 'postgres',
    endpoint: 'db.example:5432',
    database: 'acme',
    user: 'acme_app',
    purpose: 'clients',
    ...changes,
  };
}
