/** What the budget knows of a tenant while some proxies try a change of it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { Router } from '../routing/router.ts';
import { someConfig, someTenant } from '../routing/testing.ts';
import { changedKeys, tenantsOf } from './config-tenants.ts';

const CANARY = 'p1' as ProxyId;
const acme = someTenant('acme', { pool: { maxConnections: 6 } });

function triedBy(proxy: ProxyId, tenant: TenantConfig, changes: Partial<TenantConfig>) {
  const { id: _, ...candidate } = { ...tenant, ...changes };
  const startedAt = '2026-01-01T00:00:00.000Z';
  const canary = { proxies: [proxy], candidate, share: 0.5, startedAt, promoteAfterMs: 1_000 };
  return { ...tenant, canary };
}

describe('the tenants of the budget', () => {
  it('have the max_connections of before at a canary, and the new one once it is promoted', () => {
    const router = new Router(silentLogger, CANARY);
    const swaps: string[][] = [];
    router.onSwap((previous, next) => swaps.push([...changedKeys(previous, next)]));
    const serve = (config: RoutingConfig) => {
      router.replace(config);
      return tenantsOf(router.current).get('acme');
    };
    serve(someConfig([acme]));
    const changes = { pool: { maxConnections: 60 }, host: 'next.internal' };
    const tried = serve(someConfig([triedBy(CANARY, acme, changes)], { position: 2 }));
    assert.equal(router.current.byKey('acme')?.pool.maxConnections, 60, 'it serves the change');
    assert.equal(tried?.maxConnections, 6);
    assert.equal(tried.server, 'next.internal:5432', 'where it would look for connections');
    const promoted = serve(someConfig([{ ...acme, ...changes }], { position: 3 }));
    assert.equal(promoted?.maxConnections, 60);
    assert.deepEqual(swaps, [[], ['acme'], ['acme']]);
  });
});
