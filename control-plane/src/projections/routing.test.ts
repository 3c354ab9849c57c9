/**
 * One fold: whatever happened, views, configs, deltas and rewinds tell the same. Random histories,
 * real rules.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { applyDelta, decodeDelta, encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import {
  assertRebuilds,
  changesFor,
  foldRouting,
  initialConfig,
  loadRouting,
  rewindRouting,
} from './routing.ts';
import { history, storeAfter } from './testing.ts';

/** Comparable whatever the maps share inside. */
function plain(config: RoutingConfig) {
  return { ...config, tenants: new Map(config.tenants) };
}

describe('routing projection', () => {
  it('folds to what the read models hold', () => {
    fc.assert(
      fc.property(history, (commands) => {
        const store = storeAfter(commands);
        const folded = foldRouting(initialConfig(store.epoch), store.readAll(0));
        assert.deepEqual(plain(folded), plain(loadRouting(store)));
      }),
    );
  });

  it('rewinds to what the events up to any position fold to', () => {
    fc.assert(
      fc.property(history, fc.nat(), (commands, n) => {
        const store = storeAfter(commands);
        const position = n % (store.head() + 1);
        const rewound = rewindRouting(store, loadRouting(store), position);
        const folded = foldRouting(initialConfig(store.epoch), store.readAll(0, position));
        assert.deepEqual(plain(rewound), plain(folded));
      }),
    );
  });

  it('makes deltas of any batches that bring a proxy to the same config', () => {
    const batches = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 40, maxLength: 40 });
    fc.assert(
      fc.property(history, batches, (commands, sizes) => {
        const store = storeAfter(commands);
        let own = initialConfig(store.epoch);
        let proxy: RoutingConfig = own;
        for (const size of sizes) {
          if (own.position === store.head()) break;
          const next = foldRouting(own, store.readAll(own.position, size));
          const delta = decodeDelta(encodeDelta(changesFor(own, next)));
          assertRebuilds(own, delta, next);
          const applied = applyDelta(proxy, delta);
          assert.ok(typeof applied === 'object', `refused: ${JSON.stringify(applied)}`);
          proxy = applied;
          own = next;
        }
        assert.deepEqual(plain(proxy), plain(loadRouting(store)));
      }),
    );
  });

  it('says only what differs in the end, once for each tenant', () => {
    const store = storeAfter([
      { kind: 'register_tenant', origin: 'api', tenant: sampleTenant() },
      { kind: 'update_tenant', id: 'acme' as TenantId, changes: { port: 1 } },
      { kind: 'update_tenant', id: 'acme' as TenantId, changes: { port: 2 } },
      { kind: 'register_tenant', origin: 'api', tenant: sampleTenant({ id: 'gone' as TenantId }) },
      { kind: 'remove_tenant', id: 'gone' as TenantId },
    ]);
    const before = initialConfig(store.epoch);
    assert.deepEqual(changesFor(before, loadRouting(store)), {
      epoch: 1,
      from: 0,
      to: 5,
      changes: [{ kind: 'tenant_set', tenant: sampleTenant({ port: 2 }) }],
    });
  });

  it('refuses to fold over a gap', () => {
    const store = storeAfter([
      { kind: 'register_tenant', origin: 'api', tenant: sampleTenant() },
      { kind: 'remove_tenant', id: 'acme' as TenantId },
    ]);
    assert.throws(() => foldRouting(initialConfig(1), store.readAll(1)), {
      name: 'InvariantViolation',
    });
  });

  it('catches a delta that leads elsewhere', () => {
    const store = storeAfter([{ kind: 'register_tenant', origin: 'api', tenant: sampleTenant() }]);
    const before = initialConfig(store.epoch);
    const after = loadRouting(store);
    const delta = changesFor(before, after);
    const wrong = [
      { ...delta, changes: [] },
      { ...delta, to: 2 },
      { ...delta, from: 1 },
      { ...delta, changes: [{ kind: 'tenant_set' as const, tenant: sampleTenant({ port: 9 }) }] },
    ];
    for (const bad of wrong) {
      assert.throws(() => assertRebuilds(before, bad, after), { name: 'InvariantViolation' });
    }
    assertRebuilds(before, delta, after);
  });
});
