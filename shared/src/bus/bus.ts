/**
 * The bus port: ordered logs, named objects, keys with revisions and plain subjects. Three adapters
 * pass `bus.contract.ts`: NATS JetStream (nats-bus.ts), the in-process one (memory-bus.ts), and
 * that one lent to other processes of the machine (ipc-bus.ts). It carries bytes; contract/ knows
 * what they mean.
 * Bytes given to the bus or received from it are never changed afterwards, by either side: nothing
 * is copied.
 * Handlers are never called before the call that registers them has returned; one that throws is
 * logged.
 */

/** What both adapters hold to, so that no message works in one process and fails on a cluster. */
export const BUS_LIMITS = Object.freeze({
  /** Below the 1 MiB a NATS server accepts by default, headers included. */
  messageBytesMax: 1_000_000,
  objectBytesMax: 64 * 1024 * 1024,
  /** How long a log remembers the ids of what was appended. */
  duplicateWindowMs: 120_000,
});

export type BusStatus = 'connecting' | 'connected' | 'disconnected' | 'closed';

export interface Subscription {
  /** After it returns no handler is called any more. */
  close(): void;
}

export interface LogMessage {
  /** From 1, strictly rising within one life of the log (see `LogState.createdAt`). */
  readonly sequence: number;
  readonly data: Uint8Array;
  /** Nobody has appended it through a bus: whoever reads passes over it. */
  readonly origin?: 'foreign';
}

export interface LogState {
  /**
   * 0 and 0 when the log never held anything; first = last + 1 when all of it was purged. Foreign
   * messages count.
   */
  readonly firstSequence: number;
  readonly lastSequence: number;
  /** Changes when the log was deleted and made anew: sequences of before mean nothing then. */
  readonly createdAt: string;
}

export interface AppendResult {
  readonly sequence: number;
  /** Whether a message with this id was there already; nothing was appended then. */
  readonly duplicate: boolean;
}

export interface LogSpec {
  readonly stream: string;
  readonly subject: string;
  /**
   * The oldest messages beyond it are dropped; unlimited when absent. A log that exists keeps its
   * own limit.
   */
  readonly messagesMax?: number;
}

export interface AppendOptions {
  /** Stored only directly behind this sequence; 0 in a log that never held anything. */
  readonly expectedLastSequence?: number | undefined;
}

export interface BusLog {
  /**
   * Appends and waits until the message is stored. Appends of one process that are under way
   * together are stored in the order of the calls, as long as the connection holds.
   * @param id makes a repeat within two minutes a no-op (`duplicate: true`), whatever is expected.
   * @throws BUS_UNAVAILABLE (retryable), within seconds: not known to be stored; append again
   * with the same id.
   * @throws BUS_SEQUENCE_CONFLICT: the log ends elsewhere than expected; nothing was stored.
   * @throws BUS_MESSAGE_TOO_LARGE above `messageBytesMax`.
   */
  append(id: string, data: Uint8Array, options?: AppendOptions): Promise<AppendResult>;
  /** @throws BUS_UNAVAILABLE */
  state(): Promise<LogState>;
  /**
   * The newest message that was appended, or nothing when there is none. Foreign ones behind it
   * are passed over. @throws BUS_UNAVAILABLE, also with too many of those.
   */
  last(): Promise<LogMessage | undefined>;
  /**
   * Delivers every message from `fromSequence` on, in order, one at a time: the next waits for the
   * promise of the handler; when that rejects, it is logged and delivery goes on. Survives
   * disconnects by itself.
   * When expected messages are gone (dropped, purged), delivery goes on with the next there is. A
   * log made anew is delivered from its first message; so is one that lacks even the message
   * before `fromSequence`, for then that is a sequence of an earlier life. Positions inside the
   * messages show gaps and repeats. Foreign messages are delivered as such.
   */
  follow(
    fromSequence: number,
    handler: (message: LogMessage) => void | Promise<void>,
  ): Subscription;
}

export interface BusObjects {
  /**
   * Replaces the object; readers see the old or the new one whole. Puts of one process take effect
   * in their order.
   * @throws BUS_UNAVAILABLE (retryable): not known to be stored.
   * @throws BUS_MESSAGE_TOO_LARGE above `objectBytesMax`.
   */
  put(name: string, data: Uint8Array): Promise<void>;
  /**
   * The object, in bytes that are the caller's own, or nothing when there is none.
   * @throws BUS_UNAVAILABLE
   */
  get(name: string): Promise<Uint8Array | undefined>;
}

export interface KeysSpec {
  readonly bucket: string;
  /** A value not written again for so long is gone, and nobody is told; absent: it stays. */
  readonly ttlMs?: number;
  /** Default: `messageBytesMax`. */
  readonly valueBytesMax?: number;
  /** Of all values together, with what the engine needs for each; default: unlimited. */
  readonly bytesMax?: number;
}

export interface KeyEntry {
  readonly value: Uint8Array;
  /** Rises with every write to the bucket, in one life of it. */
  readonly revision: number;
}

export type KeyChange =
  | ({ readonly kind: 'put'; readonly key: string } & KeyEntry)
  | { readonly kind: 'deleted'; readonly key: string; readonly revision: number };

/**
 * Small values under keys: tokens of letters, digits, `-` and `_`, separated by dots. A bucket that
 * exists keeps its own limits. Every method may throw BUS_UNAVAILABLE (retryable), and one that
 * writes is then not known to have done so; a full bucket is one reason.
 */
export interface BusKeys {
  /** What was written last, as the leader of the bucket has it; nothing when there is none. */
  get(key: string): Promise<KeyEntry | undefined>;
  /** Writes whatever is there. Gives the revision. @throws BUS_MESSAGE_TOO_LARGE */
  put(key: string, value: Uint8Array): Promise<number>;
  /**
   * Writes where nothing is. Gives the revision.
   * @throws BUS_SEQUENCE_CONFLICT when there is a value; BUS_MESSAGE_TOO_LARGE
   */
  create(key: string, value: Uint8Array): Promise<number>;
  /**
   * Writes over exactly this revision. Gives the new one.
   * @throws BUS_SEQUENCE_CONFLICT when it is not the newest of its key; BUS_MESSAGE_TOO_LARGE
   */
  update(key: string, value: Uint8Array, expectedRevision: number): Promise<number>;
  /**
   * Nothing happens when there is none.
   * @throws BUS_SEQUENCE_CONFLICT when `expectedRevision` is given and not the newest of its key.
   */
  delete(key: string, expectedRevision?: number): Promise<void>;
  /**
   * Tells what is there and then each change, one after the other; of changes in quick succession
   * perhaps only the last of a key. Survives disconnects; a bucket made anew is told from its
   * beginning. A key that was deleted before may be told as that.
   * @param pattern a key, in which `*` stands for a token and a last `>` for all further ones.
   */
  watch(pattern: string, handler: (change: KeyChange) => void | Promise<void>): Subscription;
}

export interface Bus {
  readonly status: BusStatus;
  /** Why it could not connect when it last tried; nothing while it is connected. No secret. */
  readonly problem?: string | undefined;
  /** Calls `listener` on each change of status, not for the current one. */
  onStatus(listener: (status: BusStatus) => void): Subscription;
  /** The log, made when it does not exist yet. Cheap; nothing is sent before the first use. */
  log(spec: LogSpec): BusLog;
  objects(bucket: string): BusObjects;
  /** The bucket, made when it does not exist yet. Cheap; nothing is sent before the first use. */
  keys(spec: KeysSpec): BusKeys;
  /**
   * Sends at most once, to whoever listens now. Dropped while disconnected, and with a log line
   * when too large.
   */
  publish(subject: string, data: Uint8Array): void;
  /** `subject` may hold `*` for one token and end in `>`. */
  subscribe(subject: string, handler: (data: Uint8Array, subject: string) => void): Subscription;
  /**
   * Resolves with the first answer.
   * @throws BUS_UNAVAILABLE: disconnected, nobody answers, or no answer within `timeoutMs`.
   * @throws BUS_MESSAGE_TOO_LARGE above `messageBytesMax`.
   */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  /**
   * Answers requests on `subject`, not what is published there; a rejected handler leaves the
   * requester to its timeout. Answers go to where a bus waits for them and nowhere else: who asks
   * names the place, and could have whoever answers write where he may not himself.
   */
  respond(subject: string, handler: (data: Uint8Array) => Promise<Uint8Array>): Subscription;
  /**
   * Flushes what was published, ends every subscription and fails what is under way. A second call
   * does nothing.
   */
  close(): Promise<void>;
}
