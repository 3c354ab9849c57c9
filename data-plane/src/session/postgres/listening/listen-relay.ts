/**
 * What becomes of a client's LISTEN in transaction mode: its server connection is told UNLISTEN,
 * which does nothing and fails wherever LISTEN would; the listener of its pool does the listening.
 * The statement is held until the listener listens, and so is the COMMIT behind it: a notification
 * that is sent after the client has read their answers is heard. Statements that may notify are
 * held until nobody else's notifications can be taken for the client's (exchange.ts).
 * Owns: when a statement may be sent, and following LISTEN and transactions as they are answered.
 * Leaves: channels to client-channels.ts, messages to requests.ts.
 */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { encodeCommandComplete } from '../../../wire/postgres/result-messages.ts';
import { TRANSACTION_FAILED } from '../../../wire/postgres/message-types.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import type { Completed } from '../outstanding.ts';
import type { Statement } from '../sql/statement.ts';
import type { TextEffects } from '../sql/effects.ts';
import { decides, TRANSACTION_ENTRIES_MAX } from '../transaction-effects.ts';
import { isCertainName } from './channel-name.ts';
import { ClientChannels } from './client-channels.ts';
import type { ListeningClient } from './client-channels.ts';
import type { Exchange } from './exchange.ts';
import { asListenFailure, listenerLost, tooManySavepoints } from './listening-errors.ts';

/** The session. */
export interface ListenRelayClient extends ListeningClient {
  /** How the pool's clients listen now. */
  readonly listenMode: 'shared' | 'pin';
  /** What was held may be sent, or has failed. */
  resumeInput(): void;
}

/** The lease, as far as listening is concerned. */
export interface ListenLease {
  readonly backend: PostgresBackend;
}

/** `go`: nothing to follow. `hold`: to be offered again. Or why it is refused, or how to follow. */
export type Admission = 'go' | 'hold' | AppError | Completed;

/** What the gate for held messages is. */
type Gate = 'closed' | 'waiting' | 'open' | AppError;

const listenComplete = encodeCommandComplete('LISTEN');

export class ListenRelay {
  readonly #client: ListenRelayClient;
  /** Made with the client's first LISTEN. */
  #channels: ClientChannels | undefined;
  #exchange: Exchange | undefined;
  #gate: Gate = 'closed';
  /** Whether notifications of the lease's backend are known to be this client's. */
  #speaks: 'not_yet' | 'granted' = 'not_yet';
  /** How to follow what a portal runs, by its name; none: of most clients, no lease has any. */
  #portals: Map<string, Completed> | undefined;

  constructor(client: ListenRelayClient) {
    this.#client = client;
  }

  get channels(): ClientChannels | undefined {
    return this.#channels;
  }

  /** What the client waits for, besides the server; `listener`: its statement is held for it. */
  get awaits(): 'nothing' | 'listener' | 'notifications' {
    if (this.#gate === 'waiting') return 'listener';
    return this.#channels?.isListening === true ? 'notifications' : 'nothing';
  }

  leaseBegan(exchange: Exchange): void {
    this.#exchange = exchange;
  }

  /** The client gives the backend back, with everything answered. */
  leaseEnded(backend: PostgresBackend): void {
    if (this.#speaks === 'granted') this.#exchange?.spoken(backend);
    this.#speaks = 'not_yet';
    this.#exchange = undefined;
    this.#portals = undefined;
  }

  /** Everything that was sent is answered. */
  quiet(): void {
    if (this.#gate === 'waiting') return;
    // Open for a Parse that nothing has run.
    if (this.#gate === 'open') this.#gate = 'closed';
    this.#channels?.quiet();
  }

  end(): void {
    this.#gate = 'closed';
    this.#channels?.end();
  }

  /** Whether a text's LISTEN is carried out by the listener; else the client keeps its backend. */
  carries(effects: TextEffects, sql: string): boolean {
    if (this.#client.listenMode === 'pin') return false;
    return effects.statements.every(
      (statement) => statement.kind !== 'listen' || isCertainName(statement.channel, sql),
    );
  }

  // ---- before something is sent ----

  /**
   * Whether a message with these effects may be sent on the lease now.
   * @param mayNotify whether it, or something before it in the lease, may notify
   */
  admit(effects: TextEffects, mayNotify: () => boolean, { backend }: ListenLease): Admission {
    const carries = effects.listening === 'carried';
    const isHeard = this.#exchange?.isLive === true;
    if (!carries && this.#channels === undefined && !isHeard) return 'go';
    // A failed transaction refuses everything itself, but for what ends it.
    if (backend.transactionStatus !== TRANSACTION_FAILED) {
      const speaks = this.#speaks === 'not_yet' && isHeard && mayNotify();
      const obstacle = this.#obstacle(effects, speaks ? backend : undefined);
      if (obstacle !== undefined) return obstacle;
    }
    if (!carries && this.#channels === undefined) return 'go';
    if (!effects.statements.some(isFollowed)) return 'go';
    return follow(effects.statements, this.#ownChannels());
  }

  /**
   * Holds a LISTEN that a client sends before it has a server connection: clients that wait for the
   * listener must not keep it from getting one. @returns whether it is held
   */
  holdsBack(effects: TextEffects): boolean {
    if (this.#gate !== 'closed') return this.#gate === 'waiting';
    const fresh = this.#ownChannels().unprepared(channelsOf(effects));
    if (fresh.length > 0) this.#wait([this.#ownChannels().prepare(fresh)]);
    return fresh.length > 0;
  }

  /** Why what is held cannot be sent; told once. */
  takeRefusal(): AppError | undefined {
    if (!(this.#gate instanceof AppError)) return undefined;
    const refusal = this.#gate;
    this.#gate = 'closed';
    return refusal;
  }

  /** A cancel request. @returns whether something was held, which then fails with `error` */
  cancel(error: AppError): boolean {
    if (this.#gate !== 'waiting') return false;
    this.#gate = error;
    this.#client.resumeInput();
    return true;
  }

  #ownChannels(): ClientChannels {
    this.#channels ??= new ClientChannels(this.#client);
    return this.#channels;
  }

  #obstacle(
    effects: TextEffects,
    speaksThrough: PostgresBackend | undefined,
  ): 'hold' | AppError | undefined {
    const gate = this.#gate;
    if (gate === 'waiting') return 'hold';
    this.#gate = 'closed';
    if (gate instanceof AppError) return gate;
    const waits: Promise<void>[] = [];
    if (speaksThrough !== undefined && this.#exchange !== undefined) {
      const answer = this.#exchange.speak(speaksThrough, this.#client.processId);
      if (answer === 'granted') this.#speaks = answer;
      else waits.push(answer);
    }
    const channels = this.#channelsToPrepare(effects, gate);
    if (channels instanceof AppError) return channels;
    if (channels.length > 0) waits.push(this.#ownChannels().prepare(channels));
    if (waits.length === 0) return undefined;
    this.#wait(waits);
    return 'hold';
  }

  /**
   * New channels; and at the end of the transaction its pending ones once more, so that nothing is
   * heard that was sent before.
   */
  #channelsToPrepare(effects: TextEffects, gate: 'closed' | 'open'): readonly string[] | AppError {
    const carried = effects.listening === 'carried' ? channelsOf(effects) : [];
    const channels = this.#channels;
    if (channels === undefined) return carried;
    const entries = channels.pendingEntries;
    const adds = effects.statements.some(
      ({ kind }) => kind === 'listen' || kind === 'unlisten' || kind === 'savepoint',
    );
    if (adds && entries >= TRANSACTION_ENTRIES_MAX) {
      return tooManySavepoints(entries, TRANSACTION_ENTRIES_MAX);
    }
    const fresh = channels.unprepared(carried);
    const again = gate === 'closed' && mayCommit(effects) ? channels.pendingChannels : [];
    return [...new Set([...fresh, ...again])];
  }

  #wait(waits: readonly Promise<void>[]): void {
    this.#gate = 'waiting';
    void this.#waited(waits);
  }

  async #waited(waits: readonly Promise<void>[]): Promise<void> {
    const gate = await Promise.all(waits).then(
      () => 'open' as const,
      (error: unknown) => asRefusal(error),
    );
    // A cancel may have come first, or the end.
    if (this.#gate !== 'waiting') return;
    this.#gate = gate;
    this.#client.resumeInput();
  }

  // ---- as it is answered ----

  /** A portal is bound to something that is followed, or to something else under the same name. */
  bound(portal: string, admission: Completed | 'go'): void {
    if (admission === 'go') this.#portals?.delete(portal);
    else this.#portals = (this.#portals ?? new Map<string, Completed>()).set(portal, admission);
  }

  /** How to follow what an Execute of this portal runs. */
  followed(portal: string): Completed | undefined {
    return this.#portals?.get(portal);
  }

  get followsPortals(): boolean {
    return this.#portals !== undefined && this.#portals.size > 0;
  }
}

function follow(statements: readonly Statement[], channels: ClientChannels): Completed {
  let at = 0;
  return () => {
    const statement = statements[at];
    at += 1;
    if (statement === undefined) return undefined;
    channels.executed(statement);
    return statement.kind === 'listen' ? listenComplete : undefined;
  };
}

function channelsOf(effects: TextEffects): readonly string[] {
  return effects.statements.flatMap((statement) =>
    statement.kind === 'listen' ? [statement.channel] : [],
  );
}

function mayCommit({ statements, transactionAfter }: TextEffects): boolean {
  return transactionAfter === 'unknown' || statements.some(({ kind }) => kind === 'commit');
}

function isFollowed(statement: Statement): boolean {
  if (decides(statement)) return true;
  const { kind } = statement;
  if (kind === 'discard') return statement.what === 'all';
  return kind === 'listen' || kind === 'unlisten';
}

function asRefusal(error: unknown): AppError {
  const failure = asListenFailure(error);
  return failure instanceof AppError ? failure : listenerLost(failure);
}
