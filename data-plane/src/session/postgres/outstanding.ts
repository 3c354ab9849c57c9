/**
 * What a server still owes: one entry for each message sent to it that will be answered, in order.
 * Owns: when a backend is quiet, which replies belong to messages the proxy put in itself (and are
 * dropped), what a server skips after an error, and which Syncs it ignores in COPY. Leaves: bytes
 * to relay code, text to sql/.
 * Source: PostgreSQL manual, "Message Flow" (Extended Query, COPY Operations), and PostgresMain's
 * ignore_till_sync.
 */
import { encodeCloseComplete, encodeParseComplete } from '../../wire/postgres/backend-messages.ts';
import { BACKEND } from '../../wire/postgres/message-types.ts';
import { ByteRing } from './byte-ring.ts';

/**
 * Kinds of entries; COPY_END is CopyDone or CopyFail, which ends the Syncs that COPY makes the
 * server ignore.
 */
export const PARSE = 1;
export const BIND = 2;
export const DESCRIBE = 3;
export const EXECUTE = 4;
export const CLOSE = 5;
export const SYNC = 6;
export const QUERY = 7;
export const FUNCTION_CALL = 8;
export const COPY_END = 9;
export type RequestKind = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;

/** Set on entries of messages that the client did not send: their replies are for the proxy. */
const OWN = 0x40;
/**
 * Set on entries of messages that were not sent to the server: the proxy answers them when their
 * turn comes.
 */
const LOCAL = 0x20;
/** Set on entries for which `#consequences` has a record, in the same order. */
const RECORDED = 0x80;
const KIND_MASK = 0x1f;

/** To whom a reply goes. */
export type ReplyFor = 'client' | 'proxy';
/** Who answers a message, and to whom. */
export type Answer = ReplyFor | 'locally';

/** Hears each CommandComplete of a message. @returns what the client is to read in its place */
export type Completed = () => Buffer | undefined;

/**
 * - `refused`: the server did not take the text of the message, nothing of it has run
 * - `failed`: it was begun
 * - `skipped`: the server has ignored it
 */
export type Failure = 'refused' | 'failed' | 'skipped';

/**
 * What was assumed when a message was sent, and what to do when it failed or was skipped after all.
 */
export interface Consequence {
  readonly undo: (failure: Failure) => void;
  /** What the client calls the statement that the message is about, for the text of an error. */
  readonly name?: string;
  /** It was done as assumed. */
  readonly done?: () => void;
  /** Why it failed: what the statement reads has changed since it was parsed. */
  readonly outdated?: () => void;
  /**
   * What the client reads in place of the server's error, where a message was sent only to fail.
   */
  readonly error?: Buffer;
  readonly completed?: Completed;
}

const INITIAL_CAPACITY = 16;
const ANSWER_FLAGS: Readonly<Record<Answer, number>> = { client: 0, proxy: OWN, locally: LOCAL };
const NOTHING_TO_UNDO: Consequence = Object.freeze({ undo: () => {} });

export class Outstanding {
  readonly #entries = new ByteRing(INITIAL_CAPACITY);
  /** Messages of the extended protocol were sent after the last Sync or Query. */
  #unsynced = false;
  /** The server ignores everything up to the next Sync, after an error in the extended protocol. */
  #skipping = false;
  /** COPY FROM STDIN runs on the server, as far as its replies tell. */
  #copyIn = false;
  /** Syncs that a server in COPY reads and ignores, unless COPY failed before it read them. */
  #syncsIgnored = 0;
  #batch = 0;
  #hasExecuted = false;
  /** Entries that end in a ReadyForQuery. */
  #readiesOwed = 0;
  readonly #consequences: Consequence[] = [];
  /** For the next message that is completed by statements. */
  #completed: Completed | undefined;
  /** It is no longer certain how many ReadyForQuery will come. */
  #uncertain = false;

  get length(): number {
    return this.#entries.length;
  }

  /** Nothing is owed and nothing half said: whoever sends next begins afresh. */
  get quiet(): boolean {
    return this.#entries.length === 0 && !this.#unsynced && !this.#skipping && !this.#copyIn;
  }

  /**
   * A surplus ReadyForQuery may follow, or more is in doubt: no other client may use such a
   * backend.
   */
  get uncertain(): boolean {
    return this.#uncertain;
  }

  /** Something was done that must have failed: what the server holds is not what is assumed. */
  doubt(): void {
    this.#uncertain = true;
  }

  get inCopyIn(): boolean {
    return this.#copyIn;
  }

  /** Whether a Sync is missing before the server will say ReadyForQuery. */
  get needsSync(): boolean {
    return this.#unsynced || this.#skipping;
  }

  /** Whether what was sent last can only end when the client sends more. */
  get needsMore(): boolean {
    return this.needsSync || this.#copyIn;
  }

  /**
   * Counts what ends in a ReadyForQuery: messages of one batch fail together, those of another do
   * not.
   */
  get batch(): number {
    return this.#batch;
  }

  /** Whether an Execute was sent in the batch that is being sent. */
  get hasExecuted(): boolean {
    return this.#hasExecuted;
  }

  /** Whether all that is owed is for one Bind, Describe, Execute and Sync of the client. */
  get isOneUse(): boolean {
    const kinds = [BIND, DESCRIBE, EXECUTE, SYNC];
    return (
      this.#entries.length === kinds.length &&
      kinds.every((kind, i) => (this.#entries.at(i) & ~RECORDED) === kind)
    );
  }

  /**
   * Messages of the proxy's own were sent before all that is owed.
   * @param assumed of that of the kind `about`
   */
  sentBefore(kinds: readonly RequestKind[], about: RequestKind, assumed: Consequence): void {
    if (this.#consequences.length === 0) this.#consequences.push(assumed);
    else this.#consequences.unshift(assumed);
    for (let at = kinds.length - 1; at >= 0; at -= 1) {
      const kind = kinds[at] as RequestKind;
      this.#entries.unshift(kind | OWN | (kind === about ? RECORDED : 0));
      if (kind === EXECUTE) this.#hasExecuted = true;
      if (endsBatch(kind)) this.#readiesOwed++;
    }
  }

  /** Whether everything that is not answered belongs to the batch that is being sent. */
  get earlierBatchesDone(): boolean {
    return this.#readiesOwed === 0;
  }

  /** The next Query or Execute that is sent tells `completed` of each statement it completes. */
  following(completed: Completed): void {
    this.#completed = completed;
  }

  /** Notes a message that was sent to the server, or is to be answered `locally` in its turn. */
  sent(kind: RequestKind, answer: Answer = 'client', assumed?: Consequence): void {
    const consequence = this.#completed === undefined ? assumed : this.#followed(kind, assumed);
    if (kind === COPY_END) return this.#copyEndSent();
    if (kind === SYNC) {
      if (this.#copyIn) {
        this.#syncsIgnored++;
        return;
      }
      this.#unsynced = false;
      this.#skipping = false;
    } else if (this.#skipping) {
      consequence?.undo('skipped');
      return;
    } else if (kind === QUERY || kind === FUNCTION_CALL) {
      this.#unsynced = false;
    } else {
      this.#unsynced = true;
    }
    this.#hasExecuted = kind === EXECUTE || (this.#hasExecuted && !endsBatch(kind));
    if (endsBatch(kind)) this.#batch++;
    const flags = (consequence === undefined ? 0 : RECORDED) | ANSWER_FLAGS[answer];
    if (consequence !== undefined) this.#consequences.push(consequence);
    this.#push(kind | flags);
  }

  #followed(kind: RequestKind, assumed: Consequence | undefined): Consequence | undefined {
    if (kind !== QUERY && kind !== EXECUTE) return assumed;
    const completed = this.#completed as Completed;
    this.#completed = undefined;
    return { ...(assumed ?? NOTHING_TO_UNDO), completed };
  }

  /**
   * The replies that the proxy owes next, before any of the server's; undefined when the next is
   * the server's.
   */
  takeLocalReplies(): Buffer | undefined {
    if (!this.#headIsLocal) return undefined;
    const replies: Buffer[] = [];
    while (this.#headIsLocal) {
      replies.push(this.#headKind === PARSE ? encodeParseComplete() : encodeCloseComplete());
      this.#dropHead('done');
    }
    return replies.length === 1 ? replies[0] : Buffer.concat(replies);
  }

  get #headIsLocal(): boolean {
    return (this.#entries.first & LOCAL) !== 0;
  }

  /** What was assumed of the message that is answered next. */
  get assumed(): Consequence | undefined {
    const isRecorded = (this.#entries.first & RECORDED) !== 0;
    return isRecorded ? this.#consequences[0] : undefined;
  }

  #copyEndSent(): void {
    this.#copyIn = false;
    // Without a request before it the server drops a late CopyDone unanswered.
    if (this.#entries.length > 0) this.#push(COPY_END);
  }

  /**
   * Notes a reply and says for whom it is; undefined when the server owes no such reply.
   * @param type type byte of a backend message other than the asynchronous ones (Notice,
   * ParameterStatus, Notification).
   * @param failure what an ErrorResponse says of the message that it answers
   */
  replied(type: number, failure: 'refused' | 'failed' = 'failed'): ReplyFor | undefined {
    switch (type) {
      case BACKEND.ParseComplete:
        return this.#pop(PARSE);
      case BACKEND.BindComplete:
        return this.#pop(BIND);
      case BACKEND.CloseComplete:
        return this.#pop(CLOSE);
      case BACKEND.ReadyForQuery:
        return this.#ready();
      case BACKEND.ErrorResponse:
        return this.#failed(failure);
      case BACKEND.CopyInResponse:
        return this.#copyInBegan();
      case BACKEND.NoData:
      case BACKEND.RowDescription:
        return this.#headKind === DESCRIBE ? this.#pop(DESCRIBE) : this.#headOwner();
      case BACKEND.CommandComplete:
      case BACKEND.EmptyQueryResponse:
      case BACKEND.PortalSuspended:
        this.#copyIn = false;
        return this.#headKind === EXECUTE ? this.#pop(EXECUTE) : this.#headOwner();
      case BACKEND.Authentication:
      case BACKEND.BackendKeyData:
      case BACKEND.NegotiateProtocolVersion:
      case BACKEND.CopyBothResponse:
        return undefined; // of a login or of replication, and never for a client
      default:
        return this.#headOwner();
    }
  }

  get #headKind(): number {
    return this.#entries.first & KIND_MASK;
  }

  #headOwner(): ReplyFor | undefined {
    if (this.#entries.length === 0) return undefined;
    return (this.#entries.first & OWN) === 0 ? 'client' : 'proxy';
  }

  #ready(): ReplyFor | undefined {
    const kind = this.#headKind;
    if (kind === SYNC || kind === QUERY || kind === FUNCTION_CALL) {
      this.#copyIn = false;
      return this.#pop(kind);
    }
    if (this.#syncsIgnored === 0) return undefined;
    // COPY failed before the server read the Sync behind it: the Sync counted after all.
    this.#syncsIgnored--;
    this.#skipping = false;
    this.#copyIn = false;
    return 'client';
  }

  #failed(failure: Failure): ReplyFor | undefined {
    const owner = this.#headOwner();
    const kind = this.#headKind;
    if (this.#syncsIgnored > 0) this.#uncertain = true;
    this.#copyIn = false;
    if (kind === QUERY || kind === SYNC || kind === FUNCTION_CALL) this.#undoHead(failure);
    else this.#skipToSync(failure);
    return owner;
  }

  /** The head has failed and will still be answered by ReadyForQuery. */
  #undoHead(failure: Failure): void {
    if ((this.#entries.first & RECORDED) === 0) return;
    this.#consequences[0]?.undo(failure);
    this.#consequences[0] = NOTHING_TO_UNDO;
  }

  #skipToSync(failure: Failure): void {
    const undone: Consequence[] = [];
    const headFailed = (this.#entries.first & RECORDED) !== 0;
    while (this.#entries.length > 0 && this.#headKind !== SYNC) {
      const consequence = this.#dropHead('not_done');
      if (consequence !== undefined) undone.push(consequence);
    }
    // The last assumption rests on those before it.
    for (const [index, { undo }] of [...undone.entries()].toReversed()) {
      undo(index === 0 && headFailed ? failure : 'skipped');
    }
    this.#skipping = this.#entries.length === 0;
    if (this.#skipping) this.#unsynced = false;
  }

  /**
   * Syncs already sent behind the COPY are read by the server in COPY mode, and ignored, up to
   * CopyDone or CopyFail.
   */
  #copyInBegan(): ReplyFor | undefined {
    const kept: number[] = [];
    let ended = false;
    for (let i = 1; i < this.#entries.length; i++) {
      const entry = this.#entries.at(i);
      const kind = entry & KIND_MASK;
      if (kind === COPY_END) ended = true;
      if (kind === SYNC && !ended) this.#syncsIgnored++;
      else kept.push(entry);
    }
    const first = this.#entries.first;
    this.#entries.truncate(1);
    this.#readiesOwed = this.#entries.length === 1 && endsBatch(first & KIND_MASK) ? 1 : 0;
    for (const entry of kept) this.#push(entry);
    this.#copyIn = !ended;
    if (this.#entries.length > 0 && (first & KIND_MASK) === EXECUTE)
      this.#unsynced = !this.#hasSync();
    return this.#headOwner();
  }

  #hasSync(): boolean {
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries.at(i);
      if ((entry & KIND_MASK) === SYNC) return true;
    }
    return false;
  }

  #pop(expected: RequestKind): ReplyFor | undefined {
    if (this.#headKind !== expected) return undefined;
    const owner = this.#headOwner();
    this.#dropHead('done');
    while (this.#headKind === COPY_END) this.#dropHead('done');
    if (this.#entries.length === 0 && !this.#copyIn) this.#syncsIgnoredSettled();
    return owner;
  }

  /** COPY went through: the server did ignore those Syncs. */
  #syncsIgnoredSettled(): void {
    if (!this.#uncertain) this.#syncsIgnored = 0;
  }

  /** @returns what was assumed of it, when it was not done. */
  #dropHead(outcome: 'done' | 'not_done'): Consequence | undefined {
    const entry = this.#entries.shift();
    if (endsBatch(entry & KIND_MASK)) this.#readiesOwed--;
    if ((entry & RECORDED) === 0) return undefined;
    const consequence = this.#consequences.shift();
    if (outcome === 'not_done') return consequence;
    consequence?.done?.();
    return undefined;
  }

  #push(entry: number): void {
    if (endsBatch(entry & KIND_MASK)) this.#readiesOwed++;
    this.#entries.push(entry);
  }
}

function endsBatch(kind: number): boolean {
  return kind === SYNC || kind === QUERY || kind === FUNCTION_CALL;
}
