/** What an operator can ask of a declared database server. */
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { ServerOrigin } from './events.ts';

/** Declares it, or makes a declared one exactly this. */
export interface SetServer {
  readonly kind: 'set_server';
  readonly server: ServerConfig;
  /** Whose it is from now on; without it, whose it was, or the API's. */
  readonly origin?: ServerOrigin | undefined;
  /** Where in the log it was so before, when that is why. */
  readonly rolledBackTo?: Position | undefined;
}

/** Its tenants share no cap any more; they themselves stay as they are. */
export interface RemoveServer {
  readonly kind: 'remove_server';
  readonly name: string;
  readonly rolledBackTo?: Position | undefined;
}

export type ServerCommand = SetServer | RemoveServer;

export function isServerCommand(command: { readonly kind: string }): command is ServerCommand {
  return command.kind === 'set_server' || command.kind === 'remove_server';
}

/** The name a command is about, as its sender wrote it. */
export function serverNameOf(command: ServerCommand): string {
  return command.kind === 'set_server' ? command.server.name : command.name;
}
