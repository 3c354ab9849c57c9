/** The text of a config: what is written comes back, in lines or not, and nothing else passes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { tenantKey } from '../kernel/ids.ts';
import { decodeConfig, encodeConfig } from './config-text.ts';
import { DEFAULT_POOL_SETTINGS } from './pool-settings.ts';
import { EMPTY_CONFIG } from './routing-config.ts';
import { configOf, tenant } from './testing.ts';

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
      /\n(.*)\n/,
      (_all, one: string) => `\n${one},\n${one.replace('"acme"', '"ACME"')}\n`,
    );
    assert.throws(() => decodeConfig(text), {
      name: 'ZodError',
      message: /tenant .*acme.* is there twice/,
    });
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
