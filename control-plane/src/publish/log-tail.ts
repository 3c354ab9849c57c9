/**
 * Drives one reader of the event log that writes to the bus: recover → tail, and again after every
 * trouble. Owns: phases, waking, retries, the checkpoint. Leaves: what is published and how it
 * recovers to its `TailSteps`. The bus itself says how far it is; the checkpoint only tells people,
 * before the bus can be asked.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { EventStore } from '../store/event-store.ts';
import type { PublisherPhase, PublisherStatus } from './publisher-status.ts';
import { Signal } from '@dbbouncer/shared/kernel/signal.ts';

export interface TailSteps {
  /** Under this name the checkpoint is kept. */
  readonly name: string;
  /** The last event that is on the bus. */
  readonly position: Position;
  /**
   * Finds out how far the bus is and goes on from there. @throws HistoryConflict when nothing may
   * be published.
   */
  recover(): Promise<void>;
  /**
   * Publishes the next events. `idle`: there are none. `lost`: the bus is not where it was;
   * recover.
   */
  publishNext(): Promise<'published' | 'idle' | 'lost'>;
}

export interface TailPorts {
  readonly bus: Bus;
  readonly store: EventStore;
  readonly clock: Clock;
  readonly log: Logger;
}

const RETRY_AFTER_MS = 200;
const CHECKPOINT_AFTER_MS = 1_000;

export class LogTail {
  readonly #steps: TailSteps;
  readonly #ports: TailPorts;
  readonly #signal = new Signal();
  readonly #subscriptions: Subscription[] = [];
  #running: Promise<void> = Promise.resolve();
  #checkpointTimer: Timer | undefined;
  #life: 'open' | 'closing' = 'open';
  /** `renewed`: the bus came back since the last recovery, and may not be what it was. */
  #connection: 'steady' | 'renewed' = 'steady';
  #phase: PublisherPhase = 'recovering';
  #problem: string | undefined;

  constructor(steps: TailSteps, ports: TailPorts) {
    this.#steps = steps;
    this.#ports = { ...ports, log: ports.log.child({ publisher: steps.name }) };
  }

  status(): PublisherStatus {
    const status = { phase: this.#phase, position: this.#steps.position };
    return this.#problem === undefined ? status : { ...status, problem: this.#problem };
  }

  start(): void {
    const unsubscribe = this.#ports.store.subscribe(() => this.#signal.raise());
    const statuses = this.#ports.bus.onStatus((status) => {
      if (status === 'connected') this.#connection = 'renewed';
      this.#signal.raise();
    });
    this.#subscriptions.push({ close: unsubscribe }, statuses);
    this.#running = this.#run();
  }

  /** Lets what is under way on the bus end, publishes nothing more, and saves the checkpoint. */
  async close(): Promise<void> {
    this.#life = 'closing';
    for (const subscription of this.#subscriptions) subscription.close();
    this.#signal.raise();
    await this.#running;
    this.#saveCheckpoint();
    this.#phase = 'stopped';
  }

  async #run(): Promise<void> {
    while (this.#isOpen()) {
      try {
        await this.#recoverAndTail();
      } catch (error) {
        await this.#waitAfter(error);
      }
    }
  }

  /** Returns when it should recover again at once. */
  async #recoverAndTail(): Promise<void> {
    this.#requireConnection();
    this.#enter('recovering');
    this.#connection = 'steady';
    await this.#steps.recover();
    this.#enter('tailing');
    let published = 0;
    while (this.#isOpen() && this.#connection === 'steady') {
      this.#requireConnection();
      const outcome = await this.#steps.publishNext();
      if (outcome === 'idle') {
        await this.#signal.raised();
      } else if (outcome === 'published') {
        published += 1;
        this.#scheduleCheckpoint();
      } else {
        this.#ports.log.warn({ position: this.#steps.position }, 'the log on the bus has changed');
        // Lost right after a recovery, it would be lost again: do not spin.
        if (published === 0) await this.#pause();
        return;
      }
    }
  }

  async #waitAfter(error: unknown): Promise<void> {
    if (error instanceof AppError && error.retryable) {
      if (this.#phase !== 'waiting_for_bus') {
        // One that only begins to connect is no trouble, and says itself when it cannot.
        const level = this.#ports.bus.status === 'connecting' ? 'debug' : 'warn';
        this.#ports.log[level]({ error }, 'publishing waits for the bus');
      }
      this.#enter('waiting_for_bus');
      await this.#pause();
      return;
    }
    this.#ports.log.error({ error }, 'publishing stopped');
    this.#enter('stopped', error instanceof Error ? error.message : String(error));
    while (this.#isOpen() && this.#connection === 'steady') await this.#signal.raised();
  }

  /** A little while, or until the bus has come back. */
  async #pause(): Promise<void> {
    const pause: { state: 'running' | 'over' } = { state: 'running' };
    const timer = this.#ports.clock.after(RETRY_AFTER_MS, () => {
      pause.state = 'over';
      this.#signal.raise();
    });
    while (this.#isOpen() && this.#connection === 'steady' && pause.state === 'running') {
      await this.#signal.raised();
    }
    timer.cancel();
  }

  #enter(phase: PublisherPhase, problem?: string): void {
    this.#phase = phase;
    this.#problem = problem;
  }

  #isOpen(): boolean {
    return this.#life === 'open';
  }

  #requireConnection(): void {
    if (this.#ports.bus.status === 'connected') return;
    throw sharedErrors.fail('BUS_UNAVAILABLE', `The bus is ${this.#ports.bus.status}.`);
  }

  /** Not after each batch: on disk it costs a sync, and the bus knows it better. */
  #scheduleCheckpoint(): void {
    this.#checkpointTimer ??= this.#ports.clock.after(CHECKPOINT_AFTER_MS, () => {
      this.#saveCheckpoint();
    });
  }

  #saveCheckpoint(): void {
    this.#checkpointTimer?.cancel();
    this.#checkpointTimer = undefined;
    try {
      this.#ports.store.saveCheckpoint(this.#steps.name, this.#steps.position);
    } catch (error) {
      this.#ports.log.warn({ error }, 'the checkpoint was not saved');
    }
  }
}
