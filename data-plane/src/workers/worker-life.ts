/**
 * One worker process as its supervisor sees it, from its birth to its end.
 * Owns: how it is, its signs of life, when it is killed.
 * Leaves: what comes after its end to supervisor.ts.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { lendBus } from '@dbbouncer/shared/bus/ipc-bus-server.ts';
import type { LentBus } from '@dbbouncer/shared/bus/ipc-bus-server.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { ProxyCondition } from '../app.ts';
import type { MetricFamily } from '../telemetry/metric-values.ts';
import { BEAT_MS } from './messages.ts';
import type { FromWorker, StartFailure, StopReason, ToWorker, WorkerTask } from './messages.ts';

/** A process that is a worker, or becomes one. */
export interface WorkerProcess {
  readonly pid: number;
  /** Dropped when it is gone. */
  send(message: ToWorker): void;
  /** SIGKILL. */
  kill(): void;
  onMessage(listener: (message: FromWorker) => void): void;
  /** Called once. @param how the signal or exit code that ended it */
  onEnd(listener: (how: string) => void): void;
}

/**
 * - `replaced`, `shutdown`: it was told to
 * - `overdue`: it was told to, did not in time, and was killed
 * - `unresponsive`: it gave no sign of life, and was killed
 * - `not_started`: it could not start
 * - `left`: it ended in order, and the supervisor had not told it to
 * - `crashed`: anything else
 */
export type WorkerEnd =
  'replaced' | 'shutdown' | 'overdue' | 'unresponsive' | 'not_started' | 'left' | 'crashed';

/** `starting` until it listens, `draining` once it was told to end. */
export type WorkerState = 'starting' | 'serving' | 'draining' | 'ended';

export interface WorkerOptions {
  readonly task: WorkerTask;
  /** Lent to the worker; absent where it connects to one by itself. */
  readonly bus: Bus | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Loading the sources of a proxy takes a second, and many may start at once. */
const FIRST_BEAT_WITHIN_MS = 60_000;
/** Beyond shutdown_timeout: for closing server connections, and what was told too late. */
const END_MARGIN_MS = 8_000;
const METRICS_WITHIN_MS = 2_000;
const IN_ORDER = 'exit code 0';

export class WorkerLife {
  readonly #process: WorkerProcess;
  readonly #options: WorkerOptions;
  readonly #bornMs: number;
  readonly #lent: LentBus | undefined;
  readonly #started = Promise.withResolvers<ProxyId>();
  readonly #ended = Promise.withResolvers<WorkerEnd>();
  #state: WorkerState = 'starting';
  #proxyId: ProxyId | undefined;
  #condition: ProxyCondition | undefined;
  #failure: StartFailure | undefined;
  /** Of the supervisor's ticks, since the last sign of life. */
  #silentTicks = 0;
  #reason: WorkerEnd | undefined;
  #overdue: Timer | undefined;
  #shown: readonly MetricFamily[] = [];
  #metricsWaiters: (() => void)[] = [];
  #beatWaiters: (() => void)[] = [];

  constructor(process: WorkerProcess, options: WorkerOptions) {
    this.#process = process;
    this.#options = options;
    this.#bornMs = options.clock.nowMs();
    const { bus, task } = options;
    this.#lent = bus && lendBus(bus, (frame) => process.send({ kind: 'bus', frame }));
    // Whoever does not wait for it hears of its end.
    this.#started.promise.catch(() => {});
    process.onMessage((message) => this.#received(message));
    process.onEnd((how) => this.#gone(how));
    process.send({ kind: 'begin', task });
  }

  get state(): WorkerState {
    return this.#state;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Nothing before it has started. */
  get proxyId(): ProxyId | undefined {
    return this.#proxyId;
  }

  /** As of its last sign of life. */
  get condition(): ProxyCondition | undefined {
    return this.#condition;
  }

  get livedMs(): number {
    return this.#options.clock.nowMs() - this.#bornMs;
  }

  /** Why it could not start, in words. */
  get failure(): StartFailure | undefined {
    return this.#failure;
  }

  /** Resolves when it accepts clients. Rejects with an Error when it ends before. */
  get started(): Promise<ProxyId> {
    return this.#started.promise;
  }

  get ended(): Promise<WorkerEnd> {
    return this.#ended.promise;
  }

  /** What it counted when it was last asked. */
  get shown(): readonly MetricFamily[] {
    return this.#shown;
  }

  /** Resolves when it accepts clients and serves a config that holds `position`; or has ended. */
  async caughtUp(position: number): Promise<void> {
    const isOver = this.ended.then(() => 'ended' as const);
    for (;;) {
      const { condition } = this;
      const isReady = this.#state === 'serving' && condition?.readiness.kind === 'ready';
      if (isReady && condition.appliedPosition >= position) return;
      const beat = new Promise<'beat'>((resolve) => this.#beatWaiters.push(() => resolve('beat')));
      if ((await Promise.race([beat, isOver])) === 'ended') return;
    }
  }

  /** Asks what it counts; `shown` has it then, or what it said last when it does not answer. */
  async askMetrics(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(METRICS_WITHIN_MS, resolve);
    this.#metricsWaiters.push(resolve);
    this.#process.send({ kind: 'show_metrics' });
    await promise;
    timer.cancel();
  }

  /** Has it accept nobody any more, drain and end; `ended` tells when it has. */
  stop(reason: StopReason): void {
    if (this.#state === 'ended') return;
    this.#process.send({ kind: 'stop', reason });
    if (this.#state === 'draining') return;
    this.#state = 'draining';
    this.#reason ??= reason;
    const withinMs = this.#options.task.settings.shutdownTimeoutMs + END_MARGIN_MS;
    this.#overdue = this.#options.clock.after(withinMs, () => {
      this.kill('overdue', `it did not end within ${withinMs} ms`);
    });
  }

  kill(reason: WorkerEnd, why: string): void {
    this.#reason = reason;
    const fields = { worker: this.#proxyId, pid: this.pid, reason, why };
    this.#options.log.error(fields, 'a worker is killed');
    this.#process.kill();
  }

  /**
   * To be called every BEAT_MS. It is time as the supervisor has it that counts: where the whole
   * machine stood still, no worker has missed anything.
   */
  tick(): void {
    this.#silentTicks += 1;
    const limitMs = this.#options.task.settings.workerHeartbeatTimeoutMs;
    const allowedMs =
      this.#condition === undefined ? Math.max(limitMs, FIRST_BEAT_WITHIN_MS) : limitMs;
    const silentMs = this.#silentTicks * BEAT_MS;
    if (silentMs <= allowedMs || this.#reason === 'unresponsive') return;
    this.kill('unresponsive', `no sign of life for ${silentMs} ms, ${allowedMs} are allowed`);
  }

  #received(message: FromWorker): void {
    this.#silentTicks = 0;
    switch (message.kind) {
      case 'started':
        this.#proxyId = message.proxyId;
        if (this.#state === 'starting') this.#state = 'serving';
        this.#started.resolve(message.proxyId);
        break;
      case 'failed':
        this.#failure = message.failure;
        this.#reason ??= 'not_started';
        break;
      case 'beat':
        this.#condition = message.condition;
        for (const wake of this.#beatWaiters.splice(0)) wake();
        break;
      case 'metrics':
        this.#shown = message.families;
        for (const wake of this.#metricsWaiters.splice(0)) wake();
        break;
      case 'bus':
        this.#lent?.receive(message.frame);
        break;
      default:
        unreachable(message);
    }
  }

  #gone(how: string): void {
    this.#state = 'ended';
    const reason = this.#reason ?? (how === IN_ORDER ? 'left' : 'crashed');
    const isOrdered = reason === 'replaced' || reason === 'shutdown';
    const fields = { worker: this.#proxyId, pid: this.pid, reason, how, livedMs: this.livedMs };
    this.#options.log[isOrdered ? 'info' : 'error'](fields, 'a worker has ended');
    this.#overdue?.cancel();
    this.#lent?.close();
    for (const wake of this.#metricsWaiters.splice(0)) wake();
    this.#started.reject(new Error(`the worker ended before it had started (${how})`));
    this.#ended.resolve(reason);
  }
}
