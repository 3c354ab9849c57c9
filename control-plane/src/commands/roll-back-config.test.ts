/**
 * A rollback of everything, after any history: tenants and defaults are those of then, and it can
 * be taken back like anything else.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { controlErrors } from '../errors.ts';
import { foldRouting, initialConfig, loadRouting } from '../projections/routing.ts';
import { history, rollBack, storeAfter } from '../projections/testing.ts';
import { projectViews } from '../projections/tenant-views.ts';
import type { EventStore } from '../store/event-store.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { queueOn } from './testing.ts';

const META = { actor: 'tester', requestId: 'request' };

function configAt(store: EventStore, position: number): RoutingConfig {
  return foldRouting(initialConfig(store.epoch), store.readAll(0, position));
}

/** What a rollback is about: not where in the log, what is operated on tenants, or tried. */
function settingsOf({ defaults, servers, tenants }: RoutingConfig) {
  const settings = (tenant: TenantConfig) => {
    return { ...tenant, id: tenant.id.toLowerCase(), operations: undefined, canary: undefined };
  };
  return {
    defaults,
    servers: new Map([...servers].map(([key, server]) => [key, { ...server, name: key }] as const)),
    tenants: new Map([...tenants].map(([key, tenant]) => [key, settings(tenant)])),
  };
}

describe('a rollback of the config', () => {
  it('gives tenants and defaults the settings of any position, or changes nothing', () => {
    let done = 0;
    fc.assert(
      fc.property(history, fc.nat(), (steps, n) => {
        const store = storeAfter(steps);
        const head = store.head();
        const to = n % (head + 1);
        const wanted = settingsOf(configAt(store, to));
        try {
          rollBack(store, to);
        } catch (error) {
          assert.ok(controlErrors.is(error), String(error));
          assert.equal(store.head(), head);
          return;
        }
        done += 1;
        assert.deepEqual(settingsOf(loadRouting(store)), wanted);
        assert.equal(rollBack(store, to).events.length, 0, 'once more changes nothing');
        const before = settingsOf(configAt(store, head));
        rollBack(store, head);
        assert.deepEqual(settingsOf(loadRouting(store)), before, 'taken back');
      }),
    );
    assert.ok(done > 90, `${done} of 100 were done`);
  });

  it('never touches what is operated on a tenant that stays', () => {
    fc.assert(
      fc.property(history, fc.nat(), (steps, n) => {
        const store = storeAfter(steps);
        const before = loadRouting(store).tenants;
        const to = n % (store.head() + 1);
        const replaced = new Set<string>();
        for (const { type, stream } of rollBack(store, to).events) {
          if (type === 'TenantRemoved') replaced.add(stream);
        }
        for (const [key, tenant] of loadRouting(store).tenants) {
          const was = before.get(key);
          if (was === undefined || replaced.has(`tenant/${key}`)) continue;
          assert.deepEqual(tenant.operations, was.operations);
        }
      }),
    );
  });

  it('reads the streams that were changed since, and no event of another one', async () => {
    const store = createMemoryEventStore({ clock: systemClock, project: projectViews });
    const commands = queueOn(store);
    for (const id of ['changed', 'same'] as TenantId[]) {
      const tenant = sampleTenant({ id });
      await commands.handle({ kind: 'register_tenant', origin: 'api', tenant }, META);
    }
    const to = store.head();
    const changes = { port: 6_000 };
    const update = { kind: 'update_tenant', id: 'changed' as TenantId, changes } as const;
    await commands.handle(update, META);
    const read = new Set<string>();
    const watched = queueOn(
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
