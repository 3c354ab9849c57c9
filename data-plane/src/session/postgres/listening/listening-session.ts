/**
 * A session as its channels see it: where it would listen now, when it takes notifications, how it
 * is told.
 */
import type { Socket } from 'node:net';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { ListenMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { TRANSACTION_IDLE } from '../../../wire/postgres/message-types.ts';
import type { TenantMeter } from '../../meter.ts';
import type { Session } from '../../session.ts';
import type { Acquisition } from '../acquisition.ts';
import type { ExclusiveLease } from '../exclusive-lease.ts';
import type { LazyBegin } from '../lazy-begin/lazy-begin.ts';
import type { LoggedIn } from '../services.ts';
import type { ClientSettings } from '../state/client-settings.ts';
import type { ChannelHub } from './channel-hub.ts';
import type { ListenRelayClient } from './listen-relay.ts';

/** What only the session knows. */
export interface ListeningHost extends Session {
  readonly lease: ExclusiveLease | undefined;
  lazy: LazyBegin | undefined;
  /** A message that was held may be sent, or cannot be. */
  resumeInput(): void;
}

export class ListeningSession implements ListenRelayClient {
  readonly #host: ListeningHost;
  readonly #socket: Socket;
  readonly #acquisition: Acquisition;
  readonly #login: LoggedIn;
  readonly #settings: ClientSettings;

  constructor(
    host: ListeningHost,
    socket: Socket,
    acquisition: Acquisition,
    login: LoggedIn,
    settings: ClientSettings,
  ) {
    this.#host = host;
    this.#socket = socket;
    this.#acquisition = acquisition;
    this.#login = login;
    this.#settings = settings;
  }

  get processId(): number {
    return this.#login.processId;
  }

  get meter(): TenantMeter {
    return this.#login.meter;
  }

  get listenMode(): ListenMode {
    const target = this.#acquisition.targetNow();
    if (target instanceof AppError) return 'shared';
    const { listen, maxConnections } = target.upstream.settings;
    // With another encoding than the listener the client would read other names and texts.
    const hasOwnEncoding = this.#settings.vector.values.has('client_encoding');
    return maxConnections === 1 || hasOwnEncoding ? 'pin' : listen;
  }

  hub(): ChannelHub | AppError {
    const target = this.#acquisition.targetNow();
    return target instanceof AppError ? target : target.hub;
  }

  get takesNotifications(): boolean {
    const { state } = this.#host;
    if (state === 'closed' || state === 'shared' || this.#socket.writableNeedDrain) return false;
    if (this.#host.lazy?.isUnderWay === true) return false;
    const { lease } = this.#host;
    if (lease === undefined) return true;
    const { backend, outstanding } = lease;
    const isIdle = outstanding.quiet && backend.transactionStatus === TRANSACTION_IDLE;
    return isIdle && backend.atBoundary;
  }

  notify(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  resumeInput(): void {
    this.#host.resumeInput();
  }

  endWhenIdle(error: AppError): void {
    this.#host.endWhenIdle(error);
  }

  kill(error: AppError): void {
    this.#host.kill(error);
  }
}
