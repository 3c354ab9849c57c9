/**
 * The worker's side: a proxy that does what its supervisor says, and tells how it is.
 * Owns: what is told when, and what ends it. Leaves: the process to whoever calls it.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { IpcBus } from '@dbbouncer/shared/bus/ipc-bus.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { startProxy } from '../app.ts';
import type { RunningProxy } from '../app.ts';
import { BEAT_MS } from './messages.ts';
import type { FromWorker, StopReason, ToWorker, WorkerTask } from './messages.ts';
import { startFailureOf } from './start-refused.ts';

/** To the supervisor. */
export interface WorkerChannel {
  /** Resolves when the message is on its way, or cannot be sent any more. */
  send(message: FromWorker): Promise<void>;
  onMessage(listener: (message: ToWorker) => void): void;
  /** The supervisor is gone. */
  onClosed(listener: () => void): void;
}

export interface WorkerSurroundings {
  readonly channel: WorkerChannel;
  readonly clock: Clock;
  readonly readEnv: ReadEnv;
  /** Aborted when somebody else than the supervisor asks it to end. */
  readonly asked: AbortSignal;
  /** With these settings, before anything else is made. */
  readonly makeLog: (settings: Settings) => Logger;
  /** The bus of its own, or nothing where the supervisor lends one. */
  readonly openBus: (settings: Settings, log: Logger) => Bus | undefined;
}

/**
 * A client that was accepted just before has so long to log in, ask and leave before it is told
 * that this worker ends; only where another one has taken over.
 */
const HANDOVER_GRACE_MS = 1_000;

type EndReason = StopReason | 'asked' | 'supervisor_gone';

/** Resolves when the worker has ended in order. @throws what it could not start for */
export function runWorker(surroundings: WorkerSurroundings): Promise<void> {
  return new Worker(surroundings).run();
}

class Worker {
  readonly #with: WorkerSurroundings;
  readonly #task = Promise.withResolvers<WorkerTask>();
  readonly #end = Promise.withResolvers<void>();
  #log: Logger | undefined;
  #lent: IpcBus | undefined;
  #proxy: RunningProxy | undefined;
  #beating: Timer | undefined;
  #stop: EndReason | undefined;

  constructor(surroundings: WorkerSurroundings) {
    this.#with = surroundings;
    surroundings.asked.addEventListener('abort', () => this.#stopFor('asked'));
    surroundings.channel.onMessage((message) => this.#received(message));
    surroundings.channel.onClosed(() => this.#supervisorGone());
  }

  async run(): Promise<void> {
    const task = await this.#task.promise;
    const { makeLog, openBus, channel, clock, readEnv } = this.#with;
    const log = makeLog(task.settings);
    this.#log = log;
    const bus = openBus(task.settings, log) ?? this.#borrow(log);
    try {
      const { version, role, settings } = task;
      const proxy = await startProxy(settings, {
        bus,
        busReach: this.#lent === undefined ? 'shared' : 'private',
        clock,
        log,
        readEnv,
        version,
        worker: role,
      });
      this.#proxy = proxy;
      await channel.send({ kind: 'started', proxyId: proxy.proxyId });
      this.#beat();
      void proxy.whenReady.then(() => this.#beat());
      if (this.#stop !== undefined) this.#drain();
      await this.#end.promise;
    } catch (error) {
      await channel.send({ kind: 'failed', failure: startFailureOf(error) });
      throw error;
    } finally {
      this.#beating?.cancel();
      await bus.close();
    }
  }

  #received(message: ToWorker): void {
    switch (message.kind) {
      case 'begin':
        return this.#task.resolve(message.task);
      case 'show_metrics':
        return void this.#showMetrics();
      case 'stop':
        return this.#stopFor(message.reason);
      case 'bus':
        return this.#lent?.receive(message.frame);
      default:
        unreachable(message);
    }
  }

  #stopFor(reason: EndReason): void {
    const isNew = this.#stop === undefined;
    this.#stop ??= reason;
    if (isNew && this.#proxy !== undefined) this.#drain();
  }

  #drain(): void {
    const graceMs = this.#stop === 'replaced' ? HANDOVER_GRACE_MS : 0;
    const drained = this.#proxy?.stop(graceMs) ?? Promise.resolve();
    // What it counted last belongs to the sums of its supervisor.
    drained.then(() => this.#showMetrics()).then(this.#end.resolve, this.#end.reject);
  }

  /** Transactions go on to their end; but who waits for us to end and is gone was in a hurry. */
  #supervisorGone(): void {
    this.#lent?.ended();
    this.#task.reject(new Error('the supervisor is gone'));
    if (this.#stop === 'shutdown') this.#end.resolve();
    else {
      const fields = { worker: this.#proxy?.proxyId };
      this.#log?.error(fields, 'the supervisor is gone: this worker drains, and ends');
      this.#stopFor('supervisor_gone');
    }
  }

  #borrow(log: Logger): IpcBus {
    const { channel, clock } = this.#with;
    this.#lent = new IpcBus({
      send: (frame) => void channel.send({ kind: 'bus', frame }),
      clock,
      log,
    });
    return this.#lent;
  }

  #beat(): void {
    if (this.#proxy === undefined) return;
    void this.#with.channel.send({ kind: 'beat', condition: this.#proxy.condition() });
    this.#beating?.cancel();
    this.#beating = this.#with.clock.after(BEAT_MS, () => this.#beat());
  }

  async #showMetrics(): Promise<void> {
    const families = (await this.#proxy?.metrics()) ?? [];
    await this.#with.channel.send({ kind: 'metrics', families });
  }
}
