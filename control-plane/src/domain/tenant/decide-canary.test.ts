/** The rules of canaries: how one begins and ends, and what it keeps from happening. */
import { describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { given, givenDefaults, sampleTenant } from '../given-when-then.ts';
import type { StartCanary, UpdateTenant } from './commands.ts';
import type { TenantEvent } from './events.ts';

const id = 'acme' as TenantId;
const STARTED = '2026-01-01T00:00:00.000Z';
const HOW = {
  proxies: ['p1' as ProxyId],
  share: 0.1,
  startedAt: STARTED,
  promoteAfterMs: 60_000,
};
const BEFORE = [{ proxy: 'p1', startedAt: STARTED, queries: 7, errors: 0 }];

const registered: TenantEvent = {
  type: 'TenantRegistered',
  data: { tenant: sampleTenant(), origin: 'api' },
};
const paused: TenantEvent = { type: 'TenantPaused', data: {} };
const promoted: TenantEvent = { type: 'CanaryPromoted', data: {} };
const rolledBack = (cause: 'aborted' | 'overruled' | 'errors'): TenantEvent => ({
  type: 'CanaryRolledBack',
  data: { cause },
});

const { id: _, ...settings } = sampleTenant();
const update = (changes: UpdateTenant['changes']): UpdateTenant => {
  return { kind: 'update_tenant', id, changes };
};
const start = (changes: UpdateTenant['changes']): StartCanary => {
  return { kind: 'start_canary', change: update(changes), canary: HOW, before: BEFORE };
};
const started = (candidate: object): TenantEvent => ({
  type: 'CanaryStarted',
  data: {
    canary: { ...HOW, candidate: { ...settings, databases: [], ...candidate } },
    before: BEFORE,
  },
});
const running = started({ port: 6_000 });
const promote = { kind: 'promote_canary', id } as const;
const abort = { kind: 'roll_back_canary', id, cause: 'aborted' } as const;

describe('start_canary', () => {
  it('records all settings as the change would make them, what is operated left out', () => {
    given(registered, paused)
      .when(start({ port: 6_000 }))
      .thenEvents(running);
  });

  it('records nothing for a change that changes nothing', () => {
    given(registered)
      .when(start({ port: 5_432 }))
      .thenEvents();
  });

  it('refuses what the change alone would be refused for', () => {
    given(registered)
      .when(start({ protocol: 'mysql' }))
      .thenRefused('TENANT_PROTOCOL_FIXED');
    given()
      .when(start({ port: 1 }))
      .thenRefused('TENANT_NOT_FOUND');
  });

  it('refuses a second one, unless that ends the first', () => {
    given(registered, running)
      .when(start({ port: 7_000 }))
      .thenRefused('CANARY_RUNNING');
    given(registered, running)
      .when(start({ port: 7_000 }), 'end')
      .thenEvents(rolledBack('overruled'), started({ port: 7_000 }));
  });
});

describe('while a canary runs', () => {
  it('the tenant is not changed, replaced, rolled back nor removed', () => {
    const { host } = sampleTenant();
    const past = { was: sampleTenant({ port: 1 }), last: undefined };
    for (const command of [
      update({ host }),
      { kind: 'replace_tenant', tenant: sampleTenant() },
      { kind: 'remove_tenant', id },
      { kind: 'roll_back_tenant', id, to: 1, past },
    ] as const) {
      given(registered, running)
        .when(command)
        .thenRefused('CANARY_RUNNING', /"acme" is being tried by 1 proxies/);
    }
  });

  it('who insists has it rolled back first, and changes what was there before', () => {
    given(registered, running)
      .when(update({ host: 'other' }), 'end')
      .thenEvents(rolledBack('overruled'), {
        type: 'TenantUpdated',
        data: { changes: { host: 'other' } },
      });
    given(registered, running)
      .when({ kind: 'remove_tenant', id }, 'end')
      .thenEvents(rolledBack('overruled'), { type: 'TenantRemoved', data: {} });
  });

  it('traffic can be operated on', () => {
    given(registered, running)
      .when({ kind: 'operate_tenant', id, operation: 'pause' })
      .thenEvents(paused);
  });
});

describe('the end of a canary', () => {
  it('is its promotion, after which the tenant is what was tried, as it was operated on', () => {
    given(registered, running).when(promote).thenEvents(promoted);
    const resume = { kind: 'operate_tenant', id, operation: 'resume' } as const;
    given(registered, running, paused, promoted)
      .when(resume)
      .thenEvents({ type: 'TenantResumed', data: {} });
    given(registered, running, promoted)
      .when(update({ port: 6_000 }))
      .thenEvents();
  });

  it('is its rollback, after which the tenant is as it was', () => {
    given(registered, running).when(abort).thenEvents(rolledBack('aborted'));
    given(registered, running, rolledBack('errors'))
      .when(update({ port: 5_432 }))
      .thenEvents();
  });

  it('comes once, and not for the canary that came after', () => {
    for (const command of [promote, abort]) {
      given(registered).when(command).thenRefused('CANARY_NOT_RUNNING');
      given(registered, running, promoted).when(command).thenRefused('CANARY_NOT_RUNNING');
      const startedAt = '2025-12-31T00:00:00.000Z';
      given(registered, running)
        .when({ ...command, startedAt })
        .thenRefused('CANARY_NOT_RUNNING');
    }
  });

  it('is no promotion where the defaults of now contradict what was tried', () => {
    const defaults = { ...DEFAULT_POOL_SETTINGS, maxConnections: 4 };
    const tried = started({ pool: { minConnections: 9 } });
    givenDefaults(defaults, registered, tried)
      .when(promote)
      .thenRefused('VALIDATION_FAILED', /min_connections \(9\)/);
  });
});
