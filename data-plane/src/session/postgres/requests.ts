/**
 * What becomes of each message of a client that owns a server connection.
 * Owns: bringing together what the text does (statement-watch.ts), named statements (prepared/) and
 * the replies to expect (outstanding.ts). Leaves: when there is a server connection to
 * transaction.ts.
 */
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import {
  decodeParse,
  encodeParse,
  encodeQuery,
  FRONTEND,
  queryTextEnd,
} from '../../wire/postgres/frontend-messages.ts';
import type { Parse } from '../../wire/postgres/frontend-messages.ts';
import { FORWARD, HOLD, REPLACE } from '../../wire/postgres/frame-scanner.ts';
import type { FrameVerdict, Replacement } from '../../wire/postgres/frame-scanner.ts';
import { WireError } from '../../wire/wire-error.ts';
import type { ExclusiveLease } from './exclusive-lease.ts';
import type { ListenRelay } from './listening/listen-relay.ts';
import { ListenRequests } from './listening/listen-requests.ts';
import { BIND, CLOSE, DESCRIBE, EXECUTE, PARSE, QUERY } from './outstanding.ts';
import { givenUpBy } from './prepared/giving-up.ts';
import { frameHead } from './prepared/messages.ts';
import { readNames } from './prepared/names.ts';
import type { ParsedElsewhere } from './prepared/parsed-elsewhere.ts';
import { PreparedRelay } from './prepared/prepared-relay.ts';
import type { ClientMessage, PreparedLimits } from './prepared/prepared-relay.ts';
import type { PreparedStatement, StatementCatalogue } from './prepared/statement-catalogue.ts';
import { isAboutStatements, requestKind } from './request-kind.ts';
import { notAllowedNow } from './session-errors.ts';
import type { TextEffects } from './sql/effects.ts';
import type { ClientSettings } from './state/client-settings.ts';
import { StatementWatch, TEXT_BYTES_MAX } from './statement-watch.ts';
import type { Undo, WatchTerms } from './statement-watch.ts';

/** A longer Bind is not collected; its names are read from what has arrived. */
const BIND_COLLECT_BYTES_MAX = 64 * 1024;

/** What is kept of the client's login. */
export interface RequestTerms extends WatchTerms {
  readonly pooling: PoolMode;
  readonly catalogue: StatementCatalogue;
  readonly preparedLimits: PreparedLimits;
}

export class ClientRequests {
  readonly watch: StatementWatch;
  readonly #login: RequestTerms;
  readonly #listening: ListenRequests;
  /** Made when the client first names a statement: most never do. */
  #prepared: PreparedRelay | undefined;
  #replacement: (() => Replacement) | undefined;
  #bodyLength = 0;
  #bodyIsWhole = false;

  constructor(login: RequestTerms, settings: ClientSettings, listening: ListenRelay) {
    this.#login = login;
    this.watch = new StatementWatch(login, settings);
    this.#listening = new ListenRequests(listening, this.watch);
  }

  /** Asked by the scanner just before each message. */
  needsBody(type: number, bodyLength: number): boolean {
    this.#bodyLength = bodyLength;
    const isSession = this.#login.pooling === 'session';
    this.#bodyIsWhole = isSession
      ? this.watch.looksForCommit(type, bodyLength)
      : this.#wantsBody(type, bodyLength);
    return this.#bodyIsWhole;
  }

  replacement(): Replacement {
    const replacement = this.#replacement?.();
    if (replacement === undefined) throw new WireError('nothing was put in other words');
    return replacement;
  }

  /** What the client calls a shared statement. */
  ownStatementName(shared: string): string | undefined {
    return this.#prepared?.ownName(shared);
  }

  /** The client's prepared statement of this name. */
  statementOf(name: string): PreparedStatement | undefined {
    return this.#prepared?.statementOf(name);
  }

  get parsedElsewhere(): ParsedElsewhere {
    return this.#preparedRelay().elsewhere;
  }

  /** The client is gone. */
  end(): void {
    this.#prepared?.end();
    this.watch.end();
  }

  /** Decides about one message and notes what the server will owe for it. @throws WireError */
  request(
    type: number,
    buffer: Buffer,
    bodyStart: number,
    bodyEnd: number,
    lease: ExclusiveLease,
  ): FrameVerdict {
    const kind = requestKind(type);
    if (kind === 0) {
      if (type === FRONTEND.CopyData || type === FRONTEND.Flush) return FORWARD;
      throw notAllowedNow(type);
    }
    const isTransaction = this.#login.pooling === 'transaction';
    if (isTransaction && isAboutStatements(type)) {
      const message = { type, buffer, bodyStart, bodyEnd, bodyLength: this.#bodyLength };
      const verdict = this.#tracked(message, lease);
      if (verdict !== 'ordinary') return verdict;
    } else {
      this.watch.noText(type, this.#bodyIsWhole, buffer, bodyStart, bodyEnd);
      if (
        isTransaction &&
        this.#listening.runs(type, buffer, bodyStart, bodyEnd, lease) === 'hold'
      ) {
        return HOLD;
      }
    }
    if (type === FRONTEND.Execute) return this.#execute(lease);
    lease.outstanding.sent(kind);
    return FORWARD;
  }

  #wantsBody(type: number, bodyLength: number): boolean {
    switch (type) {
      case FRONTEND.Query:
      case FRONTEND.Parse:
        return bodyLength <= TEXT_BYTES_MAX;
      case FRONTEND.Bind:
        return bodyLength <= BIND_COLLECT_BYTES_MAX;
      case FRONTEND.Describe:
      case FRONTEND.Close:
        return true;
      case FRONTEND.Execute:
        return this.#listening.followsPortals;
      default:
        return false;
    }
  }

  #tracked(message: ClientMessage, lease: ExclusiveLease): FrameVerdict | 'ordinary' {
    switch (message.type) {
      case FRONTEND.Query:
        return this.#query(message, lease);
      case FRONTEND.Parse:
        return this.#parse(message, lease);
      case FRONTEND.Bind:
        return this.#bind(message, lease);
      case FRONTEND.Describe:
        return this.#named((prepared) => prepared.describe(message, lease), message, lease);
      default:
        return this.#named((prepared) => prepared.close(message, lease), message, lease);
    }
  }

  /** An Execute; what it runs may have to be taken back. */
  #execute(lease: ExclusiveLease): FrameVerdict {
    if (this.#prepared?.givesUpNext === true) {
      return this.#prepared.executes(lease, () => this.watch.executes());
    }
    const undo = this.#login.pooling === 'transaction' ? this.watch.executes() : undefined;
    lease.outstanding.sent(EXECUTE, 'client', undo && { undo });
    return FORWARD;
  }

  #query(message: ClientMessage, lease: ExclusiveLease): FrameVerdict {
    const { buffer, bodyStart, bodyEnd } = message;
    if (!this.#bodyIsWhole) {
      if (this.#listening.admitUnread(lease) === 'hold') return HOLD;
      return this.#sendQuery(this.watch.unread(), lease);
    }
    const textEnd = queryTextEnd(buffer, bodyStart, bodyEnd);
    const { effects, carried } = this.#listening.readAt(buffer, bodyStart, textEnd);
    const admission = this.#listening.admit(effects, lease);
    if (admission === 'hold') return HOLD;
    if (admission instanceof AppError)
      return this.#replaceWhole(this.#listening.refuseQuery(lease, admission), message);
    if (admission !== 'go') lease.outstanding.following(admission);
    if (carried !== undefined) return this.#carriedQuery(message, lease, effects, carried);
    const verdict = this.#givesUpStatements(effects, message, lease);
    if (verdict === HOLD) return HOLD;
    const undo = this.watch.runs(effects);
    return verdict === 'ordinary' ? this.#sendQuery(undo, lease) : verdict;
  }

  #sendQuery(undoRun: Undo | undefined, lease: ExclusiveLease): FrameVerdict {
    const undoUnnamed = this.watch.forgetUnnamed();
    const undo = undoRun && undoUnnamed ? both(undoRun, undoUnnamed) : (undoRun ?? undoUnnamed);
    lease.outstanding.sent(QUERY, 'client', undo && { undo });
    return FORWARD;
  }

  /** DEALLOCATE and DISCARD ALL are about statements that may not be on this server connection. */
  #givesUpStatements(
    effects: TextEffects,
    message: ClientMessage,
    lease: ExclusiveLease,
  ): FrameVerdict | 'ordinary' {
    const what = givenUpBy(effects);
    if (what === undefined || (typeof what === 'object' && this.#prepared === undefined)) {
      return 'ordinary';
    }
    const prepared = this.#preparedRelay();
    const isOnly = effects.statements.length === 1;
    return this.#rewritten(prepared, prepared.giveUp(message, lease, what, isOnly));
  }

  #parse(message: ClientMessage, lease: ExclusiveLease): FrameVerdict | 'ordinary' {
    if (!this.#bodyIsWhole) {
      if (this.#listening.admitUnread(lease) === 'hold') return HOLD;
      const undo = this.watch.unread();
      lease.outstanding.sent(PARSE, 'client', undo && { undo });
      return FORWARD;
    }
    const { buffer, bodyStart, bodyEnd } = message;
    const parse = decodeParse(buffer, bodyStart, bodyEnd, 'latin1');
    const { effects: ofText, carried } = this.#listening.read(parse.sql);
    const effects = this.watch.parses(ofText, parse.parameterTypes);
    if (carried !== undefined) {
      return this.#carriedParse(message, lease, effects, { ...parse, sql: carried });
    }
    return this.#parseAs(message, lease, effects, () => this.watch.parseContextOf(parse.sql));
  }

  #parseAs(
    message: ClientMessage,
    lease: ExclusiveLease,
    effects: TextEffects,
    context: () => string,
  ): FrameVerdict | 'ordinary' {
    const isUnnamed = message.buffer[message.bodyStart] === 0;
    if (isUnnamed) return this.#parseUnnamed(message, lease, effects);
    const prepared = this.#preparedRelay();
    return this.#rewritten(prepared, prepared.parse(message, lease, effects, context()));
  }

  #parseUnnamed(message: ClientMessage, lease: ExclusiveLease, effects: TextEffects): FrameVerdict {
    const { buffer, bodyStart, bodyEnd } = message;
    const parsed = () => this.watch.unnamedParse(buffer.subarray(bodyStart, bodyEnd), effects);
    const what = givenUpBy(effects);
    // Only who has named a statement can give one up.
    if (typeof what === 'object' && this.#prepared !== undefined) {
      const verdict = this.#prepared.parseGivingUp(message, lease, what.name, parsed);
      const rewritten = this.#rewritten(this.#prepared, verdict);
      if (rewritten !== 'ordinary') return rewritten;
    }
    lease.outstanding.sent(PARSE, 'client', { undo: parsed() });
    return FORWARD;
  }

  #bind(message: ClientMessage, lease: ExclusiveLease): FrameVerdict | 'ordinary' {
    const { buffer, bodyStart, bodyEnd } = message;
    const names = readNames(buffer, bodyStart, bodyEnd, 2);
    if (names === undefined) {
      if (bodyEnd - bodyStart === this.#bodyLength) throw new WireError('Bind without its names');
      return HOLD;
    }
    const [portal = '', name = ''] = names.texts;
    const effects = name === '' ? this.watch.unnamedEffects : this.statementOf(name)?.effects;
    const admission = effects === undefined ? 'go' : this.#listening.admit(effects, lease);
    if (admission === 'hold') return HOLD;
    if (admission instanceof AppError)
      return this.#replaceWhole(this.#listening.refuseBind(lease, admission), message);
    this.#listening.bound(portal, admission);
    if (name === '') return this.#bindUnnamed(message, lease, portal);
    const prepared = this.#preparedRelay();
    return this.#rewritten(prepared, prepared.bind(message, lease, names));
  }

  #named(
    act: (prepared: PreparedRelay) => FrameVerdict | 'unnamed',
    message: ClientMessage,
    lease: ExclusiveLease,
  ): FrameVerdict | 'ordinary' {
    const prepared = this.#preparedRelay();
    const verdict = act(prepared);
    if (verdict !== 'unnamed') return this.#rewritten(prepared, verdict);
    const isStatement = message.buffer[message.bodyStart] === TARGET_STATEMENT_BYTE;
    if (!isStatement) return 'ordinary';
    if (message.type === FRONTEND.Describe) return this.#unnamed(message, lease, undefined);
    const undo = this.watch.forgetUnnamed();
    lease.outstanding.sent(CLOSE, 'client', undo && { undo });
    return FORWARD;
  }

  #bindUnnamed(message: ClientMessage, lease: ExclusiveLease, portal: string): FrameVerdict {
    const undo = this.watch.bindsUnnamed(portal);
    const effects = this.watch.unnamedEffects;
    const what = effects && givenUpBy(effects);
    if (what !== undefined) this.#preparedRelay().bindsUnnamed(what, portal, lease);
    else this.#prepared?.bindsUnnamed(what, portal, lease);
    return this.#unnamed(message, lease, undo);
  }

  /**
   * A use of the unnamed statement: parsed again in front of it where this backend does not have
   * the client's.
   */
  #unnamed(message: ClientMessage, lease: ExclusiveLease, undo: Undo | undefined): FrameVerdict {
    const kind = message.type === FRONTEND.Bind ? BIND : DESCRIBE;
    const restoration = this.watch.unnamedToRestore();
    if (restoration !== undefined) lease.outstanding.sent(restoration.kind, 'proxy');
    lease.outstanding.sent(kind, 'client', undo && { undo });
    if (restoration === undefined) return FORWARD;
    const head = frameHead(message.type, [], message.bodyLength);
    const bytes = Buffer.concat([restoration.message, head]);
    this.#replacement = () => ({ bytes, bodySkipped: 0 });
    return REPLACE;
  }

  // ---- texts that listen (listening/) ----

  /** Whether a client without a server connection is to wait before it asks for one. */
  holdsBack(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): boolean {
    if (this.#login.pooling === 'session' || !this.#bodyIsWhole) return false;
    return this.#listening.holdsBack(type, buffer, bodyStart, bodyEnd);
  }

  #carriedQuery(
    message: ClientMessage,
    lease: ExclusiveLease,
    effects: TextEffects,
    sql: string,
  ): FrameVerdict {
    this.#sendQuery(this.watch.runs(effects), lease);
    return this.#replaceWhole(encodeQuery(sql, 'latin1'), message);
  }

  #carriedParse(
    message: ClientMessage,
    lease: ExclusiveLease,
    effects: TextEffects,
    parse: Parse,
  ): FrameVerdict | 'ordinary' {
    const frame = encodeParse(parse, 'latin1');
    const [bodyStart, bodyEnd] = [FRAME_HEAD_BYTES, frame.length];
    const inWords = { ...message, buffer: frame, bodyStart, bodyEnd };
    const context = () => `${this.watch.parseContext} carried`;
    const verdict = this.#parseAs(
      { ...inWords, bodyLength: bodyEnd - bodyStart },
      lease,
      effects,
      context,
    );
    if (verdict === FORWARD) return this.#replaceWhole(frame, message);
    const inner = this.#replacement;
    if (verdict === REPLACE && inner !== undefined) {
      this.#replacement = () => {
        const { bytes, bodySkipped } = inner();
        const rest = frame.subarray(bodyStart + bodySkipped);
        return { bytes: Buffer.concat([bytes, rest]), bodySkipped: message.bodyLength };
      };
    }
    return verdict;
  }

  #replaceWhole(bytes: Buffer, { bodyLength }: ClientMessage): FrameVerdict {
    this.#replacement = () => ({ bytes, bodySkipped: bodyLength });
    return REPLACE;
  }

  #preparedRelay(): PreparedRelay {
    const { catalogue, preparedLimits } = this.#login;
    this.#prepared ??= new PreparedRelay(catalogue, preparedLimits, this.watch);
    return this.#prepared;
  }

  #rewritten(
    prepared: PreparedRelay,
    verdict: FrameVerdict | 'not_ours' | 'unnamed',
  ): FrameVerdict | 'ordinary' {
    if (verdict === 'not_ours' || verdict === 'unnamed') return 'ordinary';
    if (verdict === REPLACE) this.#replacement = () => prepared.replacement();
    return verdict;
  }
}

const TARGET_STATEMENT_BYTE = 0x53;
const FRAME_HEAD_BYTES = 5;

function both(first: Undo, second: Undo): Undo {
  return (failure) => {
    first(failure);
    second(failure);
  };
}
