/**
 * Named objects in a JetStream object store. Writing is the client library's; reading goes chunk by
 * chunk, so that an object replaced meanwhile is noticed at once and read again, whole.
 * Source: NATS ADR-20 "JetStream based Object Stores".
 */
import { createHash } from 'node:crypto';
import { jetstream, JetStreamApiCodes, JsHeaders } from '@nats-io/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import { Objm, setSha256Backend, StorageType } from '@nats-io/obj';
import type { ObjectInfo, ObjectStore } from '@nats-io/obj';
import { headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { BUS_LIMITS } from './bus.ts';
import type { BusObjects } from './bus.ts';
import { busTooLarge } from './bus-errors.ts';
import type { NatsLogContext } from './nats-log.ts';
import { API_TIMEOUT_MS, isApiError, openManager } from './nats-stream.ts';

/** Of a whole object; each of its chunks has API_TIMEOUT_MS. */
const OBJECT_TIMEOUT_MS = 60_000;
const READ_ATTEMPTS_MAX = 5;

// The library's default is written in JavaScript, for browsers.
setSha256Backend('native');

export class NatsObjects implements BusObjects {
  readonly #context: NatsLogContext;
  readonly #bucket: string;
  /** Ends when the last put has: an older one that is late must not replace a newer one. */
  #lastPut: Promise<void> = Promise.resolve();

  constructor(context: NatsLogContext, bucket: string) {
    this.#context = context;
    this.#bucket = bucket;
  }

  async put(name: string, data: Uint8Array): Promise<void> {
    const tooLarge = busTooLarge(`Object "${name}"`, data, BUS_LIMITS.objectBytesMax);
    if (tooLarge !== undefined) throw tooLarge;
    await this.#context.link.run('store an object', OBJECT_TIMEOUT_MS, (connection) => {
      const write = this.#lastPut.then(() => this.#write(connection, name, data));
      this.#lastPut = write.catch(() => {});
      return write;
    });
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    return await this.#context.link.run('read an object', OBJECT_TIMEOUT_MS, async (connection) => {
      const manager = await openManager(connection);
      for (let attempt = 1; attempt <= READ_ATTEMPTS_MAX; attempt += 1) {
        const info = await this.#info(connection, name);
        if (info === undefined) return undefined;
        const data = await readWhole(manager, this.#bucket, info);
        if (data !== undefined) return data;
      }
      throw new Error(`it was replaced ${READ_ATTEMPTS_MAX} times while it was read`);
    });
  }

  async #write(connection: NatsConnection, name: string, data: Uint8Array): Promise<void> {
    const { replicas } = this.#context;
    const options = { storage: StorageType.File, replicas };
    const store = await objectManager(connection).create(this.#bucket, options);
    if ((await described(store, name)) === 'unreadable') await this.#clear(connection, name);
    await store.putBlob({ name }, data);
  }

  /** In place of a description that the library could not read: there is no such object. */
  async #clear(connection: NatsConnection, name: string): Promise<void> {
    const subject = `$O.${this.#bucket}.M.${encodedName(name)}`;
    const nothing = { name, bucket: this.#bucket, nuid: '', size: 0, chunks: 0, deleted: true };
    const rollup = headers();
    rollup.set(JsHeaders.RollupHdr, JsHeaders.RollupValueSubject);
    const client = jetstream(connection, { timeout: API_TIMEOUT_MS });
    await client.publish(subject, JSON.stringify(nothing), { headers: rollup });
  }

  async #info(connection: NatsConnection, name: string): Promise<ObjectInfo | undefined> {
    try {
      const store = await objectManager(connection).open(this.#bucket, false);
      const info = await described(store, name);
      if (info === 'unreadable') throw new Error('what is written about it is not an object');
      return info === undefined || info.deleted ? undefined : info;
    } catch (error) {
      if (isApiError(error, JetStreamApiCodes.StreamNotFound)) return undefined;
      throw error;
    }
  }
}

function objectManager(connection: NatsConnection): Objm {
  return new Objm(jetstream(connection, { timeout: API_TIMEOUT_MS, checkAPI: false }));
}

/**
 * What stands about an object. Not all of it is from who has put it: whoever may ask JetStream
 * anything can have the answer written here (nats-log.ts).
 */
async function described(
  store: ObjectStore,
  name: string,
): Promise<ObjectInfo | 'unreadable' | undefined> {
  let info: ObjectInfo | null;
  try {
    info = await store.info(name);
  } catch (error) {
    if (error instanceof SyntaxError) return 'unreadable';
    throw error;
  }
  if (info === null || info.deleted) return info ?? undefined;
  const isWhole =
    typeof info.nuid === 'string' &&
    typeof info.digest === 'string' &&
    Number.isSafeInteger(info.size) &&
    info.size >= 0 &&
    info.size <= BUS_LIMITS.objectBytesMax;
  return isWhole ? info : 'unreadable';
}

/** As the subject of a description has it. */
function encodedName(name: string): string {
  return Buffer.from(name).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/** The bytes that `info` describes, or nothing when they are not all there any more. */
async function readWhole(
  manager: JetStreamManager,
  bucket: string,
  info: ObjectInfo,
): Promise<Uint8Array | undefined> {
  const stream = `OBJ_${bucket}`;
  const subject = `$O.${bucket}.C.${info.nuid}`;
  const hash = createHash('sha256');
  const data = new Uint8Array(info.size);
  let size = 0;
  let sequence = 1;
  while (size < data.byteLength) {
    const query = { seq: sequence, next_by_subj: subject };
    const chunk = await manager.direct.getMessage(stream, query);
    if (chunk === null || size + chunk.data.byteLength > data.byteLength) return undefined;
    data.set(chunk.data, size);
    hash.update(chunk.data);
    size += chunk.data.byteLength;
    sequence = chunk.seq + 1;
  }
  const digest = `SHA-256=${hash.digest('base64url')}`;
  return info.digest.replace(/=+$/, '') === digest ? data : undefined;
}
