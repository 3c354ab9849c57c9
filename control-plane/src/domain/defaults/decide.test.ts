/** The rules of the fleet's defaults. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { sampleTenant } from '../given-when-then.ts';
import { decideDefaults } from './decide.ts';

function set(changes: Partial<PoolSettings>) {
  return { kind: 'set_defaults', defaults: { ...DEFAULT_POOL_SETTINGS, ...changes } } as const;
}

describe('set_defaults', () => {
  it('records the new settings whole', () => {
    const command = set({ maxConnections: 7 });
    assert.deepEqual(decideDefaults(command, DEFAULT_POOL_SETTINGS, undefined), [
      { type: 'DefaultsChanged', data: { defaults: command.defaults } },
    ]);
  });

  it('records nothing for the settings that hold', () => {
    assert.deepEqual(decideDefaults(set({}), DEFAULT_POOL_SETTINGS, undefined), []);
  });

  it('refuses a minimum of 3 above a maximum of 2', () => {
    const command = set({ minConnections: 3, maxConnections: 2 });
    assert.throws(() => decideDefaults(command, DEFAULT_POOL_SETTINGS, undefined), {
      code: 'VALIDATION_FAILED',
      message: 'min_connections (3) is above max_connections (2).',
    });
  });

  it('refuses settings that contradict what a tenant has set itself, and names it', () => {
    const tenant = sampleTenant({ pool: { minConnections: 8 } });
    const command = set({ maxConnections: 5 });
    assert.throws(() => decideDefaults(command, DEFAULT_POOL_SETTINGS, tenant), {
      code: 'VALIDATION_FAILED',
      message: 'min_connections (8) is above max_connections (5) for tenant "acme".',
    });
  });
});
