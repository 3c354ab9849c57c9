/** The read model of declared database servers. */
import type { ServerAddress, ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { ServerOrigin } from '../domain/server/events.ts';

export interface ServerView {
  readonly server: ServerConfig;
  /** Whose it is. */
  readonly origin: ServerOrigin;
  /** Version of the server's stream; its ETag. Rises by one with each event, over removals too. */
  readonly version: number;
  /** Position of the last event that changed it. */
  readonly position: Position;
  /** When it was declared (the last time, if it was removed in between). */
  readonly createdAt: string;
  readonly updatedAt: string;
}

export interface ServerReader {
  /** The server, whatever the case of `name`, or nothing when it is not declared. */
  get(name: string): ServerView | undefined;
  /** The one that is declared with this host, without regard to case, and port. */
  at(address: ServerAddress): ServerView | undefined;
  /** All of them, SERVERS_MAX at most, ordered by lower-case name. */
  list(): readonly ServerView[];
  count(): number;
}

export interface ServerModel extends ServerReader {
  put(view: ServerView): void;
  remove(name: string): void;
}
