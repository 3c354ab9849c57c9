/**
 * The rules and the fold of declared database servers. Pure. Leaves: whether fields are well formed
 * to the schemas, versions to commands/.
 */
import { isDeepStrictEqual } from 'node:util';
import { SERVERS_MAX } from '@dbbouncer/shared/contract/database-servers.ts';
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import { controlErrors } from '../../errors.ts';
import type { ServerCommand, SetServer } from './commands.ts';
import type { ServerEvent, ServerOrigin } from './events.ts';

/** Nothing stands for a server that is not declared. */
export type ServerState =
  { readonly server: ServerConfig; readonly origin: ServerOrigin } | undefined;

/** What a command has to get along with. */
export interface OtherServers {
  /** Declared, this one not counted. */
  readonly count: number;
  /** The one that has the address which is asked for. */
  readonly sameAddress: ServerConfig | undefined;
}

export function evolveServer(_state: ServerState, event: ServerEvent): ServerState {
  if (event.type === 'ServerRemoved') return undefined;
  const { server, origin } = event.data;
  return { server, origin };
}

/**
 * What `command` makes happen; nothing when it changes nothing.
 * @throws SERVER_NOT_FOUND, SERVER_ADDRESS_TAKEN, SERVERS_FULL
 */
export function decideServer(
  command: ServerCommand,
  state: ServerState,
  others: OtherServers,
): readonly ServerEvent[] {
  if (command.kind === 'set_server') return set(command, state, others);
  if (state === undefined) throw serverNotFound(command.name);
  return [{ type: 'ServerRemoved', data: returning(command) }];
}

function set(command: SetServer, state: ServerState, others: OtherServers): readonly ServerEvent[] {
  const server = { ...command.server, name: state?.server.name ?? command.server.name };
  const origin = command.origin ?? state?.origin ?? 'api';
  if (isDeepStrictEqual({ server, origin }, state)) return [];
  const { sameAddress, count } = others;
  if (sameAddress !== undefined) {
    throw controlErrors.fail(
      'SERVER_ADDRESS_TAKEN',
      `${server.host}:${server.port} is declared as server "${sameAddress.name}" already.`,
      { hint: 'One server has one cap: change that one, or remove it first.' },
    );
  }
  if (state === undefined && count >= SERVERS_MAX) {
    throw controlErrors.fail(
      'SERVERS_FULL',
      `${count} database servers are declared; at most ${SERVERS_MAX} may be.`,
    );
  }
  return [{ type: 'ServerSet', data: { server, origin, ...returning(command) } }];
}

export function serverNotFound(name: string): Error {
  return controlErrors.fail('SERVER_NOT_FOUND', `Server ${JSON.stringify(name)} is not declared.`);
}

function returning({ rolledBackTo }: ServerCommand) {
  return rolledBackTo === undefined ? {} : { rolledBackTo };
}
