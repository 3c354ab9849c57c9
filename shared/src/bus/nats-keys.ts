/**
 * Keys with revisions in a JetStream key-value bucket. Writing and reading are the client
 * library's; watching goes through the follower of logs, which outlives whatever happens to the
 * stream below the bucket. Reads are never taken from a replica that may be behind.
 * Source: NATS ADR-8 "JetStream based Key-Value Stores".
 */
import { jetstream, JetStreamApiCodes, StorageType } from '@nats-io/jetstream';
import type { JsMsg } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { KV, KvOptions } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import { AppError } from '../kernel/errors.ts';
import { BUS_LIMITS } from './bus.ts';
import type { BusKeys, KeyChange, KeyEntry, KeysSpec, Subscription } from './bus.ts';
import { busConflict, busTooLarge } from './bus-errors.ts';
import { NatsFollower } from './nats-follower.ts';
import type { NatsLogContext } from './nats-log.ts';
import {
  API_TIMEOUT_MS,
  isApiError,
  isOutOfSequence,
  isUnheard,
  openManager,
} from './nats-stream.ts';

const OPERATION_HEADER = 'KV-Operation';

export class NatsKeys implements BusKeys {
  readonly #context: NatsLogContext;
  readonly #spec: KeysSpec;

  constructor(context: NatsLogContext, spec: KeysSpec) {
    this.#context = context;
    this.#spec = spec;
  }

  async get(key: string): Promise<KeyEntry | undefined> {
    const { link, operationTimeoutMs } = this.#context;
    const entry = await link.run('read a key', operationTimeoutMs, async (connection) => {
      try {
        return await (await this.#open(connection)).get(key);
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    });
    if (entry === null || entry.operation !== 'PUT') return undefined;
    return { value: entry.value, revision: entry.revision };
  }

  async put(key: string, value: Uint8Array): Promise<number> {
    this.#requireSize(key, value);
    return await this.#run('write a key', (bucket) => bucket.put(key, value));
  }

  async create(key: string, value: Uint8Array): Promise<number> {
    this.#requireSize(key, value);
    const create = (bucket: KV) => bucket.create(key, value);
    return await this.#run('write a key', expecting(key, 'nothing', create));
  }

  async update(key: string, value: Uint8Array, expectedRevision: number): Promise<number> {
    this.#requireSize(key, value);
    const update = (bucket: KV) => bucket.update(key, value, expectedRevision);
    return await this.#run('write a key', expecting(key, expectedRevision, update));
  }

  async delete(key: string, expectedRevision?: number): Promise<void> {
    if (expectedRevision === undefined) {
      // A marker for what was never there would only take room.
      await this.#run('delete a key', async (bucket) => {
        const entry = await bucket.get(key);
        if (entry?.operation === 'PUT') await bucket.delete(key);
      });
      return;
    }
    const remove = (bucket: KV) => bucket.delete(key, { previousSeq: expectedRevision });
    await this.#run('delete a key', expecting(key, expectedRevision, remove));
  }

  watch(pattern: string, handler: (change: KeyChange) => void | Promise<void>): Subscription {
    const { link, clock, log } = this.#context;
    const { bucket } = this.#spec;
    const prefix = `$KV.${bucket}.`;
    const context = {
      link,
      clock,
      log,
      stream: streamOf(bucket),
      filterSubject: prefix + pattern,
      ensure: async (connection: NatsConnection) => {
        await this.#make(connection);
        return await (await openManager(connection)).streams.info(streamOf(bucket));
      },
    };
    return new NatsFollower(context, 1, (message) => handler(changeIn(message, prefix)));
  }

  /** In a bucket that is there, or made because it is not. */
  async #run<T>(operation: string, work: (bucket: KV) => Promise<T>): Promise<T> {
    const { link, operationTimeoutMs } = this.#context;
    return await link.run(operation, operationTimeoutMs, async (connection) => {
      try {
        return await work(await this.#open(connection));
      } catch (error) {
        if (!isMissing(error)) throw error;
        return await work(await this.#make(connection));
      }
    });
  }

  /** Asks nothing of the server: whether it is there shows when it is used. */
  #open(connection: NatsConnection): Promise<KV> {
    return manager(connection).open(this.#spec.bucket, { allow_direct: false });
  }

  /** Two who make it at once get the same one. */
  async #make(connection: NatsConnection): Promise<KV> {
    const { bucket, ttlMs, valueBytesMax, bytesMax } = this.#spec;
    const options: Partial<KvOptions> = {
      history: 1,
      storage: StorageType.File,
      replicas: this.#context.replicas,
      allow_direct: false,
      ...(ttlMs !== undefined && { ttl: ttlMs }),
      ...(valueBytesMax !== undefined && { maxValueSize: valueBytesMax + HEADER_BYTES }),
      ...(bytesMax !== undefined && { max_bytes: bytesMax }),
    };
    return await manager(connection).create(bucket, options);
  }

  #requireSize(key: string, value: Uint8Array): void {
    const { valueBytesMax = BUS_LIMITS.messageBytesMax } = this.#spec;
    const tooLarge = busTooLarge(`The value of "${key}"`, value, valueBytesMax);
    if (tooLarge !== undefined) throw tooLarge;
  }
}

/** The server counts headers too: of an expected sequence, or a marker. */
const HEADER_BYTES = 256;

function manager(connection: NatsConnection): Kvm {
  return new Kvm(jetstream(connection, { timeout: API_TIMEOUT_MS, checkAPI: false }));
}

function streamOf(bucket: string): string {
  return `KV_${bucket}`;
}

function isMissing(error: unknown): boolean {
  if (error instanceof AppError) return false;
  return isUnheard(error) || isApiError(error, JetStreamApiCodes.StreamNotFound);
}

/** Says BUS_SEQUENCE_CONFLICT for what the server refuses because something else is there. */
function expecting<T>(
  key: string,
  expected: number | 'nothing',
  work: (bucket: KV) => Promise<T>,
): (bucket: KV) => Promise<T> {
  return async (bucket) => {
    try {
      return await work(bucket);
    } catch (error) {
      if (isOutOfSequence(error)) throw busConflict(`"${key}"`, expected);
      throw error;
    }
  };
}

function changeIn(message: JsMsg, prefix: string): KeyChange {
  const key = message.subject.slice(prefix.length);
  const { seq: revision, data: value } = message;
  const isMarker = message.headers?.has(OPERATION_HEADER) === true;
  return Object.freeze(
    isMarker ? { kind: 'deleted', key, revision } : { kind: 'put', key, value, revision },
  );
}
