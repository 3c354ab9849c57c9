/** The routing config: effective settings, consistency, and its text form. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { FrozenMap } from '../kernel/frozen-map.ts';
import { tenantKey } from '../kernel/ids.ts';
import type { TenantId } from '../kernel/ids.ts';
import { DEFAULT_POOL_SETTINGS } from './pool-settings.ts';
import {
  decodeConfig,
  effectivePool,
  EMPTY_CONFIG,
  encodeConfig,
  findInconsistency,
} from './routing-config.ts';
import type { RoutingConfig, TenantConfig } from './routing-config.ts';

function tenant(id: string, pool: TenantConfig['pool'] = {}): TenantConfig {
  return {
    id: id as TenantId,
    protocol: 'postgres',
    host: 'db.internal',
    port: 5432,
    database: 'app',
    databases: ['reports'],
    username: 'app',
    password: { kind: 'sealed', keyId: 'k1', nonce: 'bm9uY2U=', ciphertext: 'c2VjcmV0' },
    pool,
  };
}

function configOf(...tenants: readonly TenantConfig[]): RoutingConfig {
  return {
    ...EMPTY_CONFIG,
    epoch: 3,
    position: 42,
    tenants: FrozenMap.from(tenants.map((one) => [tenantKey(one.id), one] as const)),
  };
}

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
    const misplaced = { ...EMPTY_CONFIG, tenants: FrozenMap.from([['acme', tenant('globex')]]) };
    assert.match(findInconsistency(misplaced) ?? '', /"globex".*"acme"/);
  });
});

describe('encodeConfig and decodeConfig', () => {
  it('are inverse for any tenants', () => {
    const id = fc.stringMatching(/^[a-zA-Z0-9]([-_]?[a-zA-Z0-9]){0,20}$/);
    const pool = fc.record(
      { minConnections: fc.nat(5), maxConnections: fc.integer({ min: 5, max: 90 }) },
      { requiredKeys: [], noNullPrototype: true },
    );
    const tenants = fc.uniqueArray(fc.tuple(id, pool), {
      selector: ([name]) => tenantKey(name),
      maxLength: 30,
    });
    fc.assert(
      fc.property(tenants, (given) => {
        const config = configOf(...given.map(([name, own]) => tenant(name, own)));
        const read = decodeConfig(encodeConfig(config));
        assert.deepEqual([read.epoch, read.position], [3, 42]);
        assert.deepEqual(read.defaults, config.defaults);
        assert.deepEqual(new Map(read.tenants), new Map(config.tenants));
      }),
    );
  });

  it('give what was written before a pool setting was made the default of that setting', () => {
    const json = JSON.parse(encodeConfig(EMPTY_CONFIG)) as { defaults: Record<string, unknown> };
    delete json.defaults['acquireTimeoutMs'];
    assert.deepEqual(decodeConfig(JSON.stringify(json)).defaults, DEFAULT_POOL_SETTINGS);
  });

  it('refuse two tenants whose ids differ in case only', () => {
    const text = encodeConfig(configOf(tenant('acme'))).replace(
      /"tenants":\[(.*)\]/,
      (_all, one: string) => `"tenants":[${one},${one.replace('"acme"', '"ACME"')}]`,
    );
    assert.throws(() => decodeConfig(text), { name: 'ZodError', message: /ACME/ });
  });

  it('refuse another format, an unknown field, a missing field and values out of range', () => {
    const json = JSON.parse(encodeConfig(configOf(tenant('acme')))) as Record<string, unknown>;
    const altered: Record<string, unknown>[] = [
      { ...json, format: 2 },
      { ...json, actor: 'alice' },
      { ...json, defaults: undefined },
      { ...json, position: -1 },
      { ...json, tenants: [{ ...tenant('acme'), port: 65_536 }] },
      { ...json, tenants: [{ ...tenant('acme'), password: 'hunter2' }] },
      { ...json, tenants: [{ ...tenant('acme'), pool: { acquireTimeoutMs: 0 } }] },
    ];
    for (const one of altered) {
      assert.throws(() => decodeConfig(JSON.stringify(one)), { name: 'ZodError' });
    }
    assert.throws(() => decodeConfig('{'), SyntaxError);
  });
});
