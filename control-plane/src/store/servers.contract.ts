/** What every event store must do with declared servers: a part of event-store.contract.ts. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import type { ServerEvent } from '../domain/server/events.ts';
import { serverStream } from '../domain/server/events.ts';
import type { EventStore } from './event-store.ts';

const meta = { actor: 'api:01234567', requestId: 'request-1' };

function append(store: EventStore, name: string, ...events: readonly ServerEvent[]): void {
  store.append({ stream: serverStream(name), events, expectedVersion: 'any', meta });
}

const set = (name: string, host = name): ServerEvent => {
  const server: ServerConfig = { name, host, port: 5432, maxConnections: 9 };
  return { type: 'ServerSet', data: { server, origin: 'api' } };
};
const REMOVED: ServerEvent = { type: 'ServerRemoved', data: {} };

export function declaredServers(current: () => EventStore): void {
  it('are found by name and by address, whatever the case, and listed by name', () => {
    const store = current();
    append(store, 'b', set('B', 'Host-b'));
    append(store, 'a', set('a'));
    assert.equal(store.servers.get('b')?.server.host, 'Host-b');
    assert.equal(store.servers.at({ host: 'HOST-B', port: 5432 })?.server.name, 'B');
    assert.equal(store.servers.at({ host: 'host-b', port: 1 }), undefined);
    assert.deepEqual(
      store.servers.list().map(({ server }) => server.name),
      ['a', 'B'],
    );
    assert.equal(store.servers.count(), 2);
  });

  it('have a version that rises over a removal, and are gone in between', () => {
    const store = current();
    append(store, 'a', set('a'), set('a', 'other'), REMOVED);
    assert.equal(store.servers.get('a'), undefined);
    assert.equal(store.servers.count(), 0);
    append(store, 'a', set('a'));
    const view = store.servers.get('a');
    assert.deepEqual([view?.version, view?.position, view?.origin], [4, 4, 'api']);
  });

  it('are the same after a rebuild, and as before when a transaction is undone', () => {
    const store = current();
    append(store, 'a', set('a'));
    append(store, 'b', set('b'), REMOVED);
    const before = store.servers.list();
    store.rebuildReadModels();
    assert.deepEqual(store.servers.list(), before);
    const undone = () =>
      store.atomically(() => {
        append(store, 'c', set('c'));
        throw new Error('undone');
      });
    assert.throws(undone, /undone/);
    assert.deepEqual(store.servers.list(), before);
  });
}
