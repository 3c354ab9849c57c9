/**
 * An ordered log kept in a JetStream stream. Leaves: following it to nats-follower.ts.
 *
 * Not everything in the stream was appended here. Whoever may ask JetStream anything names the
 * subject that the answer goes to, and no permission holds for that: it can be ours. What was
 * appended names its stream in a header; answers have no such header, and copies of messages of
 * another stream, which have, are refused by the server.
 */
import { jetstream } from '@nats-io/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '../kernel/clock.ts';
import { isMilestone } from '../kernel/log.ts';
import type { Logger } from '../kernel/log.ts';
import { BUS_LIMITS } from './bus.ts';
import type {
  AppendOptions,
  AppendResult,
  BusLog,
  LogMessage,
  LogSpec,
  LogState,
  Subscription,
} from './bus.ts';
import { busConflict, busTooLarge } from './bus-errors.ts';
import { NatsFollower } from './nats-follower.ts';
import type { NatsLink } from './nats-link.ts';
import {
  API_TIMEOUT_MS,
  ensureStream,
  isOutOfSequence,
  isUnheard,
  openManager,
} from './nats-stream.ts';

export interface NatsLogContext {
  readonly link: NatsLink;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of a stream that has to be made. */
  readonly replicas: number;
  /** How long an operation may wait for a connection and its answer. */
  readonly operationTimeoutMs: number;
}

/** A new stream takes a moment to listen on its subject. */
const UNHEARD_ATTEMPTS_MAX = 20;
const UNHEARD_PAUSE_MS = 50;
/** Set by the client library where a stream is expected. Source: NATS, "JetStream / Headers". */
const EXPECTED_STREAM_HEADER = 'Nats-Expected-Stream';
/** At the end of a stream, behind the newest message that is ours. */
const FOREIGN_MAX = 20_000;
const FOREIGN_SEEN = 'passed over what nobody has appended';
/** Read at once on the way back over them. */
const LOOKED_AT_ONCE = 100;

export class NatsLog implements BusLog {
  readonly #context: NatsLogContext;
  readonly #spec: LogSpec;

  constructor(context: NatsLogContext, spec: LogSpec) {
    this.#context = context;
    this.#spec = spec;
  }

  async append(id: string, data: Uint8Array, options?: AppendOptions): Promise<AppendResult> {
    const tooLarge = busTooLarge('The message', data, BUS_LIMITS.messageBytesMax);
    if (tooLarge !== undefined) throw tooLarge;
    const { link, operationTimeoutMs } = this.#context;
    return await link.run('store a message', operationTimeoutMs, async (connection) => {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await this.#publish(connection, id, data, options?.expectedLastSequence);
        } catch (error) {
          if (!isUnheard(error) || attempt === UNHEARD_ATTEMPTS_MAX) throw error;
          await this.#ensure(connection);
          if (attempt > 1) await this.#pause(UNHEARD_PAUSE_MS);
        }
      }
    });
  }

  async state(): Promise<LogState> {
    const { link, operationTimeoutMs } = this.#context;
    return await link.run('read the state of a log', operationTimeoutMs, async (connection) => {
      const { state, created } = await this.#ensure(connection);
      const isEmpty = state.messages === 0;
      return {
        firstSequence: isEmpty && state.last_seq > 0 ? state.last_seq + 1 : state.first_seq,
        lastSequence: state.last_seq,
        createdAt: created,
      };
    });
  }

  async last(): Promise<LogMessage | undefined> {
    const { link, operationTimeoutMs } = this.#context;
    return await link.run('read a log', operationTimeoutMs, async (connection) => {
      await this.#ensure(connection);
      const manager = await openManager(connection);
      const query = { last_by_subj: this.#spec.subject };
      const message = await manager.streams.getMessage(this.#spec.stream, query);
      if (message === null) return undefined;
      if (this.#isForeign(message.header)) return await this.#lastBefore(manager, message.seq);
      return { sequence: message.seq, data: message.data };
    });
  }

  /** The newest message of ours before a foreign one. */
  async #lastBefore(manager: JetStreamManager, seq: number): Promise<LogMessage | undefined> {
    const { stream } = this.#spec;
    for (let next = seq - 1; next > seq - FOREIGN_MAX; next -= LOOKED_AT_ONCE) {
      const sequences = Array.from({ length: LOOKED_AT_ONCE }, (_, index) => next - index);
      const looks = sequences
        .filter((sequence) => sequence > 0)
        .map((sequence) => manager.streams.getMessage(stream, { seq: sequence }));
      const found = await Promise.all(looks);
      const own = found.find((message) => message !== null && !this.#isForeign(message.header));
      if (own !== undefined && own !== null) return { sequence: own.seq, data: own.data };
      if (looks.length < LOOKED_AT_ONCE) return undefined;
    }
    throw new Error(`the last ${FOREIGN_MAX} messages of ${stream} are of somebody else`);
  }

  #isForeign(headers: MsgHdrs | undefined): boolean {
    return headers?.get(EXPECTED_STREAM_HEADER) !== this.#spec.stream;
  }

  follow(
    fromSequence: number,
    handler: (message: LogMessage) => void | Promise<void>,
  ): Subscription {
    const { link, clock, log } = this.#context;
    const stream = this.#spec.stream;
    const ensure = (connection: NatsConnection) => this.#ensure(connection);
    let foreign = 0;
    return new NatsFollower({ link, clock, log, stream, ensure }, fromSequence, (message) => {
      const { seq: sequence, data, headers } = message;
      if (!this.#isForeign(headers)) return handler(Object.freeze({ sequence, data }));
      foreign += 1;
      if (isMilestone(foreign)) log.warn({ stream, sequence, foreign }, FOREIGN_SEEN);
      return handler(Object.freeze({ sequence, data, origin: 'foreign' }));
    });
  }

  async #ensure(connection: NatsConnection) {
    const { replicas, log } = this.#context;
    return await ensureStream(await openManager(connection), this.#spec, replicas, log);
  }

  async #publish(
    connection: NatsConnection,
    id: string,
    data: Uint8Array,
    lastSequence: number | undefined,
  ): Promise<AppendResult> {
    const { stream: streamName, subject } = this.#spec;
    const expect = lastSequence === undefined ? { streamName } : { streamName, lastSequence };
    try {
      const client = jetstream(connection, { timeout: API_TIMEOUT_MS });
      const { seq, duplicate } = await client.publish(subject, data, { msgID: id, expect });
      return { sequence: seq, duplicate };
    } catch (error) {
      if (lastSequence !== undefined && isOutOfSequence(error)) {
        throw busConflict(streamName, lastSequence);
      }
      throw error;
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.#context.clock.after(delayMs, resolve));
  }
}
