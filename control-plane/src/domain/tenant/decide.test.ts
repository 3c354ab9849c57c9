/** The rules of tenants, as given events → when command → then events or refusal. */
import { describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { given, givenDefaults, sampleTenant } from '../given-when-then.ts';
import type { TenantPatch } from './commands.ts';
import type { TenantEvent } from './events.ts';

const id = 'acme' as TenantId;

function registered(fields: Parameters<typeof sampleTenant>[0] = {}): TenantEvent {
  return { type: 'TenantRegistered', data: { tenant: sampleTenant(fields), origin: 'api' } };
}
const removed: TenantEvent = { type: 'TenantRemoved', data: {} };

function update(changes: TenantPatch) {
  return { kind: 'update_tenant', id, changes } as const;
}

describe('register_tenant', () => {
  const register = (fields: Parameters<typeof sampleTenant>[0] = {}) =>
    ({ kind: 'register_tenant', origin: 'api', tenant: sampleTenant(fields) }) as const;

  it('registers a tenant nobody knows', () => {
    given().when(register()).thenEvents(registered());
  });

  it('registers a removed tenant again', () => {
    given(registered(), removed)
      .when(register({ port: 6000 }))
      .thenEvents(registered({ port: 6000 }));
  });

  it('refuses an id that is taken, in whatever case it is written', () => {
    given(registered())
      .when(register({ id: 'ACME' as TenantId }))
      .thenRefused('TENANT_EXISTS', /"acme" exists/);
  });

  it('refuses a minimum of 6 above a maximum of 5', () => {
    given()
      .when(register({ pool: { minConnections: 6, maxConnections: 5 } }))
      .thenRefused('VALIDATION_FAILED', /\(6\) is above max_connections \(5\)/);
  });

  it('refuses a minimum above the maximum that comes from the defaults', () => {
    givenDefaults({ ...DEFAULT_POOL_SETTINGS, maxConnections: 4 })
      .when(register({ pool: { minConnections: 5 } }))
      .thenRefused('VALIDATION_FAILED', /\(5\) is above max_connections \(4\)/);
  });

  it('leaves out pool settings that are not given', () => {
    given()
      .when(register({ pool: { maxConnections: 9, minConnections: undefined } }))
      .thenEvents(registered({ pool: { maxConnections: 9 } }));
  });
});

describe('update_tenant', () => {
  it('records only what changes', () => {
    given(registered())
      .when(update({ host: 'db2.example.com', port: 5432, username: 'app' }))
      .thenEvents({ type: 'TenantUpdated', data: { changes: { host: 'db2.example.com' } } });
  });

  it('records a new user name as an update and a new password as changed credentials', () => {
    given(registered())
      .when(update({ username: 'owner', password: { kind: 'env', name: 'OTHER' } }))
      .thenEvents(
        { type: 'TenantUpdated', data: { changes: { username: 'owner' } } },
        {
          type: 'TenantCredentialsChanged',
          data: { password: { kind: 'env', name: 'OTHER' } },
        },
      );
  });

  it('records nothing when nothing changes', () => {
    given(registered({ pool: { maxConnections: 9 } }))
      .when(
        update({
          host: 'db.example.com',
          databases: [],
          password: { name: 'ACME_PASSWORD', kind: 'env' },
          pool: { maxConnections: 9, minConnections: null },
        }),
      )
      .thenEvents();
  });

  it('compares with what earlier updates made of the tenant', () => {
    given(registered(), { type: 'TenantUpdated', data: { changes: { port: 6000 } } })
      .when(update({ port: 5432 }))
      .thenEvents({ type: 'TenantUpdated', data: { changes: { port: 5432 } } });
  });

  it('records a pool setting that goes back to the default as null', () => {
    given(registered({ pool: { maxConnections: 9, poolMode: 'transaction' } }))
      .when(update({ pool: { maxConnections: null } }))
      .thenEvents({ type: 'TenantUpdated', data: { changes: { pool: { maxConnections: null } } } });
  });

  it('forgets a pool setting that went back to the default', () => {
    given(registered({ pool: { maxConnections: 9 } }), {
      type: 'TenantUpdated',
      data: { changes: { pool: { maxConnections: null } } },
    })
      .when(update({ pool: { maxConnections: null } }))
      .thenEvents();
  });

  it('refuses a maximum that falls below the own minimum of before', () => {
    given(registered({ pool: { minConnections: 5 } }))
      .when(update({ pool: { maxConnections: 4 } }))
      .thenRefused('VALIDATION_FAILED', /\(5\) is above max_connections \(4\)/);
  });

  it('refuses another protocol', () => {
    given(registered())
      .when(update({ protocol: 'mysql' }))
      .thenRefused('TENANT_PROTOCOL_FIXED', /postgres and cannot change to mysql/);
  });

  it('accepts the protocol it has', () => {
    given(registered())
      .when(update({ protocol: 'postgres' }))
      .thenEvents();
  });

  it('refuses an unknown and a removed tenant', () => {
    given()
      .when(update({ port: 1 }))
      .thenRefused('TENANT_NOT_FOUND', /"acme" does not exist/);
    given(registered(), removed)
      .when(update({ port: 1 }))
      .thenRefused('TENANT_NOT_FOUND');
  });
});

describe('replace_tenant', () => {
  it('records the difference, pool settings that are not in the target as null', () => {
    const before = registered({ pool: { maxConnections: 9, minConnections: 1 } });
    const target = sampleTenant({ port: 6000, pool: { maxConnections: 9, acquireTimeoutMs: 50 } });
    given(before)
      .when({ kind: 'replace_tenant', tenant: target })
      .thenEvents({
        type: 'TenantUpdated',
        data: {
          changes: { port: 6000, pool: { minConnections: null, acquireTimeoutMs: 50 } },
        },
      });
  });

  it('keeps the password when the target has none', () => {
    const { password: _, ...target } = sampleTenant({ database: 'other' });
    given(registered())
      .when({ kind: 'replace_tenant', tenant: target })
      .thenEvents({ type: 'TenantUpdated', data: { changes: { database: 'other' } } });
  });

  it('records nothing for the tenant as it is, and keeps the case of its id', () => {
    given(registered())
      .when({ kind: 'replace_tenant', tenant: sampleTenant({ id: 'Acme' as TenantId }) })
      .thenEvents();
  });

  it('refuses an unknown tenant and another protocol', () => {
    given()
      .when({ kind: 'replace_tenant', tenant: sampleTenant() })
      .thenRefused('TENANT_NOT_FOUND');
    given(registered())
      .when({ kind: 'replace_tenant', tenant: sampleTenant({ protocol: 'mysql' }) })
      .thenRefused('TENANT_PROTOCOL_FIXED');
  });
});

describe('remove_tenant', () => {
  it('removes a tenant once', () => {
    given(registered()).when({ kind: 'remove_tenant', id }).thenEvents(removed);
    given(registered(), removed)
      .when({ kind: 'remove_tenant', id })
      .thenRefused('TENANT_NOT_FOUND');
  });
});

describe('adopt_tenant', () => {
  const adopt = { kind: 'adopt_tenant', id: sampleTenant().id } as const;
  const registered = (origin: 'api' | 'file') =>
    ({ type: 'TenantRegistered', data: { tenant: sampleTenant(), origin } }) as const;

  it('gives a tenant of the API to the file, once', () => {
    const adopted = { type: 'TenantAdopted', data: {} } as const;
    given(registered('api')).when(adopt).thenEvents(adopted);
    given(registered('api'), adopted).when(adopt).thenEvents();
    given(registered('file')).when(adopt).thenEvents();
  });

  it('is refused for a tenant that is not there', () => {
    given().when(adopt).thenRefused('TENANT_NOT_FOUND');
  });
});

describe('operate_tenant', () => {
  const bare = (type: 'TenantPaused' | 'TenantResumed' | 'TenantDrained' | 'TenantReconnected') =>
    ({ type, data: {} }) as const;
  const killed = { type: 'TenantClientsKilled', data: {} } as const;
  const operate = (operation: TenantOperation) =>
    ({ kind: 'operate_tenant', id, operation }) as const;

  it('pauses, resumes and drains once each', () => {
    const paused = bare('TenantPaused');
    const drained = bare('TenantDrained');
    given(registered()).when(operate('pause')).thenEvents(paused);
    given(registered(), paused).when(operate('pause')).thenEvents();
    given(registered(), paused).when(operate('resume')).thenEvents(bare('TenantResumed'));
    given(registered()).when(operate('resume')).thenEvents();
    given(registered(), paused).when(operate('drain')).thenEvents(drained);
    given(registered(), drained).when(operate('drain')).thenEvents();
    given(registered(), drained).when(operate('resume')).thenEvents(bare('TenantResumed'));
  });

  it('reconnects and kills as often as it is asked', () => {
    const reconnected = bare('TenantReconnected');
    given(registered(), reconnected).when(operate('reconnect')).thenEvents(reconnected);
    given(registered(), killed).when(operate('kill')).thenEvents(killed);
  });

  it('does not pause a tenant that is being drained', () => {
    given(registered(), bare('TenantDrained'))
      .when(operate('pause'))
      .thenRefused('TENANT_BEING_DRAINED', /"acme" is being drained/);
  });

  it('forgets what was operated on a tenant that was removed', () => {
    given(registered(), bare('TenantPaused'), removed, registered())
      .when(operate('pause'))
      .thenEvents(bare('TenantPaused'));
  });

  it('is undone by no change of settings', () => {
    const { password: _, ...target } = sampleTenant({ port: 6000 });
    const replaced = { type: 'TenantUpdated', data: { changes: { port: 6000 } } } as const;
    given(registered(), bare('TenantPaused'))
      .when({ kind: 'replace_tenant', tenant: target })
      .thenEvents(replaced);
    given(registered(), bare('TenantPaused'), replaced).when(operate('pause')).thenEvents();
  });

  it('refuses an unknown tenant', () => {
    given().when(operate('pause')).thenRefused('TENANT_NOT_FOUND');
  });
});
