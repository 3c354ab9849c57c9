/** What a proxy may have of a tenant at any config that it may still go by. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantBudget } from './budget-config.ts';
import { ProxyAccount } from './proxy-account.ts';
import { TenantAccount } from './tenant-account.ts';

function budgetOf(maxConnections: number, changedAt = 1): TenantBudget {
  const id = 'acme' as TenantId;
  return { id, maxConnections, base: maxConnections, changedAt, server: undefined };
}

function proxyAt(appliedPosition: number, divisor: number): ProxyAccount {
  const proxy = new ProxyAccount('p-1' as ProxyId, 1, 0);
  proxy.share = { divisor };
  proxy.appliedPosition = appliedPosition;
  return proxy;
}

describe('a tenant whose limit changes', () => {
  it('counts for each proxy the most of the configs that it may go by, up to 40 changes', () => {
    const limits = fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(limits, fc.nat(40), fc.integer({ min: 1, max: 5 }), (all, applied, divisor) => {
        const [first = 0, ...rest] = all;
        const tenant = new TenantAccount('acme', budgetOf(first), []);
        for (const [i, max] of rest.entries()) tenant.change(budgetOf(max, i + 2), i + 2);
        const proxy = proxyAt(applied, divisor);
        // The limit at position n is all[n - 1]; the first holds from 1 on.
        const served = all.slice(Math.max(0, Math.min(applied, all.length) - 1));
        const most = Math.max(...served.map((max) => Math.floor(max / divisor)));
        assert.ok(tenant.formulaMost(proxy) >= most, `${tenant.formulaMost(proxy)} of ${most}`);
        assert.ok(tenant.former.length <= 8);
      }),
    );
  });

  it('counts what is in force alone once every proxy has applied it', () => {
    const tenant = new TenantAccount('acme', budgetOf(12), []);
    tenant.change(budgetOf(4, 2), 2);
    assert.equal(tenant.formulaMost(proxyAt(1, 2)), 6);
    assert.equal(tenant.formulaMost(proxyAt(2, 2)), 2);
    tenant.forgetFormer(2);
    assert.deepEqual(tenant.former, []);
    assert.equal(tenant.formulaMost(proxyAt(2, 2)), 2);
  });

  it('counts everything for an unheard proxy that goes by a config from before the term', () => {
    const tenant = new TenantAccount('acme', budgetOf(4, 7), []);
    const proxy = proxyAt(6, 2);
    proxy.unnamed = 'anything';
    assert.ok(tenant.liability(proxy) > 1_000_000);
    proxy.appliedPosition = 7;
    assert.equal(tenant.liability(proxy), 4, 'it may have been granted all of it');
    proxy.unnamed = 'formula';
    assert.equal(tenant.liability(proxy), 2);
  });

  it('counts no formula for who has told everything and goes by a config before the term', () => {
    const tenant = new TenantAccount('acme', budgetOf(4, 7), []);
    const proxy = proxyAt(6, 2);
    proxy.configsFrom = 7;
    assert.ok(tenant.formulaMost(proxy) > 1_000_000, 'by that config it may have any part');
    proxy.share = null;
    assert.equal(tenant.formulaMost(proxy), 0, 'without a part it has none at any config');
    proxy.share = { divisor: 2 };
    proxy.appliedPosition = 7;
    assert.equal(tenant.formulaMost(proxy), 2);
  });
});
