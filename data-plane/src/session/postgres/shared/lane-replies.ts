/**
 * What the server's replies mean to the batch they belong to, on a connection that runs batches of
 * many clients: passed on, held until it is certain that the batch stays here, or the reason why it
 * goes back to its client.
 * Owns: one reply, from its first message to ReadyForQuery. Leaves: which batch that is, and what
 * follows, to lane-backend.ts.
 * Source: PostgreSQL manual, "Message Flow".
 */
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import {
  decodeErrorFields,
  peekSeverity,
  TRANSACTION_IDLE,
} from '../../../wire/postgres/backend-messages.ts';
import { DROP, FORWARD, FORWARD_NOW, REPLACE } from '../../../wire/postgres/frame-scanner.ts';
import type { FrameVerdict, Replacement } from '../../../wire/postgres/frame-scanner.ts';
import { BACKEND, showType } from '../../../wire/postgres/message-types.ts';
import { SqlState } from '../../../wire/postgres/sqlstate.ts';
import { WireError } from '../../../wire/wire-error.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { encodePostgresError } from '../../client-error.ts';
import { errorInOwnNames } from '../prepared/own-names.ts';
import type { ReturnReason, SharedBatch } from './shared-batch.ts';

/** What comes before the first row; more of it than that is passed on as it comes. */
const HELD_BYTES_MAX = 64 * 1024;
const PARSE_COMPLETE = Buffer.from([BACKEND.ParseComplete, 0, 0, 0, 4]);

export class LaneReplies {
  /** The reply ends with the run that is passed on next. */
  ends = false;
  /** Why it is not passed on: the batch goes back to its client when its reply has ended. */
  returning: ReturnReason | undefined;
  /** A row, or the end of the statement, was seen: what the client reads is certain. */
  #hasResult = false;
  /** Whether an error is passed on. */
  hasError = false;
  #injectedSeen = 0;
  readonly #backend: Pick<PostgresBackend, 'transactionStatus'>;
  #held: Buffer | undefined;
  #replacement: Replacement | undefined;
  /** A cancel is on its way that may hit another batch than it was meant for. */
  strayCancel = false;

  constructor(backend: Pick<PostgresBackend, 'transactionStatus'>) {
    this.#backend = backend;
  }

  /** The next reply begins. */
  reset(): void {
    this.ends = false;
    this.returning = undefined;
    this.#hasResult = false;
    this.hasError = false;
    this.#injectedSeen = 0;
    this.#held = undefined;
  }

  frame(
    head: SharedBatch,
    type: number,
    buffer: Buffer,
    bodyStart: number,
    bodyEnd: number,
  ): FrameVerdict {
    switch (type) {
      case BACKEND.DataRow:
      case BACKEND.CommandComplete:
        this.#hasResult = true;
        return FORWARD;
      case BACKEND.ReadyForQuery:
        if (this.#backend.transactionStatus !== TRANSACTION_IDLE) {
          throw new WireError('a shared batch has left a transaction open');
        }
        this.ends = true;
        return FORWARD_NOW;
      case BACKEND.ErrorResponse:
        return this.#error(head, buffer.subarray(bodyStart, bodyEnd));
      case BACKEND.ParseComplete:
      case BACKEND.CloseComplete:
        if (this.#injectedSeen < head.injectedReplies) {
          this.#injectedSeen += 1;
          if (type === BACKEND.ParseComplete) head.statement?.parsed();
          return DROP;
        }
        if (type === BACKEND.ParseComplete) {
          head.parse = 'parsed';
          head.statement?.parsed();
        }
        return FORWARD;
      default:
        return FORWARD;
    }
  }

  replacement(): Replacement {
    assert(this.#replacement !== undefined, 'replacement() follows REPLACE');
    return this.#replacement;
  }

  #error(head: SharedBatch, body: Buffer): FrameVerdict {
    const severity = peekSeverity(body, 0, body.length);
    // The server ends the connection: what that means to the batch follows when it is gone.
    if (severity === 'FATAL' || severity === 'PANIC') return DROP;
    const { code } = decodeErrorFields(body);
    this.#noteStatement(head, code);
    if (head.relayed === 'nothing') this.returning = this.#whyReturn(head, code);
    if (this.returning !== undefined) return FORWARD;
    this.#hasResult = true;
    this.hasError = true;
    const bytes = this.#inItsWords(head, code, body);
    if (bytes === undefined) return FORWARD;
    this.#replacement = { bytes, bodySkipped: body.length };
    return REPLACE;
  }

  #noteStatement(head: SharedBatch, code: string): void {
    const { statement } = head;
    const isInjected = this.#injectedSeen < head.injectedReplies;
    if (isInjected || (statement?.clientParse === 'sent' && head.parse === 'none')) {
      // A name that is taken, against what is known of it, is closed before it is used again.
      const isThere = code === SqlState.duplicate_prepared_statement;
      statement?.failed(isThere ? 'outdated' : 'not_parsed');
    } else {
      // Whatever it was: a plan that is outdated fails each time.
      statement?.failed('outdated');
    }
    if (!isInjected && head.parse === 'none') head.parse = 'refused';
  }

  #inItsWords(head: SharedBatch, code: string, body: Buffer): Buffer | undefined {
    const { cancelled } = head;
    if (code === SqlState.query_canceled && cancelled !== 'no') {
      if (cancelled.explained === 'by_proxy') return encodePostgresError(cancelled.error, 'ERROR');
    }
    return errorInOwnNames(body, (shared) => head.client?.ownStatementName(shared));
  }

  /** What of `run` can be passed on now, with what was held before. */
  passOn(head: SharedBatch, run: Buffer): Buffer | undefined {
    const together = this.#held === undefined ? run : Buffer.concat([this.#held, run]);
    this.#held = undefined;
    if (this.#hasResult || this.ends || together.length > HELD_BYTES_MAX) {
      const isAssumed = head.parse === 'none' && head.statement?.clientParse === 'assumed';
      return isAssumed ? this.#behindParse(head, together) : together;
    }
    // A copy: the run lives as long as its chunk.
    this.#held = together === run ? Buffer.from(run) : together;
    return undefined;
  }

  /** The Parse that was not sent is answered here, now that what came before it has been. */
  #behindParse(head: SharedBatch, bytes: Buffer): Buffer | undefined {
    if (head.statement?.isThere !== true) {
      this.returning = 'refused';
      return undefined;
    }
    head.parse = 'parsed';
    return Buffer.concat([PARSE_COMPLETE, bytes]);
  }

  /** Undefined: its client reads the error. */
  #whyReturn(head: SharedBatch, code: string): ReturnReason | undefined {
    if (code === SqlState.read_only_sql_transaction) return 'read_only';
    if (code !== SqlState.query_canceled) return 'refused';
    // Its own cancel, or the server's own: statement_timeout.
    return this.strayCancel && head.cancelled === 'no' ? 'cancelled_for_another' : undefined;
  }
}

/** Between batches a server may say goodbye, or something to everybody. */
export function unasked(
  type: number,
  buffer: Buffer,
  bodyStart: number,
  bodyEnd: number,
): FrameVerdict {
  if (type === BACKEND.NoticeResponse) return DROP;
  if (type === BACKEND.ErrorResponse) {
    const severity = peekSeverity(buffer, bodyStart, bodyEnd);
    if (severity === 'FATAL' || severity === 'PANIC') return DROP;
  }
  throw new WireError(`the server sent "${showType(type)}" though no request was outstanding`);
}
