/**
 * An ordered log kept in a JetStream stream. Leaves: following it to nats-follower.ts.
 */
import { jetstream } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Clock } from '../kernel/clock.ts';
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
      return message === null ? undefined : { sequence: message.seq, data: message.data };
    });
  }

  follow(
    fromSequence: number,
    handler: (message: LogMessage) => void | Promise<void>,
  ): Subscription {
    const { link, clock, log } = this.#context;
    const stream = this.#spec.stream;
    const ensure = (connection: NatsConnection) => this.#ensure(connection);
    return new NatsFollower({ link, clock, log, stream, ensure }, fromSequence, (message) =>
      handler(Object.freeze({ sequence: message.seq, data: message.data })),
    );
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
