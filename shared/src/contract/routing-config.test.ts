/** The routing config: effective settings and consistency. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PackedMap } from '../kernel/packed-map.ts';
import { DEFAULT_POOL_SETTINGS } from './pool-settings.ts';
import { effectivePool, EMPTY_CONFIG, findInconsistency } from './routing-config.ts';
import { configOf, tenant } from './testing.ts';

describe('effectivePool', () => {
  it("fills in the fleet's defaults and prefers the tenant's own settings", () => {
    const own = tenant('acme', { maxConnections: 5, poolMode: 'transaction' });
    assert.deepEqual(effectivePool(EMPTY_CONFIG, own), {
      ...DEFAULT_POOL_SETTINGS,
      maxConnections: 5,
      poolMode: 'transaction',
    });
    assert.deepEqual(effectivePool(EMPTY_CONFIG, tenant('b')), DEFAULT_POOL_SETTINGS);
  });

  it("lowers an inherited minimum to the tenant's own maximum, not one of its own", () => {
    assert.equal(effectivePool(EMPTY_CONFIG, tenant('a', { maxConnections: 1 })).minConnections, 1);
    const own = tenant('a', { maxConnections: 1, minConnections: 2 });
    assert.equal(effectivePool(EMPTY_CONFIG, own).minConnections, 2);
  });
});

describe('findInconsistency', () => {
  it('finds nothing in a config that can be served', () => {
    assert.equal(findInconsistency(EMPTY_CONFIG), undefined);
    assert.equal(findInconsistency(configOf(tenant('acme'), tenant('Globex'))), undefined);
  });

  it('names the tenant and both numbers when its minimum is above its maximum', () => {
    const problem = findInconsistency(
      configOf(tenant('acme', { minConnections: 9, maxConnections: 3 })),
    );
    assert.match(problem ?? '', /"acme".*\(9\).*\(3\)/);
  });

  it('names a tenant indexed under another key', () => {
    const misplaced = { ...EMPTY_CONFIG, tenants: PackedMap.from([['acme', tenant('globex')]]) };
    assert.match(findInconsistency(misplaced) ?? '', /"globex".*"acme"/);
  });
});
