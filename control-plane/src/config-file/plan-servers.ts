/**
 * What has to happen to declared servers because of what the config file says: a part of plan.ts,
 * with its rules, but for one: a server that the API has declared becomes the file's when the file
 * says something new of it, since a cap, like the defaults, is nobody's in particular. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { serverKey } from '@dbbouncer/shared/contract/database-servers.ts';
import { newServerConfig } from '@dbbouncer/shared/contract/server-resource.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { serverCommands } from '../domain/server/changes.ts';
import type { WantedServer } from '../domain/server/changes.ts';
import type { ServerCommand } from '../domain/server/commands.ts';
import type { ServerView } from '../store/servers.ts';
import type { LastWords } from './last-words.ts';

export interface ServerPlan {
  readonly commands: readonly ServerCommand[];
  /** Not as the file says, and stay so. */
  readonly kept: readonly string[];
}

/** @param scope `whole`: what was changed elsewhere is undone as well. */
export function planServers(
  { servers }: Pick<ConfigFile, 'servers'>,
  present: readonly ServerView[],
  lastWords: Pick<LastWords, 'onServer'>,
  scope: 'news' | 'whole',
): ServerPlan {
  const views = new Map(present.map((view) => [serverKey(view.server.name), view] as const));
  const changes: WantedServer[] = [];
  const kept: string[] = [];
  for (const [name, entry] of servers) {
    const view = views.get(serverKey(name));
    views.delete(serverKey(name));
    const wanted = newServerConfig(view?.server.name ?? name, entry);
    if (isDeepStrictEqual(wanted, view?.server)) continue;
    const said = scope === 'news' ? lastWords.onServer(name) : undefined;
    const saysNothingNew =
      said?.server !== undefined &&
      isDeepStrictEqual({ ...said.server, name: wanted.name }, wanted);
    if (saysNothingNew) kept.push(wanted.name);
    else changes.push({ present: view?.server, wanted });
  }
  for (const { server, origin } of views.values()) {
    if (origin === 'file') changes.push({ present: server, wanted: undefined });
  }
  return { commands: serverCommands(changes, { origin: 'file' }), kept };
}
