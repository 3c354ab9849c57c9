/** What every event store must do with API keys: a part of event-store.contract.ts. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ApiKey, ApiKeyEvent } from '../domain/api-key/events.ts';
import { apiKeyStream } from '../domain/api-key/events.ts';
import type { EventStore } from './event-store.ts';

const meta = { actor: 'api:01234567', requestId: 'request-1' };

function keyOf(id: string, fields: Partial<ApiKey> = {}): ApiKey {
  return {
    id: id.padEnd(12, '0'),
    name: `name of ${id}`,
    scope: 'viewer',
    tenants: null,
    expiresAt: null,
    prefix: 'dbb_same',
    proof: { hash: 'h', verifier: 'v' },
    ...fields,
  };
}

function append(store: EventStore, id: string, ...events: readonly ApiKeyEvent[]): void {
  const stream = apiKeyStream(id.padEnd(12, '0'));
  store.append({ stream, events, expectedVersion: 'any', meta });
}

function create(store: EventStore, id: string, fields: Partial<ApiKey> = {}): void {
  append(store, id, { type: 'ApiKeyCreated', data: { key: keyOf(id, fields) } });
}

const REVOKED: ApiKeyEvent = { type: 'ApiKeyRevoked', data: {} };

export function apiKeys(current: () => EventStore): void {
  const idsOf = (views: readonly { readonly key: ApiKey }[]) =>
    views.map(({ key }) => key.id.replace(/0+$/, ''));

  it('holds a key with who created it, through changes and revocation', () => {
    const store = current();
    create(store, 'a');
    append(store, 'a', { type: 'ApiKeyUpdated', data: { changes: { name: 'b', scope: 'admin' } } });
    append(store, 'a', REVOKED);
    const view = store.apiKeys.get(keyOf('a').id);
    assert.deepEqual(view?.key, keyOf('a', { name: 'b', scope: 'admin' }));
    assert.deepEqual([view?.version, view?.position, view?.createdBy], [3, 3, meta.actor]);
    assert.notEqual(view?.revokedAt, null);
    assert.equal(store.apiKeys.get('nothing'), undefined);
  });

  it('pages through live keys or all, by id', () => {
    const store = current();
    for (const id of ['c', 'a', 'b', 'd']) create(store, id);
    append(store, 'b', REVOKED);
    const first = store.apiKeys.list({ limit: 2, include: 'live' });
    assert.deepEqual(idsOf(first.keys), ['a', 'c']);
    const second = store.apiKeys.list({ limit: 2, include: 'live', after: first.next });
    assert.deepEqual([idsOf(second.keys), second.next], [['d'], undefined]);
    const all = store.apiKeys.list({ limit: 4, include: 'revoked_too' });
    assert.deepEqual([idsOf(all.keys), all.next], [['a', 'b', 'c', 'd'], undefined]);
  });

  it('finds keys by their very prefix, live ones first, the newest of each first', () => {
    const store = current();
    for (const id of ['a', 'b', 'c']) create(store, id);
    create(store, 'd', { prefix: 'dbb_same2' });
    append(store, 'c', REVOKED);
    assert.deepEqual(idsOf(store.apiKeys.withPrefix('dbb_same', 9)), ['b', 'a', 'c']);
    assert.deepEqual(idsOf(store.apiKeys.withPrefix('dbb_same', 1)), ['b']);
    assert.deepEqual(store.apiKeys.withPrefix('dbb_', 9), []);
  });

  it('counts the other live keys, in all, by prefix and by name whatever its case', () => {
    const store = current();
    create(store, 'a', { name: 'One' });
    create(store, 'b', { name: 'two', prefix: 'x' });
    create(store, 'c', { name: 'ONE' });
    append(store, 'c', REVOKED);
    const count = (id: string) => store.apiKeys.countOthers(keyOf(id, { name: 'one' }));
    assert.deepEqual(count('z'), { live: 2, samePrefix: 1, sameName: 1 });
    assert.deepEqual(count('a'), { live: 1, samePrefix: 0, sameName: 0 });
  });

  it('undoes keys with the transaction that made them', () => {
    const store = current();
    const undone = () =>
      store.atomically(() => {
        create(store, 'a');
        throw new Error('undone');
      });
    assert.throws(undone, /undone/);
    assert.equal(store.apiKeys.get(keyOf('a').id), undefined);
  });

  it('gives the same keys after a rebuild from events, and keeps when they were used', () => {
    const store = current();
    create(store, 'a');
    const at = '2026-01-01T00:00:00.000Z';
    store.apiKeys.saveUses(new Map([['x', at]]));
    store.apiKeys.saveUses(new Map([['y', at]]));
    const before = store.apiKeys.get(keyOf('a').id);
    store.rebuildReadModels();
    assert.deepEqual(store.apiKeys.get(keyOf('a').id), before);
    const uses = new Map(store.apiKeys.lastUses());
    assert.deepEqual(
      uses,
      new Map([
        ['x', at],
        ['y', at],
      ]),
    );
  });

  it('refuses once it is closed', () => {
    const store = current();
    store.close();
    assert.throws(() => store.apiKeys.get('a'), { code: 'STORE_CLOSED' });
  });
}
