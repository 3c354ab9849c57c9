/** Differences of tenants: under the names of REST, without secrets, in words for people. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { operated, UNTOUCHED } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { diffDefaults, diffTenants, summarize } from './tenant-diff.ts';
import type { TenantAsOf } from './tenant-diff.ts';

const sealed = (ciphertext: string) =>
  ({ kind: 'sealed', keyId: 'k1', nonce: 'AAAA', ciphertext }) as const;

function tenant(fields: Parameters<typeof sampleTenant>[0] = {}): TenantAsOf {
  return { config: sampleTenant(fields), origin: 'api' };
}

describe('the difference of two tenants', () => {
  it('names fields as REST does, and null where the default holds', () => {
    const before = tenant({ pool: { maxConnections: 10, idleTimeoutMs: 90_000 } });
    const after = tenant({ port: 5433, pool: { maxConnections: 20 } });
    assert.deepEqual(diffTenants(before, after), [
      { field: 'port', from: 5432, to: 5433 },
      { field: 'max_connections', from: 10, to: 20 },
      { field: 'idle_timeout', from: '1m30s', to: null },
    ]);
  });

  it('goes into parts and users by name, and takes other lists as a whole', () => {
    const before = tenant({ users: [{ name: 'ann', password: sealed('AAAA') }] });
    const after = tenant({
      databases: ['b'],
      serverTls: { mode: 'verify-full' },
      users: [{ name: 'ann', password: sealed('AAAA'), poolMode: 'transaction' }],
    });
    assert.deepEqual(diffTenants(before, after), [
      { field: 'databases', from: [], to: ['b'] },
      { field: 'users.ann.pool_mode', from: null, to: 'transaction' },
      { field: 'server_tls.mode', from: null, to: 'verify-full' },
    ]);
  });

  it('says of a secret that it changed, or where it is now, and nothing else', () => {
    const one = tenant({ password: sealed('AAAA') });
    const other = tenant({ password: sealed('BBBB') });
    assert.deepEqual(diffTenants(one, one), []);
    assert.deepEqual(diffTenants(one, other), [
      { field: 'password', from: 'sealed', to: 'changed' },
    ]);
    assert.deepEqual(diffTenants(one, tenant({ password: { kind: 'env', name: 'PW' } })), [
      { field: 'password', from: 'sealed', to: '${PW}' },
    ]);
    assert.deepEqual(
      diffTenants(
        tenant({ users: [{ name: 'ann', password: sealed('AAAA') }] }),
        tenant({ users: [{ name: 'ann', password: sealed('CCCC') }] }),
      ),
      [{ field: 'users.ann.password', from: 'sealed', to: 'changed' }],
    );
    const all = JSON.stringify([diffTenants(undefined, one), diffTenants(one, other)]);
    assert.doesNotMatch(all, /AAAA|BBBB|\\u0000/);
  });

  it('tells from null what a registration sets, and to null what a removal takes away', () => {
    const whole = diffTenants(undefined, tenant());
    assert.ok(whole.every(({ from }) => from === null));
    assert.ok(whole.some(({ field, to }) => field === 'host' && to === 'db.example.com'));
    assert.deepEqual(
      diffTenants(tenant(), undefined),
      whole.map(({ field, to }) => ({ field, from: to, to: null })),
    );
  });
});

describe('the difference of defaults', () => {
  it('has what differs alone', () => {
    const after = { ...DEFAULT_POOL_SETTINGS, maxConnections: 7 };
    assert.deepEqual(diffDefaults(DEFAULT_POOL_SETTINGS, after), [
      { field: 'max_connections', from: 20, to: 7 },
    ]);
    assert.deepEqual(diffDefaults(after, after), []);
  });
});

describe('the line for people', () => {
  const line = (type: string, before: TenantAsOf, after: TenantAsOf) =>
    summarize(type, diffTenants(before, after), after);

  it('says what changed from what to what', () => {
    const before = tenant({ pool: { maxConnections: 10 }, password: sealed('AAAA') });
    const after = tenant({ pool: { maxConnections: 20 }, password: sealed('BBBB') });
    assert.equal(
      line('TenantUpdated', before, after),
      'password changed, max_connections 10 -> 20',
    );
    assert.equal(line('TenantUpdated', after, tenant()).includes('20 -> default'), true);
    assert.equal(
      line('TenantUpdated', tenant(), tenant({ initSql: 'SET a = 1;\nSET b = 2' })),
      'init_sql none -> SET a = 1; SET b = 2',
    );
  });

  it('says what was done where nothing was set', () => {
    const paused = tenant({ operations: operated(UNTOUCHED, 'pause') });
    assert.equal(line('TenantPaused', tenant(), paused), 'paused');
    assert.equal(line('TenantClientsKilled', tenant(), tenant()), 'clients killed');
    assert.equal(line('TenantRemoved', tenant(), undefined), 'removed');
    assert.equal(
      line('TenantRegistered', undefined, tenant()),
      'registered: db.example.com:5432/acme_db as app',
    );
    assert.equal(
      line('TenantRestored', undefined, tenant()),
      'restored: db.example.com:5432/acme_db as app',
    );
    assert.equal(
      line('TenantRolledBack', tenant(), tenant({ port: 1 })),
      'rolled back: port 5432 -> 1',
    );
  });

  it('shows 5 changes at most, and 60 characters of a value', () => {
    const pool = {
      minConnections: 1,
      maxConnections: 9,
      maxQueries: 1,
      queryTimeoutMs: 1,
      maxLifetimeMs: 1,
      idleTimeoutMs: 1,
    };
    assert.match(line('TenantUpdated', tenant(), tenant({ pool, port: 1 })), /, and 2 more$/);
    const long = line('TenantUpdated', tenant(), tenant({ initSql: 'x'.repeat(100) }));
    assert.equal(long, `init_sql none -> ${'x'.repeat(60)}…`);
  });
});
