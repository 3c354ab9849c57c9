/**
 * Tells proxies what changes: the event log, folded, as ordered deltas on the config log of the
 * bus. Owns: the config as the bus has it, and the place in the delta log it belongs to. Leaves:
 * phases and retries to log-tail.ts, snapshots to snapshot-publisher.ts.
 *
 * The newest delta on the bus is the truth about what proxies were told; recovery reads it and goes
 * on from its `to`:
 * - behind the log (the usual case, or the bus lost its tail): the missing events are published;
 * - empty, unreadable, not signed by us or too far behind: an empty delta at the head of the log is
 *   published instead. A proxy at the head ignores it, any other one sees a gap and fetches the
 *   snapshot;
 * - ahead of the log, or of a later term: nothing is published (HistoryConflict).
 */
import type { Bus, BusLog, LogState } from '@dbbouncer/shared/bus/bus.ts';
import { decodeDelta, DELTA_LIMITS, encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ConfigSigner } from '@dbbouncer/shared/contract/signed-message.ts';
import { CONFIG_LOG } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import {
  assertRebuilds,
  changesFor,
  foldRouting,
  loadRouting,
  rewindRouting,
} from '../projections/routing.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventStore } from '../store/event-store.ts';
import { appendBehind } from './append-behind.ts';
import { busIsAhead, HistoryConflict } from './history.ts';
import { endOf } from './log-end.ts';
import type { TailSteps } from './log-tail.ts';
import { firstHalf, wholeRequests } from './whole-requests.ts';

/** A bus further behind than this is not caught up with event by event. */
export const REPLAY_EVENTS_MAX = 20_000;

export interface DeltaHooks {
  /** Asked before anything is published. @throws HistoryConflict when nothing may be. */
  requireSameHistory(): Promise<void>;
  /** The bus was looked at: `published()` may belong to another life of it than before. */
  onRecovered(): void;
  /** @param config as the bus has it now, by `delta` */
  onPublished(config: RoutingConfig, delta: ConfigDelta): void;
}

export class DeltaPublisher implements TailSteps {
  readonly name = 'publish/deltas';
  readonly #store: EventStore;
  readonly #log: BusLog;
  readonly #signer: ConfigSigner;
  readonly #hooks: DeltaHooks;
  readonly #checkpoint: Position;
  #published: ConfigSnapshot | undefined;
  /**
   * Where an append that may or may not have been stored ended: the repeat must be the same delta.
   */
  #attemptedTo: Position | undefined;

  constructor(store: EventStore, bus: Bus, signer: ConfigSigner, hooks: DeltaHooks) {
    this.#store = store;
    this.#log = bus.log(CONFIG_LOG);
    this.#signer = signer;
    this.#hooks = hooks;
    this.#checkpoint = store.checkpoint(this.name);
  }

  get position(): Position {
    return this.#published?.config.position ?? this.#checkpoint;
  }

  /**
   * The config as the bus has it, with its place in the delta log; nothing before the first
   * recovery.
   */
  published(): ConfigSnapshot | undefined {
    return this.#published;
  }

  async recover(): Promise<void> {
    await this.#hooks.requireSameHistory();
    const state = await this.#log.state();
    const last = await this.#log.last();
    const told = last === undefined ? undefined : await this.#read(last.data);
    const head = this.#store.head();
    if (told !== undefined) this.#requireSameHistory(told, head);
    const position = told?.to ?? this.#positionOfUntold(state);
    const resumes = position !== undefined && head - position <= REPLAY_EVENTS_MAX;
    this.#published = {
      logCreatedAt: state.createdAt,
      logSequence: endOf(state, last),
      config: this.#configAt(resumes ? position : head),
    };
    // Nobody can be behind when nothing has happened yet.
    if (!resumes && head > 0) await this.#publishMark();
    if ((this.#attemptedTo ?? 0) <= this.position) this.#attemptedTo = undefined;
    this.#hooks.onRecovered();
  }

  async publishNext(): Promise<'published' | 'idle' | 'lost'> {
    const { config } = this.#requirePublished();
    if (config.position >= this.#store.head()) return 'idle';
    const { after, delta, text } = this.#nextDelta(config, this.#nextEvents(config.position));
    assertRebuilds(config, decodeDelta(text), after);
    this.#attemptedTo = delta.to;
    const outcome = await this.#append(
      `delta-${delta.epoch}-${delta.from}-${delta.to}`,
      text,
      after,
    );
    this.#attemptedTo = undefined;
    if (outcome === 'published') this.#hooks.onPublished(after, delta);
    return outcome;
  }

  #nextEvents(position: Position): readonly StoredEvent[] {
    const { eventsMax } = DELTA_LIMITS;
    if (this.#attemptedTo !== undefined) {
      return [...this.#store.readAll(position, this.#attemptedTo - position)];
    }
    return wholeRequests([...this.#store.readAll(position, eventsMax + 1)], eventsMax);
  }

  #nextDelta(
    config: RoutingConfig,
    events: readonly StoredEvent[],
  ): { after: RoutingConfig; delta: ConfigDelta; text: string } {
    const after = foldRouting(config, events);
    const delta = changesFor(config, after);
    const text = encodeDelta(delta);
    return Buffer.byteLength(text) > DELTA_LIMITS.bytesMax && events.length > 1
      ? this.#nextDelta(config, firstHalf(events))
      : { after, delta, text };
  }

  async #publishMark(): Promise<void> {
    const { config } = this.#requirePublished();
    const { epoch, position } = config;
    const mark: ConfigDelta = { epoch, from: position, to: position, changes: [] };
    const outcome = await this.#append(`mark-${epoch}-${position}`, encodeDelta(mark), config);
    if (outcome === 'lost') throw sharedErrors.fail('BUS_UNAVAILABLE', 'The log changed just now.');
  }

  /**
   * Appends and moves on to `after`. `lost`: the delta did not follow the one that was last before.
   * The id holds the sequence it is meant to follow: a purged log must not take it for a repeat.
   */
  async #append(id: string, text: string, after: RoutingConfig): Promise<'published' | 'lost'> {
    const { logCreatedAt, logSequence } = this.#requirePublished();
    const message = await this.#signer.sign('delta', Buffer.from(text));
    const repeatable = `${id}-after-${logSequence}`;
    const stored = await appendBehind(this.#log, logSequence, repeatable, message);
    if (stored === undefined) return 'lost';
    if (stored.duplicate || stored.sequence !== logSequence + 1) return 'lost';
    this.#published = { logCreatedAt, logSequence: stored.sequence, config: after };
    return 'published';
  }

  /** Nothing where it is no delta of ours: proxies have refused it, too. */
  async #read(message: Uint8Array): Promise<ConfigDelta | undefined> {
    const opened = await this.#signer.open('delta', message);
    return opened.outcome === 'genuine' ? readDelta(opened.payload) : undefined;
  }

  /** Where proxies are that follow a log which was empty before and still is: at its snapshot. */
  #positionOfUntold({ createdAt, lastSequence }: LogState): Position | undefined {
    const before = this.#published;
    const isAsBefore = lastSequence === 0 && before?.logCreatedAt === createdAt;
    return isAsBefore ? before.config.position : undefined;
  }

  #requirePublished(): ConfigSnapshot {
    assert(this.#published !== undefined, 'the publisher recovers before it publishes');
    return this.#published;
  }

  #configAt(position: Position): RoutingConfig {
    const known = this.#published?.config;
    if (known !== undefined && known.position <= position) {
      return foldRouting(known, this.#store.readAll(known.position, position - known.position));
    }
    return rewindRouting(this.#store, loadRouting(this.#store), position);
  }

  #requireSameHistory(told: ConfigDelta, head: Position): void {
    const { epoch } = this.#store;
    if (told.epoch > epoch) {
      throw new HistoryConflict(
        `The bus holds a delta of term ${told.epoch}, this control plane writes term ${epoch}.`,
      );
    }
    if (told.to > head) throw busIsAhead(told.to, head);
  }
}

function readDelta(data: Uint8Array): ConfigDelta | undefined {
  try {
    return decodeDelta(Buffer.from(data).toString('utf8'));
  } catch {
    return undefined;
  }
}
