/**
 * The messages of a client, as far as LISTEN and NOTIFY are concerned: what the server is told in
 * place of a text that listens, what is held, what is refused.
 * Owns: those other words. Leaves: when something may be sent to listen-relay.ts, what else a
 * message does to requests.ts.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { encodeQuery, FRONTEND } from '../../../wire/postgres/frontend-messages.ts';
import { encodePostgresError } from '../../client-error.ts';
import type { ExclusiveLease } from '../exclusive-lease.ts';
import { PARSE, QUERY } from '../outstanding.ts';
import { failingParse } from '../prepared/messages.ts';
import { readNames } from '../prepared/names.ts';
import { UNPARSABLE } from '../sql/effects.ts';
import type { TextEffects } from '../sql/effects.ts';
import type { StatementWatch } from '../statement-watch.ts';
import type { Admission, ListenRelay } from './listen-relay.ts';
import { listenText } from './listen-text.ts';

/** A text's effects, and what the server is told in its place if its LISTEN is carried out. */
export interface ReadText {
  readonly effects: TextEffects;
  readonly carried: string | undefined;
}

export class ListenRequests {
  readonly #relay: ListenRelay;
  readonly #watch: StatementWatch;

  constructor(relay: ListenRelay, watch: StatementWatch) {
    this.#relay = relay;
    this.#watch = watch;
  }

  /**
   * Whether a client without a server connection is to wait for its LISTEN before it gets one. Seen
   * of texts that begin with the word, which is how they are written.
   */
  holdsBack(type: number, buffer: Buffer, bodyStart: number, bodyEnd: number): boolean {
    const sql = listenText(type, buffer, bodyStart, bodyEnd);
    if (sql === undefined) return false;
    const effects = this.#watch.texts.read(sql);
    if (effects.listening !== 'native' || !this.#relay.carries(effects, sql)) return false;
    return this.#relay.holdsBack(effects);
  }

  /** The text (latin1) from `start` up to `end`. */
  readAt(buffer: Buffer, start: number, end: number): ReadText {
    const effects = this.#watch.texts.readAt(buffer, start, end);
    return effects.listening === 'native'
      ? this.read(buffer.toString('latin1', start, end))
      : { effects, carried: undefined };
  }

  read(sql: string): ReadText {
    const effects = this.#watch.texts.read(sql);
    if (effects.listening !== 'native') return { effects, carried: undefined };
    if (this.#relay.carries(effects, sql)) {
      const carried = this.#watch.texts.carriesListen(sql, effects);
      return { effects: carried.effects, carried: carried.sql };
    }
    // The session listens on its own backend, and keeps it.
    return { effects: { ...effects, pin: effects.pin ?? 'listen' }, carried: undefined };
  }

  admit(effects: TextEffects, lease: ExclusiveLease): Admission {
    return this.#relay.admit(effects, () => this.#watch.mayNotify(effects), lease);
  }

  /** The same of what is too long to be read, or calls a function. */
  admitUnread(lease: ExclusiveLease): 'go' | 'hold' {
    return this.admit(UNPARSABLE, lease) === 'hold' ? 'hold' : 'go';
  }

  /** Whether portals must be told apart: the names in Execute are read then. */
  get followsPortals(): boolean {
    return this.#relay.followsPortals;
  }

  /** A portal is bound to what was admitted. */
  bound(portal: string, admission: Exclude<Admission, 'hold' | AppError>): void {
    if (admission !== 'go' || this.followsPortals) this.#relay.bound(portal, admission);
  }

  /** A message that runs what was bound, or a function. */
  runs(
    type: number,
    buffer: Buffer,
    bodyStart: number,
    bodyEnd: number,
    lease: ExclusiveLease,
  ): 'go' | 'hold' {
    if (type === FRONTEND.FunctionCall) return this.admitUnread(lease);
    if (type !== FRONTEND.Execute || !this.followsPortals) return 'go';
    const [portal = ''] = readNames(buffer, bodyStart, bodyEnd, 1)?.texts ?? [];
    const followed = this.#relay.followed(portal);
    if (followed !== undefined) lease.outstanding.following(followed);
    return 'go';
  }

  /** Has the server fail in place of a Query, so that its transaction does, and tells why. */
  refuseQuery(lease: ExclusiveLease, error: AppError): Buffer {
    const undo = this.#watch.forgetUnnamed() ?? (() => {});
    lease.outstanding.sent(QUERY, 'client', { undo, error: encodePostgresError(error, 'ERROR') });
    return encodeQuery('refused by the pooler');
  }

  /** The same of a Bind; what is behind it is skipped. */
  refuseBind(lease: ExclusiveLease, error: AppError): Buffer {
    const bytes = encodePostgresError(error, 'ERROR');
    lease.outstanding.sent(PARSE, 'client', { undo: () => {}, error: bytes });
    return failingParse();
  }
}
