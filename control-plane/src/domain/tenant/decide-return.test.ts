/** The rules by which a tenant goes back to what it was. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { UNTOUCHED } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { given, givenDefaults, sampleTenant } from '../given-when-then.ts';
import type { RestoreTenant, RollBackTenant, TenantPast } from './commands.ts';
import type { TenantEvent } from './events.ts';
import { ABSENT, evolveTenant } from './state.ts';

const id = 'acme' as TenantId;
const first = sampleTenant();
const second = sampleTenant({ host: 'other', pool: { maxConnections: 3 } });

const registered = (tenant = first): TenantEvent => ({
  type: 'TenantRegistered',
  data: { tenant, origin: 'file' },
});
const removed: TenantEvent = { type: 'TenantRemoved', data: {} };
const paused: TenantEvent = { type: 'TenantPaused', data: {} };
const toSecond: TenantEvent = {
  type: 'TenantUpdated',
  data: { changes: { host: 'other', pool: { maxConnections: 3 } } },
};

function rollBack(past: TenantPast, fields: Partial<RollBackTenant> = {}): RollBackTenant {
  return { kind: 'roll_back_tenant', id, to: 1, past, ...fields };
}

function restore(past: TenantPast): RestoreTenant {
  return { kind: 'restore_tenant', id, past };
}

describe('rolling a tenant back', () => {
  const past = { was: first, last: { tenant: second, position: 2 } };

  it('gives it all it was then, in one event', () => {
    given(registered(), toSecond)
      .when(rollBack(past))
      .thenEvents({ type: 'TenantRolledBack', data: { tenant: first, to: 1 } });
  });

  it('changes nothing of one that is as then', () => {
    given(registered()).when(rollBack(past)).thenEvents();
  });

  it('keeps who manages it, and the pause of now', () => {
    const operations = { ...UNTOUCHED, state: 'paused' } as const;
    const tenant = { ...first, operations };
    given(registered(), toSecond, paused)
      .when(rollBack(past))
      .thenEvents({ type: 'TenantRolledBack', data: { tenant, to: 1 } });
    const event: TenantEvent = { type: 'TenantRolledBack', data: { tenant, to: 1 } };
    assert.deepEqual([registered(), toSecond, paused, event].reduce(evolveTenant, ABSENT), {
      status: 'registered',
      tenant,
      origin: 'file',
    });
  });

  it('does not bring back a pause of then', () => {
    const was = { ...first, operations: { ...UNTOUCHED, state: 'paused' } as const };
    given(registered(), toSecond)
      .when(rollBack({ ...past, was }))
      .thenEvents({ type: 'TenantRolledBack', data: { tenant: first, to: 1 } });
  });

  it('brings back one that was removed since; the API manages it from then on', () => {
    given(registered(), removed)
      .when(rollBack(past))
      .thenEvents({ type: 'TenantRestored', data: { tenant: first, to: 1, origin: 'api' } });
  });

  it('makes another tenant of one that spoke another protocol then', () => {
    const was = sampleTenant({ protocol: 'mysql' });
    given(registered())
      .when(rollBack({ ...past, was }))
      .thenEvents(removed, {
        type: 'TenantRestored',
        data: { tenant: was, to: 1, origin: 'api' },
      });
  });

  it('keeps the id as it is written now', () => {
    given(registered(), toSecond)
      .when(rollBack({ ...past, was: sampleTenant({ id: 'ACME' as TenantId }) }))
      .thenEvents({ type: 'TenantRolledBack', data: { tenant: first, to: 1 } });
  });

  it('is refused when it was not registered then, or never', () => {
    given(registered())
      .when(rollBack({ ...past, was: undefined }))
      .thenRefused('TENANT_ABSENT_THEN', /"acme" was not registered at position 1/);
    given()
      .when(rollBack({ was: undefined, last: undefined }))
      .thenRefused('TENANT_NOT_FOUND');
  });

  it('is refused when the defaults of now contradict it, unless others come along', () => {
    const was = sampleTenant({ pool: { minConnections: 8 } });
    const few = { ...DEFAULT_POOL_SETTINGS, maxConnections: 4 };
    const command = rollBack({ ...past, was });
    givenDefaults(few, registered())
      .when(command)
      .thenRefused('VALIDATION_FAILED', /min_connections \(8\) is above max_connections \(4\)/);
    givenDefaults(few, registered())
      .when({ ...command, defaults: DEFAULT_POOL_SETTINGS })
      .thenEvents({ type: 'TenantRolledBack', data: { tenant: was, to: 1 } });
  });
});

describe('restoring a tenant', () => {
  const past = { was: undefined, last: { tenant: second, position: 7 } };

  it('brings back what was last there', () => {
    given(registered(), removed)
      .when(restore(past))
      .thenEvents({ type: 'TenantRestored', data: { tenant: second, to: 7, origin: 'api' } });
  });

  it('is refused when it was not removed, or never there', () => {
    given(registered())
      .when(restore(past))
      .thenRefused('TENANT_EXISTS', /"acme" was not removed/);
    given()
      .when(restore({ was: undefined, last: undefined }))
      .thenRefused('TENANT_NOT_FOUND', /never did/);
  });

  it('is refused when the defaults of now contradict it', () => {
    const tenant = sampleTenant({ pool: { minConnections: 8 } });
    givenDefaults({ ...DEFAULT_POOL_SETTINGS, maxConnections: 4 }, registered(), removed)
      .when(restore({ ...past, last: { tenant, position: 7 } }))
      .thenRefused('VALIDATION_FAILED');
  });
});
