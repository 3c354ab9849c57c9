/**
 * What one client's statements do to the session on the server, as far as their texts tell: whether the client must
 * keep its server connection (pin) and whether that is dirty afterwards.
 * Owns: the pin and its reason, the unnamed statement across transactions. Leaves: reading SQL to sql/.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/routing-config.ts';
import {
  decodeBind,
  decodeDescribe,
  decodeParse,
  decodeQuery,
} from '../../wire/postgres/frontend-messages.ts';
import { FRONTEND } from '../../wire/postgres/message-types.ts';
import type { TenantMeter } from '../meter.ts';
import type { LeaseCondition } from './leases.ts';
import { textEffects } from './sql/effects.ts';
import type { PinReason } from './sql/effects.ts';

/** A longer statement is not read: it pins the session and dirties the backend. */
export const TEXT_BYTES_MAX = 256 * 1024;
/** Only the names of a Bind are read, which stand at its beginning. */
const BIND_COLLECT_BYTES_MAX = 16 * 1024;

/** A COMMIT is short; so much of a Query or Parse is looked at in sessions that keep their backend. */
const COMMIT_BYTES_MAX = 64;
/** In a Query, or behind the name of a Parse. */
const COMMIT = /^(?:[^\0]*\0)?\s*(?:commit|end|prepare\s+transaction)\b/i;

export class StatementWatch {
  readonly #pooling: PoolMode;
  readonly #meter: TenantMeter;
  readonly #lexing: { readonly standardConformingStrings: boolean };
  #pin: PinReason | undefined;
  #dirty = false;
  #bodyIsWhole = false;
  #committing = false;
  /** The client's last unnamed Parse, to be repeated on another backend; nothing when it has none. */
  #unnamed: Buffer | undefined;
  /** Whether this lease's backend has that unnamed statement. */
  #unnamedHere = false;

  /** @param standardConformingStrings whether backslashes in plain strings are ordinary, as the server reports it. */
  constructor(pooling: PoolMode, meter: TenantMeter, standardConformingStrings: boolean) {
    this.#lexing = Object.freeze({ standardConformingStrings });
    this.#pooling = pooling;
    this.#meter = meter;
  }

  /** Whether the client owns its backend beyond the transaction. */
  get keepsBackend(): boolean {
    return this.#pooling === 'session' || this.#pin !== undefined;
  }

  /** The last statement sent ends a transaction: it must not be cancelled because its client is gone. */
  get committing(): boolean {
    return this.#committing;
  }

  /** Asked by the scanner just before each message; `request` relies on the last answer. */
  needsBody(type: number, bodyLength: number): boolean {
    this.#bodyIsWhole =
      wantsBody(type, bodyLength) && (!this.keepsBackend || bodyLength <= COMMIT_BYTES_MAX);
    return this.#bodyIsWhole;
  }

  /** Reads one message that is about to be sent. Its body is whole where `needsBody` asked for it. */
  request(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): void {
    if (this.keepsBackend) return this.#lookForCommit(type, buffer, bodyStart, bodyEnd);
    switch (type) {
      case FRONTEND.Query:
        this.#unnamed = undefined;
        if (!this.#bodyIsWhole) return this.#unread();
        return this.#text(decodeQuery(buffer, bodyStart, bodyEnd, 'latin1').sql);
      case FRONTEND.Parse:
        if (!this.#bodyIsWhole) return this.#unread();
        return this.#parse(buffer.subarray(bodyStart, bodyEnd));
      case FRONTEND.FunctionCall:
        this.#dirty = true;
        return;
      default:
        return;
    }
  }

  #parse(body: Buffer): void {
    const { statement, sql } = decodeParse(body, 0, body.length, 'latin1');
    this.#text(sql);
    if (statement !== '') return this.#pinned('named_statement');
    this.#unnamed = frameOf(FRONTEND.Parse, body);
    this.#unnamedHere = true;
  }

  /**
   * The Parse to send before a batch that uses the client's unnamed statement, where this backend does not have it.
   * What another client left under that name must never be run in its place.
   */
  statementToRestore(
    type: number,
    buffer: Buffer,
    bodyStart: number,
    bodyEnd: number,
  ): Buffer | undefined {
    if (this.keepsBackend || this.#unnamedHere || this.#unnamed === undefined) return undefined;
    const usesUnnamed =
      (type === FRONTEND.Bind && decodeBind(buffer, bodyStart, bodyEnd).statement === '') ||
      (type === FRONTEND.Describe && isUnnamedStatement(buffer, bodyStart, bodyEnd));
    if (!usesUnnamed) return undefined;
    this.#unnamedHere = true;
    return this.#unnamed;
  }

  /** Of a session that keeps its backend only this needs to be known. */
  #lookForCommit(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): void {
    const hasText = type === FRONTEND.Query || type === FRONTEND.Parse;
    this.#committing =
      hasText && this.#bodyIsWhole && COMMIT.test(buffer.toString('latin1', bodyStart, bodyEnd));
  }

  #text(sql: string): void {
    const effects = textEffects(sql, this.#lexing);
    this.#committing = effects.transactionAfter === 'idle';
    if (effects.dirties) this.#dirty = true;
    if (effects.pin !== undefined) this.#pinned(effects.pin);
  }

  #unread(): void {
    this.#dirty = true;
    this.#pinned('unparsable');
  }

  /** A parameter that the server reports has kept another value than before. */
  parametersChanged(): void {
    if (!this.keepsBackend) this.#pinned('set');
  }

  #pinned(reason: PinReason): void {
    if (this.#pin !== undefined) return;
    this.#pin = reason;
    this.#meter.pinned(reason);
  }

  /** In what condition the lease that ends leaves its backend; the next lease begins clean. */
  leaseEnded(): LeaseCondition {
    const condition = this.#dirty || this.keepsBackend ? 'dirty' : 'clean';
    this.#dirty = false;
    this.#unnamedHere = false;
    return condition;
  }
}

function isUnnamedStatement(buffer: Buffer, bodyStart: number, bodyEnd: number): boolean {
  const { target, name } = decodeDescribe(buffer, bodyStart, bodyEnd);
  return target === 'statement' && name === '';
}

/** The whole message around a copy of `body`. */
function frameOf(type: number, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(5 + body.length);
  frame[0] = type;
  frame.writeInt32BE(4 + body.length, 1);
  body.copy(frame, 5);
  return frame;
}

function wantsBody(type: number, bodyLength: number): boolean {
  switch (type) {
    case FRONTEND.Query:
    case FRONTEND.Parse:
      return bodyLength <= TEXT_BYTES_MAX;
    case FRONTEND.Bind:
      return bodyLength <= BIND_COLLECT_BYTES_MAX;
    case FRONTEND.Describe:
      return true;
    default:
      return false;
  }
}
