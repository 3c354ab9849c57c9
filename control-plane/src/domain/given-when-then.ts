/**
 * For tests of decisions: given these events, when this command, then these events or this refusal.
 * State is never looked at: what it is made of may change, what it leads to may not.
 */
import assert from 'node:assert/strict';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { controlErrors } from '../errors.ts';
import type { ControlErrorCode } from '../errors.ts';
import type { TenantCommand } from './tenant/commands.ts';
import { decideTenant } from './tenant/decide.ts';
import type { TenantEvent } from './tenant/events.ts';
import { ABSENT, evolveTenant } from './tenant/state.ts';

interface When {
  /** @param whileCanary as `decideTenant` has it */
  when(command: TenantCommand, whileCanary?: 'refuse' | 'end'): Then;
}

interface Then {
  thenEvents(...events: readonly TenantEvent[]): void;
  thenRefused(code: ControlErrorCode, message?: RegExp): void;
}

export function given(...events: readonly TenantEvent[]): When {
  return givenDefaults(DEFAULT_POOL_SETTINGS, ...events);
}

export function givenDefaults(defaults: PoolSettings, ...events: readonly TenantEvent[]): When {
  return {
    when(command, whileCanary) {
      const decide = () =>
        decideTenant(command, events.reduce(evolveTenant, ABSENT), defaults, whileCanary);
      return {
        thenEvents: (...expected) => assert.deepEqual(decide(), expected),
        thenRefused: (code, message = /./) =>
          assert.throws(decide, (error) => {
            assert.ok(controlErrors.is(error), String(error));
            assert.equal(error.code, code);
            assert.match(error.message, message);
            return true;
          }),
      };
    },
  };
}

/** A tenant with nothing special about it but what is given. */
export function sampleTenant(fields: Partial<TenantConfig> & { readonly id?: TenantId } = {}) {
  return {
    id: 'acme' as TenantId,
    protocol: 'postgres',
    host: 'db.example.com',
    port: 5432,
    database: 'acme_db',
    databases: [],
    username: 'app',
    password: { kind: 'env', name: 'ACME_PASSWORD' },
    pool: {},
    ...fields,
  } as const satisfies TenantConfig;
}
