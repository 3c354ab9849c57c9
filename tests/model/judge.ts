/**
 * Holds what a control plane and its bus have in the end against what the senders were told:
 * nothing acknowledged is missing, nothing happened twice, no position is left out.
 */
import assert from 'node:assert/strict';
import { lastEventIn } from '@dbbouncer/control-plane/publish/event-message.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { applyDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { deltasOn, EVENT_LOG, messagesOn } from '../control-plane/published.ts';
import type { LaneModel, TenantModel } from './lane-model.ts';
import type { Sender } from './sender.ts';

interface LoggedEvent {
  readonly position: number;
  readonly request_id: string;
  readonly hash: string;
}

const PAGE = 1_000;
const EVENTS_PAGE = 500;

/** What the API says, against the models. @returns the last position */
export async function judgeApi(
  models: readonly LaneModel[],
  senders: readonly Sender[],
): Promise<number> {
  const [sender] = senders;
  assert.ok(sender !== undefined);
  await judgeTenants(models, sender);
  const { defaults } = models.find((model) => model.defaults !== undefined) ?? {};
  const told = await sender.get('/defaults');
  assert.equal(told['version'], defaults?.version, 'the version of the defaults');
  if ((defaults?.version ?? 0) > 0) {
    assert.equal(told['max_connections'], defaults?.maxConnections, 'the defaults');
  }
  await judgeApiKeys(models, sender);
  return await judgeEvents(senders);
}

async function judgeTenants(models: readonly LaneModel[], sender: Sender): Promise<void> {
  const { tenants } = await sender.get(`/tenants?limit=${PAGE}`);
  const found = (tenants as readonly Record<string, unknown>[]).map((tenant) => ({
    id: tenant['id'],
    version: tenant['version'],
    state: tenant['state'],
    host: tenant['host'],
    port: tenant['port'],
    maxConnections: tenant['max_connections'],
    users: namesOf(tenant['users']),
  }));
  const expected = models
    .flatMap((model) => [...model.tenants])
    .filter(([, { present }]) => present)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, { version, state, settings }]) => ({ id, version, state, ...settings }));
  assert.deepEqual(found, expected);
}

function namesOf(users: unknown): readonly string[] {
  return ((users ?? []) as readonly { readonly name: string }[]).map(({ name }) => name);
}

async function judgeApiKeys(models: readonly LaneModel[], sender: Sender): Promise<void> {
  const listed = await sender.get(`/api-keys?limit=${PAGE}&include=revoked_too`);
  const keys = listed['api_keys'] as readonly Record<string, unknown>[];
  const known = new Map(keys.map((key) => [key['id'], key]));
  const expected = models.flatMap((model) => model.apiKeys);
  assert.equal(
    known.size,
    expected.length + 1,
    'those that were made, and the one of the settings',
  );
  for (const { id, name, state } of expected) {
    const key = known.get(id);
    assert.deepEqual([key?.['name'], key?.['revoked_at'] === null], [name, state === 'live'], id);
  }
}

/** Each position once; each command has made as many events as it should, and nothing else any. */
async function judgeEvents(senders: readonly Sender[]): Promise<number> {
  const events = await eventsOf(senders[0]);
  const positions = events.map(({ position }) => position);
  assert.deepEqual(
    positions,
    positions.map((_, index) => index + 1),
    'positions without gaps',
  );
  const made = new Map<string, number>();
  for (const { request_id: key } of events) made.set(key, (made.get(key) ?? 0) + 1);
  for (const sender of senders) {
    for (const [key, count] of sender.events) {
      assert.equal(made.get(key) ?? 0, count, `${key} happened exactly once`);
      made.delete(key);
    }
  }
  assert.deepEqual([...made], [], 'nothing happened that nobody asked for');
  return positions.length;
}

async function eventsOf(sender: Sender | undefined): Promise<readonly LoggedEvent[]> {
  assert.ok(sender !== undefined);
  const events: LoggedEvent[] = [];
  for (let cursor = ''; ;) {
    const page = await sender.get(`/events?order=asc&limit=${EVENTS_PAGE}${cursor}`);
    events.push(...(page['events'] as readonly LoggedEvent[]));
    if (typeof page['next_cursor'] !== 'string') return events;
    cursor = `&cursor=${encodeURIComponent(page['next_cursor'])}`;
  }
}

/** What proxies and other control planes are told: each position once, and it leads to the same. */
export async function judgeBus(
  models: readonly LaneModel[],
  bus: Bus,
  last: number,
): Promise<void> {
  const events = (await messagesOn(bus, EVENT_LOG)).map(lastEventIn);
  assert.deepEqual(
    events.map(({ position }) => position),
    Array.from({ length: last }, (_, index) => index + 1),
    'each event once on the bus',
  );
  let config: RoutingConfig = { ...EMPTY_CONFIG, epoch: 1 };
  for (const delta of await deltasOn(bus)) {
    // A mark, which says where a log begins, leads nowhere.
    if (delta.from === delta.to) continue;
    const next = applyDelta(config, delta);
    const way = `from ${delta.from} to ${delta.to}`;
    if (typeof next !== 'object') throw new Error(`the delta ${way} is a ${next}`);
    config = next;
  }
  assert.equal(config.position, last, 'the deltas lead to the last event');
  const tenants = new Map<string, TenantModel>(models.flatMap((model) => [...model.tenants]));
  const present = [...tenants].filter(([, tenant]) => tenant.present);
  assert.equal(config.tenants.size, present.length);
  for (const [id, { settings, state }] of present) {
    const told = config.tenants.get(id);
    const { host, port, pool, users, operations } = told ?? {};
    const maxConnections = pool?.maxConnections ?? null;
    const names = (users ?? []).map(({ name }) => name);
    const isPaused = operations?.state === 'paused';
    assert.deepEqual({ host, port, maxConnections, users: names }, settings, id);
    assert.equal(isPaused, state === 'paused', id);
  }
}
