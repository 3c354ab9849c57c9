/**
 * A rollback of everything, after any history: tenants and defaults are those of then, and it can
 * be taken back like anything else.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { controlErrors } from '../errors.ts';
import { foldRouting, initialConfig, loadRouting } from '../projections/routing.ts';
import { history, rollBack, storeAfter } from '../projections/testing.ts';
import type { EventStore } from '../store/event-store.ts';

function configAt(store: EventStore, position: number): RoutingConfig {
  return foldRouting(initialConfig(store.epoch), store.readAll(0, position));
}

/** What a rollback is about: neither where in the log, nor what is operated on tenants. */
function settingsOf({ defaults, tenants }: RoutingConfig) {
  const settings = (tenant: TenantConfig) => {
    return { ...tenant, id: tenant.id.toLowerCase(), operations: undefined };
  };
  return {
    defaults,
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
});
