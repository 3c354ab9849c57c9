/**
 * The routing projection: what proxies must know after each event, nothing of API keys. Pure, but
 * for reading the store it is given. The same fold makes the config of any position, the delta
 * between two, and the snapshot.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ConfigChange, ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { applyDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { serverKey, withServers } from '@dbbouncer/shared/contract/database-servers.ts';
import type { DeclaredServers, ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import { EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { PackedMap } from '@dbbouncer/shared/kernel/packed-map.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { evolveDefaults, INITIAL_DEFAULTS } from '../domain/defaults/decide.ts';
import { DEFAULTS_STREAM } from '../domain/defaults/events.ts';
import {
  decodeEvent,
  isDefaultsEvent,
  isServerEvent,
  isTenantEvent,
} from '../domain/domain-event.ts';
import { evolveServer } from '../domain/server/decide.ts';
import { serverKeyOfStream } from '../domain/server/events.ts';
import { tenantKeyOfStream } from '../domain/tenant/events.ts';
import { evolveConfig } from '../domain/tenant/state.ts';
import { defaultsAt, serverAt } from './past.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventStore } from '../store/event-store.ts';

/** The config before the first event. */
export function initialConfig(epoch: number): RoutingConfig {
  return { ...EMPTY_CONFIG, epoch, defaults: INITIAL_DEFAULTS };
}

/** What this fold needs of an event. */
export type FoldedEvent = Pick<StoredEvent, 'position' | 'stream' | 'type' | 'data' | 'epoch'>;

/** The config after `events`, which must follow it without a gap. */
export function foldRouting(config: RoutingConfig, events: Iterable<FoldedEvent>): RoutingConfig {
  // By stream, which is at hand: a long log asks for one of them a million times.
  const touched = new Map<string, TenantConfig | undefined>();
  const servers = new Map<string, ServerConfig | undefined>();
  let { position, epoch, defaults } = config;
  for (const stored of events) {
    assert(stored.position === position + 1, 'the routing fold sees every event, in order');
    ({ position } = stored);
    epoch = Math.max(epoch, stored.epoch);
    const event = decodeEvent(stored);
    if (isDefaultsEvent(event)) {
      defaults = evolveDefaults(defaults, event);
    } else if (isServerEvent(event)) {
      const next = evolveServer(undefined, event);
      servers.set(serverKeyOf(stored.stream), next?.server);
    } else if (isTenantEvent(event)) {
      const { stream } = stored;
      let tenant = touched.get(stream);
      if (tenant === undefined && !touched.has(stream)) tenant = config.tenants.get(keyOf(stream));
      touched.set(stream, evolveConfig(tenant, event));
    }
  }
  const changed = Array.from(touched, ([stream, tenant]) => [keyOf(stream), tenant] as const);
  return {
    epoch,
    position,
    defaults,
    servers: withServers(config.servers, [...servers]),
    tenants: config.tenants.with(changed),
  };
}

function serverKeyOf(stream: string): string {
  const key = serverKeyOfStream(stream);
  assert(key !== undefined, 'an event of a server is in the stream of a server');
  return key;
}

function keyOf(stream: string): string {
  const key = tenantKeyOfStream(stream);
  assert(key !== undefined, 'a tenant event is in the stream of a tenant');
  return key;
}

/** The delta that turns `before` into `after`, the config some events later. */
export function changesFor(before: RoutingConfig, after: RoutingConfig): ConfigDelta {
  const changes: ConfigChange[] = [];
  if (!isDeepStrictEqual(before.defaults, after.defaults)) {
    changes.push({ kind: 'defaults_set', defaults: after.defaults });
  }
  changes.push(...serverChanges(before.servers, after.servers));
  for (const key of after.tenants.changedKeys(before.tenants)) {
    const was = before.tenants.get(key);
    const is = after.tenants.get(key);
    if (is !== undefined) changes.push({ kind: 'tenant_set', tenant: is });
    else if (was !== undefined) changes.push({ kind: 'tenant_removed', id: was.id });
  }
  return { epoch: after.epoch, from: before.position, to: after.position, changes };
}

function* serverChanges(before: DeclaredServers, after: DeclaredServers): Iterable<ConfigChange> {
  if (before === after) return;
  for (const [key, { name }] of before) {
    if (!after.has(key)) yield { kind: 'server_removed', name };
  }
  for (const [key, server] of after) {
    if (!isDeepStrictEqual(before.get(key), server)) yield { kind: 'server_set', server };
  }
}

/**
 * Holds a delta, as a proxy will read it, against the config it must lead to.
 * @throws InvariantViolation when a proxy at `before` would not end at `after`.
 */
export function assertRebuilds(
  before: RoutingConfig,
  delta: ConfigDelta,
  after: RoutingConfig,
): void {
  const rebuilt = applyDelta(before, delta);
  assert(typeof rebuilt === 'object', 'a proxy takes the delta');
  const { tenants, ...rest } = rebuilt;
  const { tenants: expected, ...expectedRest } = after;
  assert(
    isDeepStrictEqual(rest, expectedRest),
    'the delta leads to the position, defaults and servers',
  );
  for (const key of tenants.changedKeys(expected)) {
    const same = isDeepStrictEqual(tenants.get(key), expected.get(key));
    assert(same, `the delta leads to tenant "${key}" as it is`);
  }
}

const PAGE_TENANTS = 1_000;

/** The config at the last event, from the read models: 100,000 tenants take well under a second. */
export function loadRouting(store: EventStore): RoutingConfig {
  const { defaults } = store.getDefaults();
  const tenants: [string, TenantConfig][] = [];
  let after: string | undefined;
  do {
    const page = store.listTenants({ after, limit: PAGE_TENANTS });
    for (const { config } of page.tenants) tenants.push([tenantKey(config.id), config]);
    after = page.next;
  } while (after !== undefined);
  const position = store.head();
  const servers = declaredIn(store);
  return { epoch: store.epoch, position, defaults, servers, tenants: PackedMap.from(tenants) };
}

/** The servers that are declared now. */
export function declaredIn({ servers }: Pick<EventStore, 'servers'>): DeclaredServers {
  const entries = servers.list().map(({ server }) => [serverKey(server.name), server] as const);
  return new Map(entries);
}

/** The config at an earlier position: folds only the streams that changed since then. */
export function rewindRouting(
  store: EventStore,
  config: RoutingConfig,
  position: Position,
): RoutingConfig {
  assert(position <= config.position, 'rewinding goes back');
  const streams = new Set<string>();
  for (const event of store.readAll(position, config.position - position)) {
    streams.add(event.stream);
  }
  let { defaults } = config;
  const tenants: [string, TenantConfig | undefined][] = [];
  const servers: [string, ServerConfig | undefined][] = [];
  for (const stream of streams) {
    const key = tenantKeyOfStream(stream);
    const server = serverKeyOfStream(stream);
    if (key !== undefined) tenants.push([key, tenantAt(store, stream, position)]);
    else if (server !== undefined) servers.push([server, serverAt(store, server, position)]);
    else if (stream === DEFAULTS_STREAM) defaults = defaultsAt(store, position);
  }
  return {
    epoch: config.epoch,
    position,
    defaults,
    servers: withServers(config.servers, servers),
    tenants: config.tenants.with(tenants),
  };
}

function tenantAt(store: EventStore, stream: string, position: Position): TenantConfig | undefined {
  let tenant: TenantConfig | undefined;
  for (const stored of store.readStream(stream)) {
    if (stored.position > position) break;
    const event = decodeEvent(stored);
    if (isTenantEvent(event)) tenant = evolveConfig(tenant, event);
  }
  return tenant;
}
