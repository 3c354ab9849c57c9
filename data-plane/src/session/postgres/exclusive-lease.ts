/**
 * A client's sole hold on one server connection: replies come in here and go out to that client.
 * Owns: which frames are the client's, when the server owes nothing more, cancels under way.
 * Leaves: when to give the backend back to session.ts's owner, the client's side to transaction.ts.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { DROP, FORWARD, REPLACE } from '../../wire/postgres/frame-scanner.ts';
import type { FrameVerdict, Replacement } from '../../wire/postgres/frame-scanner.ts';
import {
  BACKEND,
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
} from '../../wire/postgres/message-types.ts';
import type { TransactionStatus } from '../../wire/postgres/message-types.ts';
import {
  decodeParameterStatus,
  encodeReadyForQuery,
  peekSeverity,
} from '../../wire/postgres/backend-messages.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { SqlState } from '../../wire/postgres/sqlstate.ts';
import { COLLECT_BYTES_MAX } from '../../wire/postgres/limits.ts';
import { WireError } from '../../wire/wire-error.ts';
import type { PostgresBackend, ReplySink } from '../../upstream/postgres-backend.ts';
import { CLOSE, Outstanding, PARSE, SYNC } from './outstanding.ts';
import { BackendStatements } from './prepared/backend-statements.ts';
import { frameHead } from './prepared/messages.ts';
import { errorInOwnNames } from './prepared/own-names.ts';
import type { Replay } from './prepared/replay.ts';
import { nativeBytesFor } from './listening/heard.ts';
import { sequenceHint } from './state/sequence-hint.ts';

const EMPTY = Buffer.alloc(0);
const NONE: readonly never[] = Object.freeze([]);
const QUERY_CANCELED = Buffer.from(`\0C${SqlState.query_canceled}\0`);

/** Follows a client's transactions, in the order of their replies. */
export interface Attendant {
  /** A message was answered with an error. */
  failed(): void;
  /** ReadyForQuery is next. @returns what the client is to read before it */
  ready(status: TransactionStatus): Buffer | undefined;
}

/** The client's side of a lease. */
export interface LeaseOwner {
  readonly pooling: PoolMode;
  /** The server process that the client takes for its own. */
  readonly processId: number;
  readonly attendant: Attendant | undefined;
  /**
   * Bytes for the client. Borrowed for the call: what it does not send at once is lent, as
   * `relayRun` does.
   */
  toClient(run: Buffer): void;
  /** Replies have arrived and are passed on; `serverQuiet` follows if nothing more is owed. */
  serverAnswered(): void;
  /** Every reply that had arrived is passed on, and the server owes nothing. */
  serverQuiet(): void;
  /** What the client calls the statement of this shared name. */
  ownStatementName(shared: string): string | undefined;
  /** The server has answered a message with an error. */
  serverFailed(): void;
  /** Whether the client is not to hear that a parameter has changed: it will have changed back. */
  hidesParameter(name: string): boolean;
  /** The server takes bytes again. */
  serverDrained(): void;
  /** The backend ended; `told`: the server's own FATAL message has reached the client. */
  serverLost(told: 'told' | 'untold', error: Error | undefined): void;
}

export class ExclusiveLease implements ReplySink {
  readonly runs = 'borrowed';
  readonly backend: PostgresBackend;
  readonly outstanding = new Outstanding();
  readonly statements = new BackendStatements();
  /** The use of a prepared statement that was sent last, while it can be sent again. */
  replay: Replay | undefined;
  /**
   * `sent`: a BEGIN was put in front of what the client sent, and is not answered. `failed`: in
   * vain; the client is in a failed transaction, the server in none.
   */
  opening: 'none' | 'sent' | 'failed' = 'none';
  #bodyLength = 0;
  #replacement: Replacement | undefined;
  #owner: LeaseOwner | undefined;
  #fatalRelayed = false;
  #cancelsInFlight = 0;
  #cancelled = false;
  #explanation: Buffer | undefined;
  /** Values that parameters had before this lease's replies changed them. */
  #before: Map<string, string | undefined> | undefined;

  constructor(backend: PostgresBackend) {
    this.backend = backend;
  }

  /** Begins a lease; `owner` hears of the backend until another begins. */
  begin(owner: LeaseOwner): void {
    this.#owner = owner;
    this.#before = undefined;
    this.#cancelled = false;
    this.#explanation = undefined;
    this.replay = undefined;
    this.opening = 'none';
    this.statements.beginLease();
    this.backend.attach(this);
  }

  /** The lease goes on for another owner: its client is gone. */
  adopt(owner: LeaseOwner): void {
    this.#owner = owner;
  }

  /**
   * A cancel was sent during this lease: the backend needs a full round trip before another client
   * uses it.
   */
  get cancelled(): boolean {
    return this.#cancelled;
  }

  /** A cancel is on its way, and hits what the backend runs when it arrives. */
  get cancelling(): boolean {
    return this.#cancelsInFlight > 0;
  }

  /** Whether the server is in a transaction block, as far as it has said, or will be. */
  get inTransaction(): boolean {
    return this.opening === 'sent' || this.backend.transactionStatus !== TRANSACTION_IDLE;
  }

  /** Nothing is owed, and no cancel can still hit what runs next. */
  get quiet(): boolean {
    return this.outstanding.quiet && this.#cancelsInFlight === 0;
  }

  /** Nothing is under way, and no transaction is open. */
  get isBetween(): boolean {
    return this.quiet && this.backend.transactionStatus === TRANSACTION_IDLE;
  }

  /** Goes on where it was interrupted: the proxy has talked to the backend itself. */
  resume(): void {
    this.backend.attach(this);
  }

  /** The reported parameters that have other values than before; these count as before then. */
  takeChangedParameters(): readonly string[] {
    if (this.#before === undefined) return NONE;
    const { parameters } = this.backend;
    const changed = [...this.#before].filter(([name, value]) => parameters.get(name) !== value);
    this.#before = undefined;
    return changed.map(([name]) => name);
  }

  /**
   * Counts a cancel request as in flight until `sent` settles: no other client may get the backend
   * before. The client reads `explanation` in place of the server's "due to user request".
   */
  trackCancel(sent: Promise<void>, explanation?: Buffer): void {
    this.#cancelsInFlight++;
    this.#cancelled = true;
    if (explanation !== undefined) this.#explanation = explanation;
    void sent.finally(() => {
      this.#cancelsInFlight--;
      if (this.backend.sink === this) this.settled();
    });
  }

  needsBody(type: number, bodyLength: number): boolean {
    this.#bodyLength = bodyLength;
    return isRead(type) && bodyLength <= COLLECT_BYTES_MAX;
  }

  frame(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    const local = this.outstanding.takeLocalReplies();
    const verdict = this.#reply(type, buffer, bodyStart, bodyEnd);
    if (local !== undefined) this.#putFirst(local, type, verdict, bodyEnd - bodyStart);
    return local === undefined ? verdict : REPLACE;
  }

  /** The proxy's own replies were due before this one. */
  #putFirst(local: Buffer, type: number, verdict: FrameVerdict, bodyBytes: number): void {
    const mine = verdict === REPLACE ? this.#replacement : undefined;
    const head = verdict === FORWARD ? frameHead(type, [], this.#bodyLength) : EMPTY;
    this.#replacement = {
      bytes: Buffer.concat([local, mine?.bytes ?? head]),
      bodySkipped: mine?.bodySkipped ?? (verdict === FORWARD ? 0 : bodyBytes),
    };
  }

  #reply(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    switch (type) {
      case BACKEND.NoticeResponse:
        return FORWARD;
      case BACKEND.NotificationResponse:
        return this.#notification(buffer, bodyStart, bodyEnd);
      case BACKEND.CommandComplete:
        return this.#completed(type, bodyEnd - bodyStart);
      case BACKEND.ReadyForQuery:
        return this.#ready(type);
      case BACKEND.ParameterStatus:
        return this.#parameterChanging(buffer.subarray(bodyStart, bodyEnd));
      case BACKEND.ErrorResponse:
        return this.#error(buffer, bodyStart, bodyEnd);
      default:
        break;
    }
    return this.#replied(type);
  }

  #replied(type: number): FrameVerdict {
    const replyFor = this.outstanding.replied(type);
    if (replyFor === undefined) {
      const letter = String.fromCharCode(type);
      throw new WireError(`the server sent "${letter}", which answers nothing that was asked`);
    }
    return replyFor === 'client' ? FORWARD : DROP;
  }

  #completed(type: number, bodyBytes: number): FrameVerdict {
    const bytes = this.outstanding.assumed?.completed?.();
    const verdict = this.#replied(type);
    if (bytes === undefined || verdict !== FORWARD) return verdict;
    this.#replacement = { bytes, bodySkipped: bodyBytes };
    return REPLACE;
  }

  #ready(type: number): FrameVerdict {
    const verdict = this.#replied(type);
    const attendant = this.#owner?.attendant;
    if (verdict !== FORWARD) return verdict;
    if (this.opening === 'failed') return this.#readyFailed(attendant);
    if (attendant === undefined) return verdict;
    const before = attendant.ready(this.backend.transactionStatus as TransactionStatus);
    if (before === undefined) return FORWARD;
    const head = frameHead(type, [], this.#bodyLength);
    this.#replacement = { bytes: Buffer.concat([before, head]), bodySkipped: 0 };
    return REPLACE;
  }

  #readyFailed(attendant: Attendant | undefined): FrameVerdict {
    attendant?.ready(TRANSACTION_FAILED);
    this.#replacement = { bytes: encodeReadyForQuery(TRANSACTION_FAILED), bodySkipped: 1 };
    return REPLACE;
  }

  /** The client listens on this very connection; it knows its process by another number. */
  #notification(buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    const body = buffer.subarray(bodyStart, bodyEnd);
    const own = this.backend.key?.processId ?? 0;
    const bytes = nativeBytesFor(body, own, this.#owner?.processId ?? own);
    this.#replacement = { bytes, bodySkipped: body.length };
    return REPLACE;
  }

  #error(buffer: Buffer, bodyStart: number, bodyEnd: number): FrameVerdict {
    const severity = peekSeverity(buffer, bodyStart, bodyEnd);
    if (severity === 'FATAL' || severity === 'PANIC') {
      this.#fatalRelayed = true;
    }
    const isOutdated = buffer.subarray(bodyStart, bodyEnd).includes(OUTDATED);
    if (isOutdated && this.#sendAgain()) return DROP;
    // Also the error of a message the proxy put in: it is why the client's own messages after it
    // are skipped.
    this.#owner?.attendant?.failed();
    const { assumed } = this.outstanding;
    this.outstanding.replied(BACKEND.ErrorResponse, isRefusal(buffer, bodyStart, bodyEnd));
    if (isOutdated) assumed?.outdated?.();
    this.#owner?.serverFailed();
    const bytes =
      assumed?.error ??
      this.#explained(buffer, bodyStart, bodyEnd) ??
      this.#hinted(buffer, bodyStart, bodyEnd) ??
      this.#inOwnNames(buffer, bodyStart, bodyEnd, assumed?.name);
    if (bytes === undefined) return FORWARD;
    this.#replacement = { bytes, bodySkipped: bodyEnd - bodyStart };
    return REPLACE;
  }

  /**
   * What a Bind uses is outdated. Where the client cannot tell, the statement is parsed anew and
   * used once more: it is the first in its transaction, and the client asks what rows it gives.
   * @returns whether it was sent
   */
  #sendAgain(): boolean {
    const { replay, outstanding, backend } = this;
    this.replay = undefined;
    const isAlone = backend.transactionStatus === TRANSACTION_IDLE && outstanding.isOneUse;
    const message = isAlone && !this.#cancelled ? replay?.message : undefined;
    if (replay === undefined || message === undefined) return false;
    const undo = () => this.statements.delete(replay.statement);
    // Behind the Sync to which the server skips.
    outstanding.sentBefore([SYNC, CLOSE, PARSE], PARSE, { undo });
    backend.write(message);
    return true;
  }

  #hinted(buffer: Buffer, bodyStart: number, bodyEnd: number): Buffer | undefined {
    const isWhole = bodyEnd - bodyStart === this.#bodyLength;
    if (!isWhole || this.#owner?.pooling !== 'transaction') return undefined;
    return sequenceHint(buffer.subarray(bodyStart, bodyEnd));
  }

  /** What is said of a statement that was cancelled for a reason of the proxy's. */
  #explained(buffer: Buffer, bodyStart: number, bodyEnd: number): Buffer | undefined {
    const explanation = this.#explanation;
    if (explanation === undefined) return undefined;
    const isCancel = buffer.subarray(bodyStart, bodyEnd).includes(QUERY_CANCELED);
    if (!isCancel || bodyEnd - bodyStart < this.#bodyLength) return undefined;
    this.#explanation = undefined;
    return explanation;
  }

  /**
   * An error that mentions a shared statement by the name the client gave it; undefined when it
   * mentions none.
   */
  #inOwnNames(
    buffer: Buffer,
    bodyStart: number,
    bodyEnd: number,
    name: string | undefined,
  ): Buffer | undefined {
    const body = buffer.subarray(bodyStart, bodyEnd);
    if (body.length < this.#bodyLength) return undefined;
    const owner = this.#owner;
    return errorInOwnNames(body, (shared) => name ?? owner?.ownStatementName(shared));
  }

  #parameterChanging(body: Buffer): FrameVerdict {
    const { name } = decodeParameterStatus(body);
    this.#before ??= new Map();
    if (!this.#before.has(name)) this.#before.set(name, this.backend.parameters.get(name));
    return this.#owner?.hidesParameter(name) === true ? DROP : FORWARD;
  }

  forward(run: Buffer): void {
    this.#owner?.toClient(run);
  }

  replacement(): Replacement {
    assert(this.#replacement !== undefined, 'replacement() follows REPLACE');
    return this.#replacement;
  }

  /**
   * Sends the replies that are the proxy's own and due now, unless the server is in the middle of a
   * message.
   */
  sendLocalReplies(): void {
    if (!this.backend.atBoundary) return;
    const replies = this.outstanding.takeLocalReplies();
    if (replies !== undefined) this.#owner?.toClient(replies);
  }

  settled(): void {
    this.sendLocalReplies();
    this.#owner?.serverAnswered();
    if (!this.quiet) return;
    this.#explanation = undefined;
    this.#owner?.serverQuiet();
  }

  drained(): void {
    this.#owner?.serverDrained();
  }

  lost(error: Error | undefined): void {
    this.#owner?.serverLost(this.#fatalRelayed ? 'told' : 'untold', error);
  }
}

/** The raw parser's error, told without the context that a function would add. */
const SYNTAX_ERROR = Buffer.from('\0C42601\0');
/** The routine that says "cached plan must not change result type". */
const OUTDATED = Buffer.from('\0RRevalidateCachedQuery\0');
const CONTEXT = Buffer.from('\0W');
const INTERNAL_QUERY = Buffer.from('\0q');

/** Whether an error says that nothing of the text has run. */
function isRefusal(buffer: Buffer, bodyStart: number, bodyEnd: number): 'refused' | 'failed' {
  const body = buffer.subarray(bodyStart, bodyEnd);
  if (!body.includes(SYNTAX_ERROR)) return 'failed';
  return body.includes(CONTEXT) || body.includes(INTERNAL_QUERY) ? 'failed' : 'refused';
}

/** Messages whose bodies matter here. */
function isRead(type: number): boolean {
  return (
    type === BACKEND.ErrorResponse ||
    type === BACKEND.CommandComplete ||
    type === BACKEND.NotificationResponse
  );
}
