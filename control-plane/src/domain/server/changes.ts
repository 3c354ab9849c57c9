/**
 * The commands that make the declared servers others, in an order in which each is allowed: two
 * servers may exchange their addresses, and no two ever have the same. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { addressKey, serverKey } from '@dbbouncer/shared/contract/database-servers.ts';
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import type { RemoveServer, ServerCommand, SetServer } from './commands.ts';

/** What one server is to become; nothing: it is to be removed. */
export interface WantedServer {
  readonly present: ServerConfig | undefined;
  readonly wanted: ServerConfig | undefined;
}

/** @param notes goes with each command. */
export function serverCommands(
  changes: readonly WantedServer[],
  notes: Pick<SetServer, 'rolledBackTo' | 'origin'> = {},
): readonly ServerCommand[] {
  const changed = changes.filter(({ present, wanted }) => !isDeepStrictEqual(present, wanted));
  const addresses = new Map(
    changed.flatMap(({ wanted }) =>
      wanted === undefined ? [] : [[addressKey(wanted), serverKey(wanted.name)] as const],
    ),
  );
  const isInTheWay = (present: ServerConfig): boolean => {
    const next = addresses.get(addressKey(present));
    return next !== undefined && next !== serverKey(present.name);
  };
  const { rolledBackTo, ...rest } = notes;
  const going = rolledBackTo === undefined ? {} : { rolledBackTo };
  const removals = changed.flatMap(({ present, wanted }): readonly RemoveServer[] => {
    if (present === undefined || (wanted !== undefined && !isInTheWay(present))) return [];
    return [{ kind: 'remove_server', name: present.name, ...going }];
  });
  const sets = changed.flatMap(({ wanted }): readonly SetServer[] =>
    wanted === undefined ? [] : [{ kind: 'set_server', server: wanted, ...rest, ...going }],
  );
  return [...removals, ...sets];
}
