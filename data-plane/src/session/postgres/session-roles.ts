/** Whom a session is to those that do a part of its work. */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Session, WorkOfKilled } from '../session.ts';
import type { Acquirer } from './acquisition.ts';
import type { FramesHost } from './client-frames.ts';
import type { SocketOwner } from './client-socket.ts';
import type { LeaseOwner } from './exclusive-lease.ts';
import type { ListeningHost } from './listening/listening-session.ts';
import type { TurnHost } from './shared/shared-turn.ts';
import type { Settler } from './state/settling.ts';

export interface SessionRoles
  extends Session, SocketOwner, FramesHost, LeaseOwner, Acquirer, Settler, ListeningHost, TurnHost {
  kill(error: AppError, work?: WorkOfKilled): void;
}
