/**
 * One of several control planes on one event stream: it follows, takes over when nobody leads, and
 * leads until another does. Owns: the role, and the order of its steps. Leaves: who has the lease
 * to election.ts, reading and writing the stream to stream-reader.ts and stream-writer.ts, what a
 * leader does besides writing to its hooks.
 *
 * A term begins with an event of its own, written behind everything that was there: from then on
 * nobody who led before can write, whether he has heard of it or not.
 */
import { randomUUID } from 'node:crypto';
import type { Bus, BusLog, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { Signal } from '@dbbouncer/shared/kernel/signal.ts';
import type { Replicated, Replicator } from '../commands/replicated-keeping.ts';
import { controlErrors } from '../errors.ts';
import type { EventStore } from '../store/event-store.ts';
import type { ReplicatedChange, StreamPlace } from '../store/replicated-change.ts';
import { Election } from './election.ts';
import type { Lease, LeaseMarks } from './lease-record.ts';
import { NotLeader } from './not-leader.ts';
import { StreamReader, unusable } from './stream-reader.ts';
import { watchStream } from './stream-watch.ts';
import { writeBehind } from './stream-writer.ts';
import { Superseded, takeOver, termOf } from './take-over.ts';

/**
 * `starting`: the stream has not been read to its end yet. `taking_over`: has the lease, and reads
 * what is left. `stopped`: the stream does not go with the log; an operator must act.
 */
export type Role = 'starting' | 'following' | 'taking_over' | 'leading' | 'stopped';

export interface ReplicaStatus {
  readonly role: Role;
  /**
   * Who has the lease, as far as is known here, whether it still counts or not; nobody whose master
   * key is another one.
   */
  readonly leader:
    { readonly id: string; readonly apiUrl: string; readonly term: number } | undefined;
  /** Of this control plane. */
  readonly id: string;
  /** Why it is `stopped`. */
  readonly problem: string | undefined;
}

export interface ReplicaOptions {
  readonly store: EventStore;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  /** Kept in the data folder. */
  readonly id: string;
  readonly leaseMs: number;
  readonly marks: LeaseMarks;
  /** The term is begun: everything else that a leader does may start. Never throws. */
  readonly onLeading: () => Promise<void>;
  /** It is over. Called once for each `onLeading`, after that has ended. Never throws. */
  readonly onFollowing: () => Promise<void>;
}

/** Before it is tried again. */
const PAUSE_MS = 1_000;

export class Replica implements Replicator {
  readonly #options: ReplicaOptions;
  readonly #log: Logger;
  readonly #stream: BusLog;
  readonly #changed = new Signal();
  #election: Election | undefined;
  #role: Role = 'starting';
  #problem: AppError | undefined;
  #reader: StreamReader | undefined;
  #life: 'open' | 'closed' = 'open';
  #running: Promise<void> = Promise.resolve();
  #writing: Promise<unknown> = Promise.resolve();
  #failure: unknown;

  constructor(options: ReplicaOptions) {
    this.#options = options;
    this.#log = options.log.child({ controlPlane: options.id });
    this.#stream = options.bus.log({ stream: SUBJECTS.eventStream, subject: SUBJECTS.event });
  }

  /** Follows, and leads when it can. @param apiUrl where the others reach this one */
  start(apiUrl: string): void {
    const { bus, clock, id: holder, leaseMs, marks, store } = this.#options;
    this.#election = new Election(
      { holder, process: randomUUID(), apiUrl, marks, leaseMs },
      {
        mayLead: (last) => this.#mayLead(last),
        termFloor: () => termOf(store),
        onElected: (term) => {
          this.#log.info({ term }, 'this control plane has the lease');
          this.#changed.raise();
        },
        onDeposed: (reason) => {
          this.#log.warn({ reason }, 'this control plane leads no more');
          this.#changed.raise();
        },
      },
      { keys: bus.keys({ bucket: SUBJECTS.leaderBucket }), clock, log: this.#log },
    );
    this.#election.start();
    this.#running = this.#run();
  }

  /** Gives back the lease last, so that the next one finds everything in the stream. */
  async close(): Promise<void> {
    this.#life = 'closed';
    this.#changed.raise();
    await this.#running;
    this.#reader?.close();
    await this.#election?.close();
  }

  status(): ReplicaStatus {
    const lease = this.#election?.lease;
    return {
      id: this.#options.id,
      role: this.#role,
      leader:
        lease?.state === 'held' && this.#options.marks.fits(lease)
          ? { id: lease.holder, apiUrl: lease.apiUrl, term: lease.term }
          : undefined,
      problem: this.#problemNow()?.message,
    };
  }

  /** Whether it leads at this very moment, for all that is known here. */
  leads(): boolean {
    return this.#role === 'leading' && this.#holds();
  }

  requireLeading(): void {
    if (this.leads()) return;
    const problem = this.#problemNow();
    if (problem !== undefined) throw problem;
    throw new NotLeader(this.#role, this.#otherLease()?.apiUrl);
  }

  replicate(change: ReplicatedChange): Promise<Replicated> {
    const replicating = this.#replicate(change);
    this.#writing = replicating.catch(() => {});
    return replicating;
  }

  /** Nothing is written behind what the log could not keep, or what may be there or not. */
  async #replicate(change: ReplicatedChange): Promise<Replicated> {
    const { store } = this.#options;
    const place = this.#requirePlace();
    const { stored, sequence, others } = await writeBehind(
      place.sequence,
      change,
      this.#writerPorts(),
    );
    if (others !== undefined) this.#standDown(`events were ${others} by the event stream`);
    const events = change.events.slice(0, stored);
    const head = events.at(-1)?.event.position ?? store.head();
    const answers = change.answers.filter(({ position }) => position <= head);
    if (events.length === 0 && answers.length === 0) return { stored, others };
    try {
      store.receive({ events, answers }, { ...place, sequence });
    } catch (error) {
      if (events.length > 0) this.#standDown('the event log takes nothing');
      throw error;
    }
    return { stored, others };
  }

  #standDown(reason: string): void {
    if (this.#role === 'leading') this.#role = 'following';
    void this.#election?.resign(reason);
    this.#changed.raise();
  }

  async #run(): Promise<void> {
    while (this.#isOpen()) {
      try {
        await this.#follow();
        if (!this.#isOpen()) return;
        this.#role = 'taking_over';
        await this.#takeOver();
        await this.#lead();
      } catch (error) {
        await this.#endTerm(error);
      }
    }
  }

  /** Until this one has the lease. */
  async #follow(): Promise<void> {
    const state = await this.#stream.state();
    const { store } = this.#options;
    this.#reader?.close();
    this.#failure = undefined;
    const reader = new StreamReader({ store, stream: this.#stream, log: this.#log }, state, {
      onProgress: () => this.#changed.raise(),
      onFailure: (error) => this.#fail(error),
    });
    this.#reader = reader;
    const watch = this.#watchStream();
    try {
      while (this.#isOpen() && !this.#holds()) {
        this.#requireSound();
        if (this.#role !== 'following' && reader.reached >= state.lastSequence) {
          this.#role = 'following';
          this.#problem = undefined;
          this.#log.info({ position: store.head() }, 'follows the event stream');
          this.#election?.nudge();
        }
        await this.#changed.raised();
      }
    } finally {
      watch.close();
    }
  }

  async #takeOver(): Promise<void> {
    const { store } = this.#options;
    const lease = this.#election?.lease;
    if (lease === undefined || this.#reader === undefined) throw new Superseded();
    await takeOver(lease, {
      store,
      reader: this.#reader,
      writer: this.#writerPorts(),
      log: this.#log,
      progress: () => {
        this.#requireSound();
        if (!this.#isOpen() || !this.#holds()) throw new Superseded();
        return this.#changed.raised();
      },
    });
  }

  /** Until the lease is lost, or the stream is not what it was. */
  async #lead(): Promise<void> {
    const { store, onLeading, onFollowing } = this.#options;
    this.#reader?.close();
    this.#reader = undefined;
    this.#role = 'leading';
    this.#log.info({ term: store.epoch, position: store.head() }, 'this control plane leads');
    await onLeading();
    const watch = this.#watchStream();
    try {
      while (this.#isOpen() && this.#isLeading() && this.#holds()) {
        this.#requireSound();
        await this.#changed.raised();
      }
    } finally {
      watch.close();
      if (this.#isOpen()) this.#role = 'following';
      await this.#writing;
      await onFollowing();
    }
  }

  #watchStream(): Subscription {
    const { store, clock } = this.#options;
    const stream = this.#stream;
    return watchStream({ store, stream, clock }, (error) => this.#fail(error));
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#changed.raise();
  }

  #requireSound(): void {
    if (this.#failure !== undefined) throw this.#failure as Error;
  }

  /** What ended a round; the next begins when that may help. */
  async #endTerm(error: unknown): Promise<void> {
    const isFatal = controlErrors.is(error) && error.code === 'EVENT_STREAM_UNUSABLE';
    if (isFatal && this.#problem?.message !== error.message) {
      this.#log.error({ error }, 'this control plane cannot go on with the event stream');
    } else if (!isFatal) {
      this.#log.debug({ error }, 'following has to begin again');
    }
    if (isFatal) this.#problem = error;
    this.#role = isFatal ? 'stopped' : 'starting';
    this.#reader?.close();
    await this.#election?.resign(error instanceof Error ? error.message : String(error));
    const { clock } = this.#options;
    const pause: { state: 'running' | 'over' } = { state: 'running' };
    const timer = clock.after(PAUSE_MS, () => {
      pause.state = 'over';
      this.#changed.raise();
    });
    while (this.#isOpen() && pause.state === 'running') await this.#changed.raised();
    timer.cancel();
  }

  /** One whose master key is another could open none of the passwords. */
  #mayLead(last: Lease | undefined): boolean {
    if (this.#role !== 'following') return false;
    return last === undefined || this.#options.marks.fits(last);
  }

  #problemNow(): AppError | undefined {
    const lease = this.#election?.lease;
    const isAlien = lease !== undefined && !this.#options.marks.fits(lease);
    return this.#problem ?? (isAlien ? otherMasterKey(lease) : undefined);
  }

  #otherLease(): Lease | undefined {
    const lease = this.#election?.lease;
    const { id, marks } = this.#options;
    const isOther = lease?.state === 'held' && lease.holder !== id && marks.fits(lease);
    return isOther ? lease : undefined;
  }

  #writerPorts() {
    return { stream: this.#stream, clock: this.#options.clock, mayWrite: () => this.#holds() };
  }

  #holds(): boolean {
    return this.#election?.holds() === true;
  }

  #requirePlace(): StreamPlace {
    const place = this.#options.store.streamPlace;
    if (place === undefined)
      throw unusable('It is not known where in the event stream the log is.');
    return place;
  }

  #isLeading(): boolean {
    return this.#role === 'leading';
  }

  #isOpen(): boolean {
    return this.#life === 'open';
  }
}

/** For a control plane that could not open what others have sealed. */
function otherMasterKey(lease: Lease): AppError {
  return controlErrors.fail(
    'EVENT_STREAM_UNUSABLE',
    `The master key is another one than that of the control plane ${lease.holder}` +
      ` (${lease.apiUrl}).`,
    { hint: 'Give all control planes the same DBBOUNCER_MASTER_KEY, or copies of master.key.' },
  );
}
