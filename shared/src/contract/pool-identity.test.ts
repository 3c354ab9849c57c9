/** What makes another pool, and what does not. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TenantConfig } from './routing-config.ts';
import { DEFAULT_POOL_SETTINGS } from './pool-settings.ts';
import { operated, operationsOf } from './tenant-operations.ts';
import type { TenantId } from '../kernel/ids.ts';
import { poolKey } from './pool-identity.ts';
import type { PoolUser } from './pool-identity.ts';

const tenant: TenantConfig = {
  id: 'acme' as TenantId,
  protocol: 'postgres',
  host: 'db.internal',
  port: 5432,
  database: 'acme_db',
  databases: ['reports'],
  username: 'app',
  password: { kind: 'env', name: 'PASSWORD' },
  pool: {},
};
const user: PoolUser = { purpose: 'clients', serverUser: 'app', fingerprint: 'of a password' };
const key = poolKey(tenant, 'acme_db', user);

describe('poolKey', () => {
  const others: Readonly<Record<string, () => string>> = {
    host: () => poolKey({ ...tenant, host: 'other.example' }, 'acme_db', user),
    port: () => poolKey({ ...tenant, port: 5433 }, 'acme_db', user),
    'tenant id': () => poolKey({ ...tenant, id: 'globex' as TenantId }, 'acme_db', user),
    database: () => poolKey(tenant, 'reports', user),
    'server user': () => poolKey(tenant, 'acme_db', { ...user, serverUser: 'other' }),
    password: () => poolKey(tenant, 'acme_db', { ...user, fingerprint: 'of another' }),
    purpose: () => poolKey(tenant, 'acme_db', { ...user, purpose: 'auth_query' }),
    init_sql: () => poolKey({ ...tenant, initSql: 'SET x = 1' }, 'acme_db', user),
    server_tls: () => poolKey({ ...tenant, serverTls: { mode: 'require' } }, 'acme_db', user),
    'connections by an operator': () => {
      const operations = operated(operationsOf(tenant), 'reconnect');
      return poolKey({ ...tenant, operations }, 'acme_db', user);
    },
  };
  for (const [what, other] of Object.entries(others)) {
    it(`is another one after a change of ${what}`, () => assert.notEqual(other(), key));
  }

  it('is the same with every setting of pools changed, limits and timeouts alike', () => {
    assert.equal(poolKey({ ...tenant, pool: { ...DEFAULT_POOL_SETTINGS } }, 'acme_db', user), key);
  });

  it('is the same when only what decides who may come has changed', () => {
    const access: TenantConfig['access'] = [{ action: 'deny', from: '10.0.0.0/8' }];
    assert.equal(poolKey({ ...tenant, databases: [], access }, 'acme_db', user), key);
  });

  it('is the same over pause and resume, and however the id is spelled', () => {
    const paused = operated(operationsOf(tenant), 'pause');
    const resumed = operated(paused, 'resume');
    for (const operations of [paused, resumed]) {
      assert.equal(poolKey({ ...tenant, operations }, 'acme_db', user), key);
    }
    assert.equal(poolKey({ ...tenant, id: 'ACME' as TenantId }, 'acme_db', user), key);
  });

  it('keeps apart what a plain joining of the parts would mix up', () => {
    const one = { ...tenant, host: 'a', username: 'b' };
    const shifted = poolKey(one, 'x', { ...user, serverUser: 'y' });
    assert.notEqual(shifted, poolKey(one, 'xy', { ...user, serverUser: '' }));
  });
});
