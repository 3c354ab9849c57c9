/** What becomes of a pool when its tenant is changed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { operated, operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { poolEffect } from './pool-effects.ts';
import type { ReportedPool } from './pool-effects.ts';

const secret = (name: string) => ({ kind: 'env' as const, name });
const asks = { cacheTtlMs: 1, negativeTtlMs: 1 };
const tenant: TenantConfig = {
  id: 'acme' as TenantId,
  protocol: 'postgres',
  host: 'db.internal',
  port: 5432,
  database: 'shop',
  databases: ['audit'],
  username: 'app',
  password: secret('A'),
  users: [
    { name: 'report', serverUser: 'reader', password: secret('B') },
    { name: 'found', serverUser: 'found' },
  ],
  authQuery: { ...asks, user: 'asker', password: secret('C') },
  pool: {},
};
const own: ReportedPool = { database: 'shop', user: 'app' };
const audit: ReportedPool = { database: 'audit', user: 'app' };
const reader: ReportedPool = { database: 'shop', user: 'reader' };
const asker: ReportedPool = { database: 'shop', user: 'asker' };
const lookedUp: ReportedPool = { database: 'audit', user: 'somebody' };

const after = (pool: ReportedPool, changes: Partial<TenantConfig>) =>
  poolEffect(pool, tenant, { ...tenant, ...changes });
const afterOperation = (operation: TenantOperation) =>
  after(own, { operations: operated(operationsOf(tenant), operation) });

describe('a pool', () => {
  it('is kept when sizes, times and access are all that changes', () => {
    for (const pool of [own, audit, reader, asker, lookedUp]) {
      const changes = { pool: { maxConnections: 3 }, access: [] };
      assert.equal(after(pool, changes), 'kept', JSON.stringify(pool));
    }
  });

  it('is replaced when another server, TLS or init_sql is what its connections need', () => {
    for (const pool of [own, audit, reader, asker, lookedUp]) {
      for (const changes of [
        { host: 'other' },
        { port: 1 },
        { initSql: 'SET x = 1' },
        { serverTls: { mode: 'require' as const } },
      ]) {
        assert.equal(after(pool, changes), 'replaced', JSON.stringify([pool, changes]));
      }
    }
  });

  it('is replaced when the password of its user changes, and no other is', () => {
    const changes = { password: secret('other') };
    assert.deepEqual(
      [own, audit, reader, asker].map((pool) => after(pool, changes)),
      ['replaced', 'replaced', 'kept', 'kept'],
    );
    const users = [{ name: 'report', serverUser: 'reader', password: secret('other') }];
    assert.deepEqual(
      [own, reader].map((pool) => after(pool, { users })),
      ['kept', 'replaced'],
    );
    const authQuery = { ...asks, user: 'asker', password: secret('other') };
    assert.deepEqual(
      [own, asker].map((pool) => after(pool, { authQuery })),
      ['kept', 'replaced'],
    );
  });

  it('is drained when its database or its user is not the tenant’s any more', () => {
    assert.deepEqual(
      [own, audit].map((pool) => after(pool, { databases: [] })),
      ['kept', 'drained'],
    );
    assert.equal(after(reader, { users: [] }), 'drained');
    assert.equal(after(lookedUp, { authQuery: undefined }), 'drained');
    assert.equal(after(asker, { authQuery: undefined }), 'drained');
    assert.equal(poolEffect(own, tenant, undefined), 'drained');
    assert.equal(poolEffect({ ...own, state: 'draining' }, tenant, tenant), 'drained');
  });

  it('of the own database or user is replaced when that gets another name', () => {
    assert.equal(after(own, { database: 'store' }), 'replaced');
    assert.equal(after(own, { database: 'store', databases: ['shop'] }), 'kept');
    assert.equal(after(own, { username: 'app2' }), 'replaced');
  });

  it('is halted by pause and drain, replaced by reconnect, kept by kill and resume', () => {
    assert.deepEqual(
      (['pause', 'drain', 'reconnect', 'kill', 'resume'] as const).map(afterOperation),
      ['halted', 'halted', 'replaced', 'kept', 'kept'],
    );
  });
});
