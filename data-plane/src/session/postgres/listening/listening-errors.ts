/** What a client reads that cannot listen, or cannot go on listening. */
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { proxyErrors } from '../../../errors.ts';
import { ServerError } from '../../../upstream/conversation.ts';
import { CHANNELS_PER_CLIENT_MAX, CHANNELS_PER_LISTENER_MAX } from './limits.ts';
import { PoolMoved } from './listener-lease.ts';
import type { NotificationQueue } from './notification-queue.ts';

const READ_AGAIN = 'Connect again, LISTEN again, and read what notifications would have told.';

export function listenerLost(reason: Error): AppError {
  const message = `the server connection on which notifications are heard ended: ${reason.message}`;
  return proxyErrors.fail('LISTENER_LOST', message, {
    detail: 'notifications sent from now on would not reach this client',
    hint: READ_AGAIN,
  });
}

export function tooManyOfClient(count: number): AppError {
  const message = `a client cannot listen on ${count} channels`;
  return proxyErrors.fail('LISTEN_LIMIT', `${message}; ${CHANNELS_PER_CLIENT_MAX} is the limit`, {
    hint: 'UNLISTEN what is not needed, or tell kinds of news apart by the payload.',
  });
}

export function tooManyOnListener(tenant: string, count: number): AppError {
  const message = `the clients of tenant "${tenant}" would listen on ${count} channels`;
  return proxyErrors.fail('LISTEN_LIMIT', `${message}; ${CHANNELS_PER_LISTENER_MAX} is the limit`, {
    hint: 'UNLISTEN what is not needed, or tell kinds of news apart by the payload.',
  });
}

export function tooManySavepoints(count: number, max: number): AppError {
  const message = `a transaction with LISTEN has ${count} savepoints and channels`;
  return proxyErrors.fail('LISTEN_LIMIT', `${message}; ${max} is the limit`);
}

export function noRoomForListener(tenant: string): AppError {
  const message = `max_connections of tenant "${tenant}" leaves no room for a listener`;
  return proxyErrors.fail('LISTEN_LIMIT', message, {
    detail:
      'each database on which clients listen takes one server connection, clients need another',
    hint: 'Raise max_connections, or set "listen" to "pin".',
  });
}

export function backlogFull({ messages, bytes, limits }: NotificationQueue): AppError {
  const message = `${messages} notifications (${bytes} bytes) wait for this client`;
  const limit = `${limits.messagesMax} notifications or ${limits.bytesMax} bytes are the limit`;
  return proxyErrors.fail('NOTIFICATION_BACKLOG', `${message}; ${limit}`, {
    hint: 'Read notifications sooner, and keep transactions of listening connections short.',
  });
}

/** Why a LISTEN failed, as the client may read it; PoolMoved stays what it is. */
export function asListenFailure(error: unknown): AppError | PoolMoved {
  if (error instanceof AppError || error instanceof PoolMoved) return error;
  if (!(error instanceof ServerError)) {
    return listenerLost(error instanceof Error ? error : new Error(String(error)));
  }
  const { code, message, detail, hint } = error.fields;
  return proxyErrors.fail('LISTEN_REFUSED', message, {
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
    context: { sqlState: code },
  });
}
