/**
 * What every event store must do, as one suite run against each adapter.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ManualClock } from '../../../tests/support/manual-clock.ts';
import type { DomainEvent } from '../domain/domain-event.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { apiKeys } from './api-keys.contract.ts';
import type { StoredEvent } from './event.ts';
import { declaredServers } from './servers.contract.ts';
import type { EventStore, ExpectedVersion } from './event-store.ts';
import { GENESIS_HASH, hashEvent, verifyChain } from './hash-chain.ts';
import { EVENT_BYTES_MAX } from './prepare-event.ts';
import type { TenantQuery } from './read-models.ts';

export interface OpenedStore {
  readonly store: EventStore;
  /** The one it stamps events with. */
  readonly clock: ManualClock;
  /** Closes the store and leaves nothing behind. */
  dispose(): void;
}

const meta = { actor: 'tester', reason: 'because', requestId: 'request-1' };

export function registered(id = 'acme', fields: Parameters<typeof sampleTenant>[0] = {}) {
  const tenant = sampleTenant({ ...fields, id: id as TenantId });
  return { type: 'TenantRegistered', data: { tenant, origin: 'api' } } satisfies DomainEvent;
}

export const moved = (port: number) =>
  ({ type: 'TenantUpdated', data: { changes: { port } } }) satisfies DomainEvent;
export const removed = { type: 'TenantRemoved', data: {} } satisfies DomainEvent;

/** The store of the test that runs; a new one for each. */
let store: EventStore;

function append(
  stream: string,
  events: readonly DomainEvent[],
  expectedVersion: ExpectedVersion = 'any',
): readonly StoredEvent[] {
  return store.append({ stream, events, expectedVersion, meta });
}

function register(id: string, fields: Parameters<typeof sampleTenant>[0] = {}): void {
  append(`tenant/${id.toLowerCase()}`, [registered(id, fields)]);
}

export function eventStoreContract(name: string, open: () => OpenedStore): void {
  describe(`event store: ${name}`, () => {
    let opened: OpenedStore;
    beforeEach(() => {
      opened = open();
      ({ store } = opened);
    });
    afterEach(() => opened.dispose());

    describe('appending', appending);
    describe('expected version', expectedVersions);
    describe('atomicity', atomicity);
    describe('reading', reading);
    describe('subscribing', subscribing);
    describe('view of a tenant', tenantViews);
    describe('list of tenants', tenantList);
    describe('read models', readModels);
    describe('API keys', () => apiKeys(() => store));
    describe('declared servers', () => declaredServers(() => store));
    describe('life', life);
  });
}

function appending(): void {
  it('numbers events from 1, through the log and through each stream', () => {
    append('tenant/a', [registered('a'), moved(1)]);
    append('tenant/b', [registered('b')]);
    append('tenant/a', [moved(2)]);
    assert.deepEqual(
      [...store.readAll(0)].map((e) => [e.position, e.stream, e.streamVersion]),
      [
        [1, 'tenant/a', 1],
        [2, 'tenant/a', 2],
        [3, 'tenant/b', 1],
        [4, 'tenant/a', 3],
      ],
    );
    assert.equal(store.head(), 4);
    assert.equal(store.streamVersion('tenant/a'), 3);
    assert.equal(store.streamVersion('tenant/c'), 0);
  });

  it('stores who, why, when and on what request, and returns what it stored', () => {
    const [returned] = append('tenant/a', [registered('a')]);
    const [stored] = store.readAll(0);
    assert.deepEqual(stored, returned);
    assert.equal(stored?.actor, 'tester');
    assert.equal(stored.reason, 'because');
    assert.equal(stored.requestId, 'request-1');
    assert.equal(stored.occurredAt, '2026-01-01T00:00:00.000Z');
    assert.equal(stored.epoch, store.epoch);
    assert.deepEqual(stored.data, JSON.parse(JSON.stringify(registered('a').data)));
  });

  it('stores null where no reason is given', () => {
    const quiet = { actor: 'tester', requestId: 'r' };
    const [event] = store.append({
      stream: 'tenant/a',
      events: [registered('a')],
      expectedVersion: 'any',
      meta: quiet,
    });
    assert.equal(event?.reason, null);
  });

  it('chains each event to the one before it', () => {
    const [first, second] = append('tenant/a', [registered('a'), moved(1)]);
    assert.ok(first !== undefined && second !== undefined);
    assert.equal(first.prevHash, GENESIS_HASH);
    assert.equal(second.prevHash, first.hash);
    assert.equal(second.hash, hashEvent(second));
    assert.deepEqual(verifyChain(store), { status: 'clean', position: 2, hash: second.hash });
  });

  it('refuses an event that has not the shape of its type', () => {
    const broken = { type: 'TenantUpdated', data: { changes: { port: 'x' } } };
    assert.throws(() => append('tenant/a', [broken as unknown as DomainEvent]), {
      code: 'VALIDATION_FAILED',
      detail: /changes\.port/,
    });
    assert.equal(store.head(), 0);
  });

  it(`refuses an event above ${EVENT_BYTES_MAX} bytes, naming both numbers`, () => {
    const ciphertext = 'A'.repeat(EVENT_BYTES_MAX);
    const password = { kind: 'sealed', keyId: 'k', nonce: 'AAAA', ciphertext } as const;
    assert.throws(() => register('a', { password }), {
      code: 'VALIDATION_FAILED',
      message: new RegExp(`has 13\\d{4} bytes; at most ${EVENT_BYTES_MAX}`),
    });
  });
}

function expectedVersions(): void {
  const conflict = { code: 'VERSION_CONFLICT' };

  it('no-stream: appends to a stream without events, refuses one with events', () => {
    append('tenant/a', [registered('a')], 'no-stream');
    assert.throws(() => append('tenant/a', [moved(1)], 'no-stream'), conflict);
  });

  it('no-stream: refuses a stream whose tenant was removed', () => {
    append('tenant/a', [registered('a'), removed]);
    assert.throws(() => append('tenant/a', [registered('a')], 'no-stream'), conflict);
  });

  it('any: appends to a stream with and without events', () => {
    append('tenant/a', [registered('a')], 'any');
    append('tenant/a', [moved(1)], 'any');
    assert.equal(store.streamVersion('tenant/a'), 2);
  });

  it('a number: appends at exactly that version', () => {
    append('tenant/a', [registered('a')], 0);
    append('tenant/a', [moved(1)], 1);
    for (const version of [0, 1, 3]) {
      assert.throws(() => append('tenant/a', [moved(2)], version), {
        ...conflict,
        message: `"tenant/a" is at version 2, not at ${version}.`,
      });
    }
    assert.equal(store.head(), 2);
  });
}

function atomicity(): void {
  it('appends none of the events when one of them is refused', () => {
    const broken = { type: 'Unknown', data: {} } as unknown as DomainEvent;
    assert.throws(() => append('tenant/a', [registered('a'), broken]));
    assert.equal(store.head(), 0);
    assert.equal(store.getTenant('a'), undefined);
    const [next] = append('tenant/a', [registered('a')], 'no-stream');
    assert.equal(next?.position, 1);
    assert.equal(verifyChain(store).status, 'clean');
  });

  it('appends none when a read model cannot follow', () => {
    assert.throws(() => append('tenant/a', [registered('a'), removed, moved(1)]), {
      name: 'InvariantViolation',
    });
    assert.equal(store.head(), 0);
    assert.equal(store.getTenant('a'), undefined);
  });

  it('undoes all that happened in a transaction that throws', () => {
    register('kept');
    const work = () => {
      register('a');
      store.saveCheckpoint('reader', 2);
      throw new Error('no');
    };
    assert.throws(() => store.atomically(work), /^Error: no$/);
    assert.equal(store.head(), 1);
    assert.equal(store.countTenants(), 1);
    assert.equal(store.checkpoint('reader'), 0);
  });

  it('undoes a nested transaction alone', () => {
    store.atomically(() => {
      register('a');
      assert.throws(() =>
        store.atomically(() => {
          register('b');
          throw new Error('no');
        }),
      );
      register('c');
    });
    assert.deepEqual(
      [...store.readAll(0)].map((e) => [e.position, e.stream]),
      [
        [1, 'tenant/a'],
        [2, 'tenant/c'],
      ],
    );
    assert.equal(verifyChain(store).status, 'clean');
  });

  it('leaves version and tenant as before a step that is undone, for the next step to see', () => {
    store.atomically(() => {
      register('a');
      assert.throws(() =>
        store.atomically(() => {
          append('tenant/a', [moved(1), moved(2)], 1);
          assert.equal(store.streamVersion('tenant/a'), 3);
          assert.equal(store.getTenant('a')?.config.port, 2);
          throw new Error('no');
        }),
      );
      assert.equal(store.streamVersion('tenant/a'), 1);
      assert.equal(store.getTenant('a')?.version, 1);
      append('tenant/a', [moved(3)], 1);
      assert.equal(store.getTenant('a')?.config.port, 3);
    });
    assert.equal(store.streamVersion('tenant/a'), 2);
    assert.equal(store.getTenant('a')?.config.port, 3);
  });
}

function reading(): void {
  it('reads after a position and up to a limit, across pages', () => {
    store.atomically(() => {
      for (let i = 1; i <= 1_203; i++) register(`t${i}`);
    });
    const positions = (after: number, limit?: number) =>
      [...store.readAll(after, limit)].map((event) => event.position);
    assert.deepEqual(positions(0), sequence(1, 1_203));
    assert.deepEqual(positions(1_200), [1_201, 1_202, 1_203]);
    assert.deepEqual(positions(2, 1_001), sequence(3, 1_003));
    assert.deepEqual(positions(5, 0), []);
    assert.deepEqual(positions(1_203), []);
  });

  it('reads one stream after a version and up to a limit, across pages', () => {
    append('tenant/a', [registered('a'), ...sequence(1, 1_100).map(moved)]);
    register('b');
    const versions = (after?: number, limit?: number) =>
      [...store.readStream('tenant/a', after, limit)].map((event) => event.streamVersion);
    assert.deepEqual(versions(), sequence(1, 1_101));
    assert.deepEqual(versions(1_099), [1_100, 1_101]);
    assert.deepEqual(versions(3, 2), [4, 5]);
    assert.deepEqual([...store.readStream('tenant/none')], []);
  });
}

function subscribing(): void {
  it('tells once for each commit that appended, when it can be read', () => {
    const seen: number[] = [];
    store.subscribe(() => seen.push(store.head()));
    register('a');
    store.atomically(() => {
      register('b');
      register('c');
      assert.deepEqual(seen, [1]);
    });
    assert.deepEqual(seen, [1, 3]);
  });

  it('is silent about commits without events and undone ones', () => {
    let told = 0;
    store.subscribe(() => (told += 1));
    store.atomically(() => store.saveCheckpoint('reader', 0));
    assert.throws(() =>
      store.atomically(() => {
        register('a');
        throw new Error('no');
      }),
    );
    assert.equal(told, 0);
  });

  it('does not let a failing listener harm the commit or the next listener', () => {
    let told = 0;
    store.subscribe(() => {
      throw new Error('listener');
    });
    store.subscribe(() => (told += 1));
    register('a');
    assert.equal(told, 1);
    assert.equal(store.head(), 1);
  });

  it('tells nothing after the subscription ended', () => {
    let told = 0;
    const end = store.subscribe(() => (told += 1));
    end();
    register('a');
    assert.equal(told, 0);
  });
}

function tenantViews(): void {
  it('shows a tenant as its events left it, whatever the case of the id asked for', () => {
    append('tenant/acme', [registered('Acme'), moved(6_000)]);
    const view = store.getTenant('ACME');
    assert.deepEqual(view, {
      config: sampleTenant({ id: 'Acme' as TenantId, port: 6_000 }),
      origin: 'api',
      version: 2,
      position: 2,
      createdAt: '2026-01-01T00:00:00.000Z',
      updatedAt: '2026-01-01T00:00:00.000Z',
    });
  });

  it('forgets a removed tenant, and knows it again under a higher version', () => {
    append('tenant/a', [registered('a'), removed]);
    assert.equal(store.getTenant('a'), undefined);
    assert.equal(store.countTenants(), 0);
    append('tenant/a', [registered('a')]);
    assert.equal(store.getTenant('a')?.version, 3);
  });
}

function tenantList(): void {
  it('is ordered by lower-case id, page after page', () => {
    for (const id of ['b', 'A', 'C-1', 'c_1', 'a1']) register(id);
    const pages: string[][] = [];
    let after: string | undefined;
    do {
      const page = store.listTenants({ after, limit: 2 });
      pages.push(page.tenants.map((view) => view.config.id));
      after = page.next;
    } while (after !== undefined);
    assert.deepEqual(pages, [['A', 'a1'], ['b', 'C-1'], ['c_1']]);
  });

  it('ends at the last full page', () => {
    for (const id of ['a', 'b']) register(id);
    assert.equal(store.listTenants({ limit: 2 }).next, undefined);
  });

  it('finds text in id, host, database and user name, ignoring case', () => {
    register('needle');
    register('b', { host: 'a.NEEDLE.example' });
    register('c', { database: 'needles' });
    register('d', { username: 'the_needle' });
    register('e', { password: { kind: 'env', name: 'needle' } });
    const found = (search: string) =>
      store.listTenants({ limit: 9, search }).tenants.map((view) => view.config.id);
    assert.deepEqual(found('Needle'), ['b', 'c', 'd', 'needle']);
    assert.deepEqual(found('%'), []);
    assert.deepEqual(found('_'), ['b', 'd', 'e', 'needle']);
  });

  it('sums up what the tenants of one server may open, their own limits or the default', () => {
    register('a', { host: 'DB.example', port: 1, pool: { maxConnections: 7 } });
    register('B', { host: 'db.EXAMPLE', port: 1, database: 'db.example' });
    register('c', { host: 'db.example', port: 2 });
    register('d', { host: 'other', port: 1, database: 'db.example' });
    register('e', { host: 'my.db.example', port: 1 });
    const { maxConnections } = store.getDefaults().defaults;
    const server = { host: 'Db.Example', port: 1 };
    const both = { tenants: 2, maxConnections: 7 + maxConnections };
    assert.deepEqual(store.budgetOf(server), both);
    assert.deepEqual(store.budgetOf({ ...server, reach: null }), both);
    assert.deepEqual(store.budgetOf({ ...server, reach: 'A*' }), { tenants: 1, maxConnections: 7 });
    const nobody = { tenants: 0, maxConnections: 0 };
    assert.deepEqual(store.budgetOf({ host: 'db', port: 1 }), nobody);
  });

  it('shows the ids within a pattern alone, beside search and paging', () => {
    for (const id of ['acme-1', 'ACME_2', 'acme', 'b-acme']) register(id);
    const found = (query: Partial<TenantQuery>) =>
      store.listTenants({ limit: 9, ...query }).tenants.map((view) => view.config.id);
    assert.deepEqual(found({ reach: 'Acme?*' }), ['acme-1', 'ACME_2']);
    assert.deepEqual(found({ reach: null }), ['acme', 'acme-1', 'ACME_2', 'b-acme']);
    assert.deepEqual(found({ reach: 'acme*', after: 'acme' }), ['acme-1', 'ACME_2']);
    assert.deepEqual(found({ reach: 'acme*', search: '_2' }), ['ACME_2']);
  });
}

function readModels(): void {
  it('hold the defaults, at version 0 until somebody sets them', () => {
    assert.deepEqual(store.getDefaults(), {
      defaults: DEFAULT_POOL_SETTINGS,
      version: 0,
      position: 0,
    });
    const defaults = { ...DEFAULT_POOL_SETTINGS, maxConnections: 7 };
    append('defaults', [{ type: 'DefaultsChanged', data: { defaults } }]);
    assert.deepEqual(store.getDefaults(), { defaults, version: 1, position: 1 });
  });

  it('find a tenant whose own minimum is above the maximum that would hold', () => {
    register('quiet');
    register('own', { pool: { minConnections: 8, maxConnections: 9 } });
    register('half', { pool: { minConnections: 6 } });
    register('capped', { pool: { maxConnections: 1 } });
    const found = (maxConnections: number) =>
      store.findContradicted({ ...DEFAULT_POOL_SETTINGS, maxConnections })?.config.id;
    assert.equal(found(6), undefined);
    assert.equal(found(5), 'half');
  });

  it('are the same after a rebuild', () => {
    append('tenant/a', [registered('a'), removed, registered('A'), moved(1)]);
    register('b');
    append('defaults', [{ type: 'DefaultsChanged', data: { defaults: DEFAULT_POOL_SETTINGS } }]);
    const before = [store.listTenants({ limit: 9 }), store.getDefaults()];
    store.rebuildReadModels();
    assert.deepEqual([store.listTenants({ limit: 9 }), store.getDefaults()], before);
  });
}

function life(): void {
  it('keeps a checkpoint for each name', () => {
    assert.equal(store.checkpoint('one'), 0);
    store.saveCheckpoint('one', 5);
    store.saveCheckpoint('two', 7);
    store.saveCheckpoint('one', 6);
    assert.equal(store.checkpoint('one'), 6);
    assert.equal(store.checkpoint('two'), 7);
  });

  it('refuses everything once it is closed, and closes twice', () => {
    store.close();
    store.close();
    const closed = { code: 'STORE_CLOSED' };
    assert.throws(() => append('tenant/a', [registered('a')]), closed);
    assert.throws(() => store.getTenant('a'), closed);
    assert.throws(() => [...store.readAll(0)], closed);
  });
}

function sequence(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
