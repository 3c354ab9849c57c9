/**
 * Reading the log as properties: whatever happened, the past reads as it was when it was present.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { TENANT_OPERATIONS } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import type { Command } from '../commands/commands.ts';
import { handleCommand } from '../commands/handle-command.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { controlErrors } from '../errors.ts';
import { projectViews } from '../projections/tenant-views.ts';
import { matches } from '../store/event-query.ts';
import type { EventSearch } from '../store/event-query.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventStore } from '../store/event-store.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import type { TenantView } from '../store/read-models.ts';
import { History } from './history.ts';
import type { ServerView } from '../store/servers.ts';
import type { DiffPage, HistoryEntry } from './history.ts';
import { diffDefaults, diffTenants } from './tenant-diff.ts';

const ids = fc.constantFrom('a', 'B', 'b', 'c').map((id) => id as TenantId);
const limit = fc.integer({ min: 1, max: 4 });
const port = fc.integer({ min: 1, max: 3 });
const tenant = fc.record({ id: ids, port }).map((fields) => sampleTenant(fields));

const commands: fc.Arbitrary<Command> = fc.oneof(
  tenant.map((t): Command => ({ kind: 'register_tenant', origin: 'api', tenant: t })),
  tenant.map((t): Command => ({ kind: 'replace_tenant', tenant: t })),
  fc
    .record({ id: ids, pool: fc.record({ maxConnections: fc.option(limit) }) })
    .map(({ id, ...changes }): Command => ({ kind: 'update_tenant', id, changes })),
  ids.map((id): Command => {
    const password = { kind: 'env', name: `SECRET_${id}` } as const;
    return { kind: 'update_tenant', id, changes: { password } };
  }),
  fc
    .record({ id: ids, operation: fc.constantFrom(...TENANT_OPERATIONS) })
    .map((fields): Command => ({ kind: 'operate_tenant', ...fields })),
  ids.map((id): Command => ({ kind: 'remove_tenant', id })),
  fc
    .record({ name: fc.constantFrom('s', 'T'), port, maxConnections: limit })
    .map((server): Command => ({ kind: 'set_server', server: { ...server, host: 'h' } })),
  fc.constantFrom('S', 't').map((name): Command => ({ kind: 'remove_server', name })),
  limit.map((maxConnections): Command => {
    return { kind: 'set_defaults', defaults: { ...DEFAULT_POOL_SETTINGS, maxConnections } };
  }),
);

const histories = fc.array(
  fc.record({
    command: commands,
    actor: fc.constantFrom('ann', 'bob'),
    requestId: fc.constantFrom('r1', 'r2', 'r3'),
    passMs: fc.constantFrom(0, 0, 1, 1_000),
  }),
  { minLength: 1, maxLength: 40 },
);
type Step = typeof histories extends fc.Arbitrary<(infer One)[]> ? One : never;

interface Present {
  readonly defaults: PoolSettings;
  readonly servers: readonly ServerView[];
  readonly tenants: readonly TenantView[];
}

/** A store after all of it, and what it held at each position on the way. */
function live(steps: readonly Step[]) {
  const clock = new ManualClock();
  const store = createMemoryEventStore({ clock, project: projectViews });
  const present = new Map<number, Present>([[0, presentOf(store)]]);
  for (const { command, actor, requestId, passMs } of steps) {
    clock.stall(passMs);
    try {
      handleCommand(store, command, { actor, requestId });
    } catch (error) {
      assert.ok(controlErrors.is(error), String(error));
    }
    present.set(store.head(), presentOf(store));
  }
  return { store, history: new History(store), present };
}

function presentOf(store: EventStore): Present {
  return {
    defaults: store.getDefaults().defaults,
    servers: store.servers.list(),
    tenants: store.listTenants({ limit: 100 }).tenants,
  };
}

function pick<One>(values: readonly One[], n: number): One {
  const value = values[n % values.length];
  assert.ok(value !== undefined);
  return value;
}

async function allOfConfig(history: History, position: number, limit: number): Promise<Present> {
  const tenants: TenantView[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await history.configAt(position, { after, limit });
    assert.ok(page.tenants.length <= limit);
    tenants.push(...page.tenants);
    after = page.next;
    const { defaults, servers } = page;
    if (after === undefined) return { defaults, servers, tenants };
  }
}

/** By key, from what to what. */
function settingsIn(differences: DiffPage['servers']) {
  const own = (view: ServerView | undefined) => view && [view.server, view.origin];
  return differences.map(({ before, after }) => [own(before), own(after)]);
}

function changedServers(before: Present, after: Present) {
  const own = ({ servers }: Present, key: string) => {
    const view = servers.find(({ server }) => server.name.toLowerCase() === key);
    return view && [view.server, view.origin];
  };
  return ['s', 't']
    .map((key) => [own(before, key), own(after, key)])
    .filter(([was, is]) => JSON.stringify(was) !== JSON.stringify(is));
}

describe('the past', () => {
  it('folds at any position to what the read models held there, in pages of any size', async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.nat(), limit, async (steps, n, size) => {
        const { history, present } = live(steps);
        const [position, expected] = pick([...present], n);
        assert.deepEqual(await allOfConfig(history, position, size), expected);
      }),
    );
  });

  it('differs between two positions by what is not the same at both, either way', async () => {
    await fc.assert(
      fc.asyncProperty(histories, fc.nat(), fc.nat(), limit, async (steps, n, m, size) => {
        const { history, present } = live(steps);
        const [from, before] = pick([...present], n);
        const [to, after] = pick([...present], m);
        const differences: DiffPage['tenants'][number][] = [];
        let next: string | undefined;
        do {
          const page = await history.difference(from, to, { after: next, limit: size });
          assert.deepEqual(page.defaults, diffDefaults(before.defaults, after.defaults));
          assert.deepEqual(settingsIn(page.servers), changedServers(before, after));
          differences.push(...page.tenants);
          ({ next } = page);
        } while (next !== undefined);
        const told = differences.map(({ changes }) => changes);
        assert.deepEqual(told, expectedDifferences(before, after));
      }),
    );
  });

  it('of a tenant leads from change to change to what it is, newest first', async () => {
    await fc.assert(
      fc.asyncProperty(histories, ids, limit, async (steps, id, size) => {
        const { store, history } = live(steps);
        const entries: HistoryEntry[] = [];
        let before: number | undefined;
        for (;;) {
          const page = await history.ofTenant(id, { before, limit: size });
          if (page === undefined) return assert.equal(store.streamVersion(streamOf(id)), 0);
          entries.push(...page.entries);
          before = page.next;
          if (before === undefined) break;
        }
        const events = entries.map(({ event }) => event).toReversed();
        assert.deepEqual(events, [...store.readStream(streamOf(id))]);
        const fields = new Map<string, unknown>();
        for (const { field, from, to } of entries.toReversed().flatMap((entry) => entry.changes)) {
          assert.deepEqual(fields.get(field) ?? null, from, field);
          fields.set(field, to);
        }
        for (const { field, to } of diffTenants(undefined, store.getTenant(id))) {
          assert.deepEqual(fields.get(field), to, field);
        }
      }),
    );
  });
});

const streamOf = (id: string) => `tenant/${id.toLowerCase()}`;

function expectedDifferences(before: Present, after: Present) {
  const byKey = ({ tenants }: Present) =>
    new Map(tenants.map((view) => [view.config.id.toLowerCase(), view]));
  const [was, is] = [byKey(before), byKey(after)];
  const keys = [...new Set([...was.keys(), ...is.keys()])].sort();
  return keys
    .map((key) => diffTenants(was.get(key), is.get(key)))
    .filter((changes) => changes.length > 0);
}

describe('a search of the log', () => {
  const times = fc.constantFrom('2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z');
  const filters = fc.record(
    {
      stream: ids.map(streamOf),
      types: fc.subarray(['TenantRegistered', 'TenantUpdated', 'TenantRemoved']),
      actor: fc.constantFrom('ann', 'bob'),
      requestId: fc.constantFrom('r1', 'r2'),
      since: times,
      until: times,
      after: fc.nat({ max: 9 }),
      before: fc.nat({ max: 30 }),
    },
    { requiredKeys: [] },
  );
  const orders = fc.constantFrom('asc' as const, 'desc' as const);

  it('finds in pages of any size what a look at every event finds', async () => {
    await fc.assert(
      fc.asyncProperty(histories, filters, orders, limit, async (steps, filter, order, size) => {
        const { store, history } = live(steps);
        const { after = 0, before = store.head() + 1 } = filter;
        const expected = [...store.readAll(0)].filter(
          (event) => event.position > after && event.position < before && matches(event, filter),
        );
        const found = await allFound(history, { ...filter, order, after, before, limit: size });
        assert.deepEqual(found, order === 'asc' ? expected : expected.toReversed());
      }),
    );
  });

  it('ends at the last full page', async () => {
    const { history } = live([
      { command: register('a'), actor: 'ann', requestId: 'r1', passMs: 0 },
      { command: register('b'), actor: 'ann', requestId: 'r1', passMs: 0 },
    ]);
    const page = await history.find({ order: 'asc', after: 0, before: 3, limit: 2 });
    assert.equal(page.next, undefined);
  });
});

function register(id: string): Command {
  return { kind: 'register_tenant', origin: 'api', tenant: sampleTenant({ id: id as TenantId }) };
}

async function allFound(history: History, search: EventSearch): Promise<StoredEvent[]> {
  const found: StoredEvent[] = [];
  let { after, before } = search;
  for (;;) {
    const page = await history.find({ ...search, after, before });
    found.push(...page.events);
    if (page.next === undefined) return found;
    if (search.order === 'asc') after = page.next;
    else before = page.next;
  }
}
