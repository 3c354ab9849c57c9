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
import { isServerCommand } from '../domain/server/commands.ts';
import { tenantIdOf } from '../domain/tenant/commands.ts';
import { planChanges } from './plan.ts';
import type { PlanScope, Secrets } from './plan.ts';

/** As the keyring does it: the same password again is the same secret. */
const secrets: Secrets = {
  make: (id, written, current) =>
    current !== undefined && secrets.isSame(id, written, current)
      ? current
      : { kind: 'env', name: written },
  isSame: (_id, written, secret) => secret.kind === 'env' && secret.name === written,
};

const ENTRY: TenantInFile = Object.freeze({
  db_type: 'postgres',
  host: 'h',
  dbname: 'd',
  username: 'u',
  password: 'PW',
});

function view(id: string, origin: TenantOrigin, change: Partial<TenantConfig> = {}): TenantView {
  return {
    config: { ...tenant(id), ...change },
    origin,
    version: 1,
    position: 1,
    createdAt: '',
    updatedAt: '',
  };
}

/** As the entry ENTRY makes it. */
function tenant(id: string): TenantConfig {
  return newTenantConfig(id as TenantId, ENTRY, (written) => ({ kind: 'env', name: written }));
}

interface Given {
  readonly file: Readonly<Record<string, Partial<TenantInFile>>>;
  readonly tenants?: readonly TenantView[];
  readonly wanted?: Partial<PoolSettings>;
  readonly defaults?: Partial<PoolSettings>;
  /** The tenants as the file left them; nothing stands for one that it removed. */
  readonly said?: Readonly<Record<string, TenantConfig | undefined>>;
  readonly saidDefaults?: Partial<PoolSettings>;
  readonly scope?: PlanScope;
}

function planOf({ file, tenants = [], said = {}, scope, ...given }: Given) {
  const entries = Object.entries(file).map(
    ([id, entry]) => [id as TenantId, { ...ENTRY, ...entry }] as const,
  );
  const defaults = (own: Partial<PoolSettings> = {}) => ({ ...DEFAULT_POOL_SETTINGS, ...own });
  return planChanges(
    { tenants: new Map(entries), servers: new Map(), defaults: defaults(given.wanted) },
    {
      tenants,
      servers: [],
      defaults: defaults(given.defaults),
      lastWords: {
        onTenant: (id) => (id in said ? { tenant: said[id] } : undefined),
        onDefaults: () => given.saidDefaults && defaults(given.saidDefaults),
        onServer: () => undefined,
      },
    },
    secrets,
    scope,
  );
}

function plan(given: Given): readonly string[] {
  const { commands, conflicts } = planOf(given);
  assert.deepEqual(conflicts, []);
  return commands.map((command) => {
    if (command.kind === 'set_defaults') return 'set_defaults';
    assert.ok(!isServerCommand(command));
    const id = tenantIdOf(command);
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

describe('planChanges beside the API', () => {
  it('leaves what was changed elsewhere after the file said the same, and names it', () => {
    const tenants = [view('a', 'file', { host: 'changed' }), view('b', 'file')];
    const file = { a: {}, b: { host: 'x' }, gone: {} };
    const said = { a: tenant('a'), b: tenant('b'), gone: tenant('gone') };
    assert.deepEqual(plan({ file, tenants, said }), ['replace_tenant b']);
    assert.deepEqual(planOf({ file, tenants, said }).kept, {
      tenants: ['a', 'gone'],
      servers: [],
      defaults: false,
    });
  });

  it('does all of it when asked for the whole', () => {
    const tenants = [view('a', 'file', { host: 'changed' })];
    const said = { a: tenant('a'), gone: tenant('gone') };
    const whole = { file: { a: {}, gone: {} }, tenants, said, scope: 'whole' } as const;
    assert.deepEqual(plan(whole), ['replace_tenant a', 'register_tenant gone by file']);
    assert.deepEqual(planOf(whole).kept, { tenants: [], servers: [], defaults: false });
  });

  it('does what the file says anew, whatever was changed elsewhere', () => {
    const tenants = [view('a', 'file', { host: 'changed' })];
    const said = { a: tenant('a'), gone: tenant('gone') };
    const file = { a: { port: 1 }, gone: { port: 1 } };
    assert.deepEqual(plan({ file, tenants, said }), [
      'replace_tenant a',
      'register_tenant gone by file',
    ]);
  });

  it('registers again what it removed itself', () => {
    assert.deepEqual(plan({ file: { a: {} }, said: { a: undefined } }), [
      'register_tenant a by file',
    ]);
  });

  it('leaves a tenant of the API alone while the entry is the same, and says so otherwise', () => {
    const tenants = [view('a', 'api')];
    assert.deepEqual(plan({ file: { a: {} }, tenants }), []);
    assert.deepEqual(plan({ file: {}, tenants }), []);
    const change = { host: 'x', password: 'OTHER', max_connections: 3 };
    const { conflicts } = planOf({ file: { a: change }, tenants });
    assert.deepEqual(
      conflicts.map(({ id }) => id),
      ['a'],
    );
    assert.match(
      conflicts[0]?.message ?? '',
      /differs from this in host, password, max_connections; write "adopt: true"/,
    );
    assert.doesNotMatch(conflicts[0]?.message ?? '', /OTHER|PW/);
  });

  it('adopts a tenant of the API, with or without a change, once', () => {
    const tenants = [view('a', 'api'), view('b', 'api'), view('c', 'file')];
    const file = { a: { adopt: true }, b: { adopt: true, host: 'x' }, c: { adopt: true } };
    assert.deepEqual(plan({ file, tenants }), [
      'adopt_tenant a',
      'adopt_tenant b',
      'replace_tenant b',
    ]);
  });

  it('registers a tenant of the API anew when it adopts it with another protocol', () => {
    const file = { a: { adopt: true, db_type: 'mysql' } } as const;
    assert.deepEqual(plan({ file, tenants: [view('a', 'api')] }), [
      'remove_tenant a',
      'register_tenant a by file',
    ]);
  });

  it('sets the defaults when it says others than before, not because others set them', () => {
    const changed = { defaults: { maxQueries: 5 }, file: {} };
    assert.deepEqual(plan({ ...changed, saidDefaults: {} }), []);
    assert.equal(planOf({ ...changed, saidDefaults: {} }).kept.defaults, true);
    assert.deepEqual(plan({ ...changed, saidDefaults: { maxQueries: 1 } }), ['set_defaults']);
    assert.deepEqual(plan({ ...changed, saidDefaults: {}, scope: 'whole' }), ['set_defaults']);
    assert.deepEqual(plan(changed), ['set_defaults']);
  });
});
