/** A config with canaries: each proxy serves what is for it, and notices nothing else. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { servedBy } from '@dbbouncer/shared/contract/canary.ts';
import { applyDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigChange } from '@dbbouncer/shared/contract/config-delta.ts';
import { decodeConfig, encodeConfig } from '@dbbouncer/shared/contract/config-text.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { Router } from './router.ts';
import { tenantChanges } from './snapshot.ts';
import { someConfig, someTenant } from './testing.ts';

const P1 = 'p1' as ProxyId;
const P2 = 'p2' as ProxyId;

function tried(tenant: TenantConfig, changes: Partial<TenantConfig>): TenantConfig {
  const { id: _, operations: __, ...candidate } = { ...tenant, ...changes };
  const startedAt = '2026-01-01T00:00:00.000Z';
  const canary = { proxies: [P1], candidate, share: 0.5, startedAt, promoteAfterMs: 1_000 };
  return { ...tenant, canary };
}

/** Proxies that get the same deltas, and which tenants each has seen change at a swap. */
function proxiesAt(config: RoutingConfig) {
  const all = [P1, P2].map((id) => {
    const router = new Router(silentLogger, id);
    const seen: string[] = [];
    router.replace(config);
    router.onSwap((previous, next) => {
      for (const { key } of tenantChanges(previous, next)) seen.push(key);
    });
    return { router, seen };
  });
  const tell = (...changes: readonly ConfigChange[]) => {
    for (const { router, seen } of all) {
      seen.length = 0;
      const { epoch, position: from } = router.current;
      const delta = { epoch, from, to: from + 1, changes: [...changes] };
      const next = applyDelta(router.current.told, delta);
      assert.ok(typeof next === 'object');
      assert.equal(router.replace(next).kind, 'swapped');
    }
  };
  return { all, tell };
}

const set = (tenant: TenantConfig): ConfigChange => ({ kind: 'tenant_set', tenant });
const served = (router: Router) => new Map(router.current.config.tenants);
const acme = someTenant('Acme');
const globex = someTenant('globex');

describe('a canary', () => {
  it('is served by the proxies it names; the others see no tenant change', () => {
    const { all, tell } = proxiesAt(someConfig([acme, globex]));
    const kept = all.map(({ router }) => router.current.byKey('acme'));
    tell(set(tried(acme, { port: 6_000 })));
    assert.deepEqual(
      all.map(({ router, seen }) => [router.current.byKey('acme')?.port, [...seen]]),
      [
        [6_000, ['acme']],
        [5_432, []],
      ],
    );
    assert.equal(all[1]?.router.current.byKey('acme'), kept[1], 'not even the object is another');
    for (const { router } of all) {
      assert.equal(router.current.byKey('acme')?.canary, undefined);
      assert.notEqual(router.current.told.tenants.get('acme')?.canary, undefined);
    }
  });

  it('stays what it is over changes of others, and obeys operations', () => {
    const { all, tell } = proxiesAt(someConfig([acme, globex]));
    tell(set(tried(acme, { port: 6_000 })));
    tell(set({ ...globex, port: 1 }));
    assert.deepEqual(
      all.map(({ seen }) => seen),
      [['globex'], ['globex']],
    );
    const operations = { state: 'paused', connectionsGeneration: 0, clientsGeneration: 0 } as const;
    tell(set({ ...tried(acme, { port: 6_000 }), operations }));
    for (const { router } of all) {
      assert.deepEqual(router.current.byKey('acme')?.operations, operations);
    }
  });

  it('changes nothing for its proxies when it is promoted, and for the others all of it', () => {
    const { all, tell } = proxiesAt(someConfig([acme, globex]));
    tell(set(tried(acme, { port: 6_000 })));
    tell(set({ ...acme, port: 6_000 }));
    assert.deepEqual(
      all.map(({ router, seen }) => [router.current.byKey('acme')?.port, [...seen]]),
      [
        [6_000, []],
        [6_000, ['acme']],
      ],
    );
  });

  it('changes nothing for the others when it is rolled back', () => {
    const { all, tell } = proxiesAt(someConfig([acme, globex]));
    tell(set(tried(acme, { port: 6_000 })));
    tell(set(acme));
    assert.deepEqual(
      all.map(({ router, seen }) => [router.current.byKey('acme')?.port, [...seen]]),
      [
        [5_432, ['acme']],
        [5_432, []],
      ],
    );
  });

  it('is in the copy that a proxy boots from, and ends with its tenant', () => {
    const { tell, all } = proxiesAt(someConfig([acme]));
    tell(set(tried(acme, { port: 6_000 })));
    const [first] = all;
    assert.ok(first !== undefined);
    const copy = decodeConfig(encodeConfig(first.router.current.told));
    const again = new Router(silentLogger, P1);
    assert.equal(again.replace(copy).kind, 'swapped');
    assert.equal(again.current.byKey('acme')?.port, 6_000);
    tell({ kind: 'tenant_removed', id: acme.id });
    assert.equal(first.router.current.byKey('acme'), undefined);
  });

  it('is served over any history as a look at all tenants would have it', () => {
    const port = fc.integer({ min: 1, max: 3 });
    const change = fc.record({
      id: fc.constantFrom('a', 'B', 'c'),
      kind: fc.constantFrom('set', 'try', 'remove'),
      port,
      tried: port,
    });
    const toChange = ({
      id,
      kind,
      ...ports
    }: typeof change extends fc.Arbitrary<infer C> ? C : never) => {
      const tenant = someTenant(id, { port: ports.port });
      if (kind === 'remove') return { kind: 'tenant_removed', id: tenant.id } as const;
      return set(kind === 'set' ? tenant : tried(tenant, { port: ports.tried }));
    };
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 3 }), { maxLength: 12 }), (steps) => {
        const many = Array.from({ length: 5 }, (_, index) => someTenant(`other-${index}`));
        const { all, tell } = proxiesAt(someConfig([...many, someTenant('a', { port: 1 })]));
        for (const step of steps) {
          const before = all.map(({ router }) => served(router));
          tell(...step.map(toChange));
          for (const [index, proxy] of [P1, P2].entries()) {
            const { router, seen = [] } = all[index] ?? {};
            assert.ok(router !== undefined);
            const expected = new Map(
              Array.from(router.current.told.tenants, ([key, one]) => [key, servedBy(proxy, one)]),
            );
            assert.deepEqual(served(router), expected);
            const was = before[index] ?? new Map<string, TenantConfig>();
            const differing = new Set(
              [...was.keys(), ...expected.keys()].filter(
                (key) => !isDeepStrictEqual(was.get(key), expected.get(key)),
              ),
            );
            assert.deepEqual(new Set(seen), differing);
          }
        }
      }),
    );
  });

  it('is refused where what it tries contradicts itself', () => {
    const router = new Router(silentLogger, P2);
    const wrong = tried(acme, { pool: { minConnections: 5, maxConnections: 2 } });
    const result = router.replace(someConfig([wrong]));
    assert.ok(result.kind === 'refused');
    assert.match(result.reason, /tenant "Acme": min_connections \(5\)/);
  });
});
