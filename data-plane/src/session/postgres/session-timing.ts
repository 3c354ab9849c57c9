/**
 * A PostgreSQL session as its times are taken: whose turn it is, and what becomes of it when a
 * limit is met.
 * Leaves: measuring to time-limits.ts.
 * Source: PostgreSQL manual, "idle_in_transaction_session_timeout" and its neighbours, whose
 * SQLSTATEs clients know.
 */
import type { Socket } from 'node:net';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { proxyErrors } from '../../errors.ts';
import type { ProxyErrorCode } from '../../errors.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { TRANSACTION_IDLE } from '../../wire/postgres/backend-messages.ts';
import type { SessionState, WorkOfKilled } from '../session.ts';
import { Stopwatch } from '../time-limits.ts';
import type { Activity, Timed, TimeLimit } from '../time-limits.ts';
import type { ClientInput } from './client-input.ts';
import type { ExclusiveLease } from './exclusive-lease.ts';
import type { LazyBegin } from './lazy-begin/lazy-begin.ts';
import type { ListenRelay } from './listening/listen-relay.ts';
import type { LoggedIn } from './services.ts';

/** The session whose times are taken. */
export interface TimedSession {
  readonly state: SessionState;
  readonly login: LoggedIn;
  readonly lease: ExclusiveLease | undefined;
  /** Batches that it has had run on the shared lane. */
  readonly sharedTurns: number;
  readonly lazy: LazyBegin | undefined;
  /** Cancels the statement under way; the client reads `error` for it, and goes on. */
  cancel(error: AppError): void;
  kill(error: AppError, work: WorkOfKilled): void;
}

export class SessionTiming implements Timed {
  readonly stopwatch = new Stopwatch();
  readonly #session: TimedSession;
  readonly #socket: Socket;
  readonly #input: ClientInput;
  readonly #listening: ListenRelay;

  constructor(session: TimedSession, socket: Socket, input: ClientInput, listening: ListenRelay) {
    this.#session = session;
    this.#socket = socket;
    this.#input = input;
    this.#listening = listening;
  }

  get activity(): Activity {
    const { state, lease } = this.#session;
    const { awaits } = this.#listening;
    if (state === 'shared') return 'query';
    if (state === 'begun' || state === 'failed') return 'idle_in_transaction';
    if (state !== 'idle' && state !== 'leased' && state !== 'skipping') return 'untimed';
    if (awaits === 'listener') return 'untimed';
    // Who waits for notifications does what it is there for, and holds no server connection.
    if (lease === undefined) return awaits === 'notifications' ? 'untimed' : 'idle';
    if (isServersTurn(lease)) return 'query';
    // What the client has sent since is held until the cancel has met its aim.
    if (lease.cancelling) return 'untimed';
    const isBetween = lease.outstanding.quiet && this.#input.atBoundary;
    const { transactionStatus } = lease.backend;
    return isBetween && transactionStatus === TRANSACTION_IDLE ? 'idle' : 'idle_in_transaction';
  }

  get turnMark(): number {
    const { lease, state, sharedTurns } = this.#session;
    if (state === 'shared') return -sharedTurns;
    const isServers = lease !== undefined && isServersTurn(lease);
    return isServers ? lease.backend.readyMark : this.#socket.bytesRead;
  }

  get transactionMark(): number {
    const { lease, lazy, state, sharedTurns } = this.#session;
    // Below all marks of leases.
    if (state === 'shared') return -sharedTurns;
    return lazy?.transactionMark(lease) ?? lease?.backend.transactionMark ?? 0;
  }

  get deliveryMark(): number | undefined {
    const socket = this.#socket;
    return socket.writableNeedDrain ? socket.bytesWritten - socket.writableLength : undefined;
  }

  expired(limit: TimeLimit, limitMs: number): void {
    const { tenant, meter } = this.#session.login;
    meter.timeLimitMet(limit);
    const { code, words, setting, hint } = WORDS[limit];
    const message = `${words}: ${setting} of tenant "${tenant}" is ${limitMs} ms`;
    const error = proxyErrors.fail(code, message, { hint });
    switch (limit) {
      case 'query':
        return this.#session.cancel(error);
      case 'cancel_wait':
        return this.#session.kill(error, 'close');
      case 'client_idle':
      case 'idle_in_transaction':
      case 'transaction':
      case 'slow_client':
        return this.#session.kill(error, 'cancel');
      default:
        return unreachable(limit);
    }
  }
}

/** In COPY FROM STDIN the server waits for the client, unless it does not take what has come. */
function isServersTurn({ outstanding, backend }: ExclusiveLease): boolean {
  if (outstanding.length === 0) return false;
  return !outstanding.inCopyIn || backend.socket.writableNeedDrain;
}

interface Words {
  readonly code: ProxyErrorCode;
  readonly words: string;
  readonly setting: string;
  readonly hint: string;
}

const ROLLED_BACK = 'The transaction was rolled back. Connect again.';

const WORDS: Readonly<Record<TimeLimit, Words>> = Object.freeze({
  client_idle: {
    code: 'CLIENT_IDLE_TIMEOUT',
    words: 'terminating connection due to idle-session timeout',
    setting: 'client_idle_timeout',
    hint: 'No transaction was under way. Connect again.',
  },
  idle_in_transaction: {
    code: 'IDLE_IN_TRANSACTION_TIMEOUT',
    words: 'terminating connection due to idle-in-transaction timeout',
    setting: 'idle_in_transaction_timeout',
    hint: ROLLED_BACK,
  },
  transaction: {
    code: 'TRANSACTION_TIMEOUT',
    words: 'terminating connection due to transaction timeout',
    setting: 'transaction_timeout',
    hint: ROLLED_BACK,
  },
  query: {
    code: 'QUERY_TIMEOUT',
    words: 'canceling statement due to statement timeout',
    setting: 'query_timeout',
    hint: 'Make the statement faster, or raise query_timeout of the tenant.',
  },
  cancel_wait: {
    code: 'QUERY_TIMEOUT',
    words: 'terminating connection: a statement cancelled for its time did not end',
    setting: 'cancel_wait_timeout',
    hint: 'The outcome of the statement is not known; connect again.',
  },
  slow_client: {
    code: 'SLOW_CLIENT',
    words: 'terminating connection: the client takes nothing of what it has asked for',
    setting: 'slow_client_timeout',
    hint: 'Read results as they come, or ask for them in portions.',
  },
});
