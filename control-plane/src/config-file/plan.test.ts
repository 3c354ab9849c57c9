/**
 * Given a present state and a file, then these commands: the rules of who owns what, and their
 * order.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { newTenantConfig } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import type { TenantInFile } from '@dbbouncer/shared/contract/tenant-resource.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantOrigin } from '../domain/tenant/events.ts';
import type { TenantView } from '../store/read-models.ts';
import { planChanges } from './plan.ts';
import type { SecretFor } from './plan.ts';

/** As the keyring does it: the same password again is the same secret. */
const secretFor: SecretFor = (_id, written, current) =>
  current?.kind === 'env' && current.name === written ? current : { kind: 'env', name: written };

const ENTRY: TenantInFile = Object.freeze({
  db_type: 'postgres',
  host: 'h',
  dbname: 'd',
  username: 'u',
  password: 'PW',
});

function view(id: string, origin: TenantOrigin, change: Partial<TenantConfig> = {}): TenantView {
  const config = newTenantConfig(id as TenantId, ENTRY, (written) =>
    secretFor(id as TenantId, written, undefined),
  );
  return {
    config: { ...config, ...change },
    origin,
    version: 1,
    position: 1,
    createdAt: '',
    updatedAt: '',
  };
}

interface Given {
  readonly file: Readonly<Record<string, Partial<TenantInFile>>>;
  readonly tenants?: readonly TenantView[];
  readonly wanted?: Partial<PoolSettings>;
}

function plan({ file, tenants = [], wanted = {} }: Given): readonly string[] {
  const entries = Object.entries(file).map(
    ([id, entry]) => [id as TenantId, { ...ENTRY, ...entry }] as const,
  );
  const commands = planChanges(
    { tenants: new Map(entries), defaults: { ...DEFAULT_POOL_SETTINGS, ...wanted } },
    { tenants, defaults: DEFAULT_POOL_SETTINGS },
    secretFor,
  );
  return commands.map((command) => {
    if (command.kind === 'set_defaults') return 'set_defaults';
    const id = 'tenant' in command ? command.tenant.id : command.id;
    return `${command.kind} ${id}${'origin' in command ? ` by ${command.origin}` : ''}`;
  });
}

describe('planChanges', () => {
  it('does nothing when file and tenants agree', () => {
    assert.deepEqual(plan({ file: { a: {} }, tenants: [view('a', 'file'), view('b', 'api')] }), []);
  });

  it('registers what is new as its own', () => {
    assert.deepEqual(plan({ file: { a: {} } }), ['register_tenant a by file']);
  });

  it('neither says nor undoes what operators have done to a tenant', () => {
    const operations = { state: 'paused', connectionsGeneration: 1, clientsGeneration: 2 } as const;
    const tenants = [view('a', 'file', { operations })];
    assert.deepEqual(plan({ file: { a: {} }, tenants }), []);
    assert.deepEqual(plan({ file: { a: { host: 'x' } }, tenants }), ['replace_tenant a']);
  });

  it('replaces what differs in any field, the password too', () => {
    const tenants = [view('a', 'file')];
    for (const change of [
      { host: 'x' },
      { password: 'OTHER' },
      { idle_timeout: '1m' },
      { port: 1 },
    ]) {
      assert.deepEqual(
        plan({ file: { a: change }, tenants }),
        ['replace_tenant a'],
        JSON.stringify(change),
      );
    }
  });

  it('removes what vanished from it, and nothing that the API registered', () => {
    const tenants = [view('a', 'file'), view('b', 'api'), view('c', 'file')];
    assert.deepEqual(plan({ file: { c: {} }, tenants }), ['remove_tenant a']);
  });

  it('takes over the settings of a tenant that the API registered, but not the tenant', () => {
    const tenants = [view('a', 'api')];
    assert.deepEqual(plan({ file: { a: { host: 'x' } }, tenants }), ['replace_tenant a']);
    assert.deepEqual(plan({ file: {}, tenants }), []);
  });

  it('knows a tenant by its id in any case', () => {
    assert.deepEqual(plan({ file: { ACME: {} }, tenants: [view('acme', 'file')] }), []);
  });

  it('removes and registers anew when the protocol changes', () => {
    assert.deepEqual(plan({ file: { a: { db_type: 'mysql' } }, tenants: [view('a', 'file')] }), [
      'remove_tenant a',
      'register_tenant a by file',
    ]);
  });

  it('raises the default limit before the tenants and lowers it after them', () => {
    const file = { a: {} };
    assert.deepEqual(plan({ file, wanted: { maxConnections: 50 } }), [
      'set_defaults',
      'register_tenant a by file',
    ]);
    assert.deepEqual(plan({ file, wanted: { maxConnections: 5 } }), [
      'register_tenant a by file',
      'set_defaults',
    ]);
  });
});
