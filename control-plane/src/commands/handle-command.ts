/**
 * One command from start to end: load → decide → append at the version that was loaded. It runs
 * inside one transaction of a synchronous store with one writer, so what was loaded cannot change
 * before the append; only the sender's own expectation (If-Match) can fail.
 */
import { assert, unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { apiKeyIdOf } from '../domain/api-key/commands.ts';
import type { ApiKeyCommand } from '../domain/api-key/commands.ts';
import { decideApiKey } from '../domain/api-key/decide.ts';
import { apiKeyStream } from '../domain/api-key/events.ts';
import { decideDefaults } from '../domain/defaults/decide.ts';
import type { SetDefaults } from '../domain/defaults/commands.ts';
import { DEFAULTS_STREAM } from '../domain/defaults/events.ts';
import type { DomainEvent } from '../domain/domain-event.ts';
import { serverNameOf } from '../domain/server/commands.ts';
import type { ServerCommand } from '../domain/server/commands.ts';
import type { OtherServers } from '../domain/server/decide.ts';
import { decideServer } from '../domain/server/decide.ts';
import { serverStream } from '../domain/server/events.ts';
import { tenantIdOf } from '../domain/tenant/commands.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import { decideTenant } from '../domain/tenant/decide.ts';
import { tenantStream } from '../domain/tenant/events.ts';
import { controlErrors } from '../errors.ts';
import { keyStateOf } from '../projections/api-key-views.ts';
import { stateOf } from '../projections/tenant-views.ts';
import type { ApiKeyView } from '../store/api-keys.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventStore } from '../store/event-store.ts';
import type { ServerView } from '../store/servers.ts';
import type {
  AnyResult,
  ApiKeyResult,
  Command,
  CommandMeta,
  DefaultsResult,
  ServerResult,
  TenantResult,
} from './commands.ts';

/** @throws as `Commands.handle` */
export function handleCommand(store: EventStore, command: Command, meta: CommandMeta): AnyResult {
  switch (command.kind) {
    case 'set_defaults':
      return handleDefaults(store, command, meta);
    case 'set_server':
    case 'remove_server':
      return handleServer(store, command, meta);
    case 'create_api_key':
    case 'update_api_key':
    case 'revoke_api_key':
      return handleApiKey(store, command, meta);
    case 'register_tenant':
    case 'replace_tenant':
    case 'update_tenant':
    case 'operate_tenant':
    case 'remove_tenant':
    case 'adopt_tenant':
    case 'roll_back_tenant':
    case 'restore_tenant':
    case 'start_canary':
    case 'promote_canary':
    case 'roll_back_canary':
      return handleTenant(store, command, meta);
    default:
      return unreachable(command);
  }
}

function handleTenant(store: EventStore, command: TenantCommand, meta: CommandMeta): TenantResult {
  const id = tenantIdOf(command);
  const stream = tenantStream(id);
  // The view holds the folded state; a stream without one is at the version its removal left.
  const before = store.getTenant(id);
  const loaded = { version: before?.version ?? store.streamVersion(stream), position: 0 };
  if (before !== undefined || command.kind === 'restore_tenant') {
    requireExpected(`Tenant "${before?.config.id ?? id}" is`, loaded.version, meta);
  }
  const { defaults } = store.getDefaults();
  const decided = decideTenant(command, stateOf(before), defaults, meta.whileCanary);
  const events = append(store, stream, loaded.version, decided, meta);
  return { ...latest(events, before ?? loaded), view: store.getTenant(id), events };
}

function handleDefaults(
  store: EventStore,
  command: SetDefaults,
  meta: CommandMeta,
): DefaultsResult {
  const before = store.getDefaults();
  requireExpected('The defaults are', before.version, meta);
  const contradicted = store.findContradicted(command.defaults)?.config;
  const decided = decideDefaults(command, before.defaults, contradicted);
  const events = append(store, DEFAULTS_STREAM, before.version, decided, meta);
  return { ...latest(events, before), view: store.getDefaults(), events };
}

function handleServer(store: EventStore, command: ServerCommand, meta: CommandMeta): ServerResult {
  const { servers } = store;
  const name = serverNameOf(command);
  const stream = serverStream(name);
  const before = servers.get(name);
  const loaded = before ?? { version: store.streamVersion(stream), position: 0 };
  if (before !== undefined) {
    requireExpected(`Server "${before.server.name}" is`, before.version, meta);
  }
  const state = before && { server: before.server, origin: before.origin };
  const decided = decideServer(command, state, othersThan(store, command, before));
  const events = append(store, stream, loaded.version, decided, meta);
  return { ...latest(events, loaded), view: servers.get(name), events };
}

function othersThan(
  { servers }: EventStore,
  command: ServerCommand,
  before: ServerView | undefined,
): OtherServers {
  const there = command.kind === 'set_server' ? servers.at(command.server) : undefined;
  return {
    count: servers.count() - (before === undefined ? 0 : 1),
    sameAddress: there?.server.name === before?.server.name ? undefined : there?.server,
  };
}

function handleApiKey(store: EventStore, command: ApiKeyCommand, meta: CommandMeta): ApiKeyResult {
  const id = apiKeyIdOf(command);
  const before = store.apiKeys.get(id);
  if (before !== undefined) {
    requireExpected(`API key "${before.key.name}" is`, before.version, meta);
  }
  const decided = decideApiKey(command, keyStateOf(before), othersOf(store, command, before));
  const loaded = before ?? { version: 0, position: 0 };
  const events = append(store, apiKeyStream(id), loaded.version, decided, meta);
  const view = store.apiKeys.get(id);
  assert(view !== undefined, 'what was decided about a key leaves one');
  return { ...latest(events, loaded), view, events };
}

function othersOf(store: EventStore, command: ApiKeyCommand, before: ApiKeyView | undefined) {
  if (command.kind === 'create_api_key') return store.apiKeys.countOthers(command.key);
  const name = command.kind === 'update_api_key' ? command.changes.name : undefined;
  const { key } = before ?? { key: { id: command.id, name: '', prefix: '' } };
  return store.apiKeys.countOthers({ ...key, name: name ?? key.name });
}

function append(
  store: EventStore,
  stream: string,
  version: number,
  events: readonly DomainEvent[],
  meta: CommandMeta,
): readonly StoredEvent[] {
  if (events.length === 0) return [];
  const expectedVersion = version === 0 ? 'no-stream' : version;
  return store.append({ stream, expectedVersion, events, meta });
}

interface StreamPlace {
  readonly version: number;
  readonly position: Position;
}

function latest(events: readonly StoredEvent[], before: StreamPlace): StreamPlace {
  const last = events.at(-1);
  return last === undefined
    ? { version: before.version, position: before.position }
    : { version: last.streamVersion, position: last.position };
}

function requireExpected(what: string, version: number, meta: CommandMeta): void {
  if (meta.expectedVersion === undefined || meta.expectedVersion === version) return;
  throw controlErrors.fail(
    'VERSION_CONFLICT',
    `${what} at version ${version}, not at ${meta.expectedVersion}.`,
    { hint: 'Read it again, look at what changed, and repeat the request with the new version.' },
  );
}
