/** What a rollback of the config reads: it blocks every other write meanwhile. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { projectViews } from '../projections/tenant-views.ts';
import type { EventStore } from '../store/event-store.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { CommandQueue } from './command-queue.ts';

const META = { actor: 'tester', requestId: 'request' };

describe('a rollback of the config', () => {
  it('reads the streams that were changed since, and no event of another one', async () => {
    const store = createMemoryEventStore({ clock: systemClock, project: projectViews });
    const commands = new CommandQueue(store);
    for (const id of ['changed', 'same'] as TenantId[]) {
      const tenant = sampleTenant({ id });
      await commands.handle({ kind: 'register_tenant', origin: 'api', tenant }, META);
    }
    const to = store.head();
    const changes = { port: 6_000 };
    const update = { kind: 'update_tenant', id: 'changed' as TenantId, changes } as const;
    await commands.handle(update, META);
    const read = new Set<string>();
    const watched = new CommandQueue(
      watching(store, (what) => {
        read.add(what);
      }),
    );
    const { events } = await watched.perform((scope) =>
      scope.rollBackConfig({ to, renew: (then) => then }, META),
    );
    assert.deepEqual(
      events.map(({ stream, type }) => [stream, type]),
      [['tenant/changed', 'TenantRolledBack']],
    );
    assert.deepEqual([...read].sort(), ['defaults', 'tenant/changed']);
  });
});

/** The same store, which tells the streams that are read, or "everything". */
function watching(store: EventStore, tell: (what: string) => void): EventStore {
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        if (name === 'readAll') tell('everything');
        if (name === 'readStream') tell(String(given[0]));
        return Reflect.apply(value, target, given);
      };
    },
  });
}
