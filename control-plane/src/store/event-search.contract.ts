/** What searching must do in every event store: beside event-store.contract.ts. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { ManualClock } from '../../../tests/support/manual-clock.ts';
import type { DomainEvent } from '../domain/domain-event.ts';
import { STRETCH_POSITIONS_MAX } from './event-query.ts';
import type { EventSearch } from './event-query.ts';
import { moved, registered, removed } from './event-store.contract.ts';
import type { OpenedStore } from './event-store.contract.ts';
import type { EventStore } from './event-store.ts';

/** The store of the test that runs, and its clock; new ones for each. */
let store: EventStore;
let clock: ManualClock;

export function eventSearchContract(name: string, open: () => OpenedStore): void {
  describe(`searching events: ${name}`, () => {
    let opened: OpenedStore;
    beforeEach(() => {
      opened = open();
      ({ store, clock } = opened);
    });
    afterEach(() => opened.dispose());

    describe('by filters', searches);
    describe('by times and streams', lookUps);
  });
}

const ALL = { order: 'asc', after: 0, before: 0, limit: 100 } as const;
const found = (search: Partial<EventSearch>) =>
  store.search({ ...ALL, before: store.head() + 1, ...search }).events.map((e) => e.position);

/** Positions 1 to 6; the clock is turned by 1 s before 3 and 5. */
function fill(): void {
  const by = (actor: string, requestId: string) => ({ actor, requestId });
  const write = (id: string, event: DomainEvent, who: ReturnType<typeof by>) =>
    store.append({ stream: `tenant/${id}`, events: [event], expectedVersion: 'any', meta: who });
  write('a', registered('a'), by('ann', 'r1'));
  write('b', registered('b'), by('ann', 'r2'));
  clock.stall(1_000);
  write('a', moved(1), by('bob', 'r3'));
  write('b', removed, by('bob', 'r3'));
  clock.stall(1_000);
  write('a', removed, by('ann', 'r4'));
  const defaults = { type: 'DefaultsChanged', data: { defaults: DEFAULT_POOL_SETTINGS } } as const;
  const meta = by('eve', 'r5');
  store.append({ stream: 'defaults', events: [defaults], expectedVersion: 'any', meta });
}

function searches(): void {
  it('finds by stream, types, actor, request and time, alone and together', () => {
    fill();
    assert.deepEqual(found({}), [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(found({ stream: 'tenant/a' }), [1, 3, 5]);
    assert.deepEqual(found({ types: ['TenantRemoved', 'TenantUpdated'] }), [3, 4, 5]);
    assert.deepEqual(found({ types: [] }), []);
    assert.deepEqual(found({ actor: 'ann' }), [1, 2, 5]);
    assert.deepEqual(found({ requestId: 'r3' }), [3, 4]);
    assert.deepEqual(found({ since: '2026-01-01T00:00:01.000Z' }), [3, 4, 5, 6]);
    assert.deepEqual(found({ until: '2026-01-01T00:00:01.000Z' }), [1, 2]);
    assert.deepEqual(found({ actor: 'bob', types: ['TenantRemoved'], stream: 'tenant/b' }), [4]);
    assert.deepEqual(found({ requestId: 'r3', since: '2026-01-01T00:00:02.000Z' }), []);
  });

  it('keeps to the order, the limit and the positions it is given', () => {
    fill();
    assert.deepEqual(found({ order: 'desc', limit: 2 }), [6, 5]);
    assert.deepEqual(found({ after: 2, before: 5 }), [3, 4]);
    assert.deepEqual(found({ order: 'desc', before: 5, actor: 'ann' }), [2, 1]);
    assert.deepEqual(found({ after: 5, before: 6 }), []);
  });

  it('says how far it has looked: to the last one found, or over the whole stretch', () => {
    fill();
    const reached = (search: Partial<EventSearch>) =>
      store.search({ ...ALL, before: 7, ...search }).reached;
    assert.equal(reached({ limit: 2, actor: 'bob' }), 4);
    assert.equal(reached({ limit: 3, actor: 'bob' }), 6);
    assert.equal(reached({ limit: 1, order: 'desc', actor: 'bob' }), 4);
    assert.equal(reached({ limit: 9, order: 'desc' }), 1);
    const far = 10 * STRETCH_POSITIONS_MAX;
    assert.equal(reached({ before: far }), STRETCH_POSITIONS_MAX);
    assert.equal(reached({ order: 'desc', before: far }), far - STRETCH_POSITIONS_MAX);
  });
}

function lookUps(): void {
  it('finds the last event before a time and up to it', () => {
    assert.equal(store.lastByTime('2027-01-01T00:00:00.000Z', 'up_to'), 0);
    fill();
    assert.equal(store.lastByTime('2025-12-31T23:59:59.999Z', 'up_to'), 0);
    assert.equal(store.lastByTime('2026-01-01T00:00:01.000Z', 'before'), 2);
    assert.equal(store.lastByTime('2026-01-01T00:00:01.000Z', 'up_to'), 4);
    assert.equal(store.lastByTime('2027-01-01T00:00:00.000Z', 'before'), 6);
  });

  it('walks over the names of streams, and knows which have events where', () => {
    fill();
    assert.equal(store.nextStream(''), 'defaults');
    assert.equal(store.nextStream('defaults'), 'tenant/a');
    assert.equal(store.nextStream('tenant/a'), 'tenant/b');
    assert.equal(store.nextStream('tenant/b'), undefined);
    assert.deepEqual([...store.streamsWithin(2, 6)].sort(), ['tenant/a', 'tenant/b']);
    assert.deepEqual(store.streamsWithin(4, 6), ['tenant/a']);
    assert.deepEqual(store.streamsWithin(3, 4), []);
    const all = ['defaults', 'tenant/a', 'tenant/b'];
    assert.deepEqual([...store.streamsWithin(0, 1_000_000)].sort(), all);
    assert.deepEqual(store.streamsWithin(store.head() - 1, 1_000_000).length, 1);
  });
}
