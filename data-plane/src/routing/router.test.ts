/**
 * A config is swapped whole or refused whole: what is looked up, what listeners are told, and when
 * two tenants may share a pool.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import { PackedMap } from '@dbbouncer/shared/kernel/packed-map.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { LogFields, Logger } from '@dbbouncer/shared/kernel/log.ts';
import { poolKey, sealedFingerprint } from '@dbbouncer/shared/contract/pool-identity.ts';
import { Router } from './router.ts';
import { RoutingSnapshot, tenantChanges } from './snapshot.ts';
import { someConfig, someTenant } from './testing.ts';

const acme = someTenant('Acme');
const globex = someTenant('globex', { protocol: 'mysql' });
const config = someConfig([acme, globex]);

describe('RoutingSnapshot', () => {
  const snapshot = new RoutingSnapshot(config);

  it('finds a tenant without regard to case, on its own protocol only', () => {
    assert.deepEqual(snapshot.tenant('aCMe', 'postgres'), acme);
    assert.equal(snapshot.tenant('aCMe', 'postgres'), snapshot.byKey('acme'));
    assert.equal(snapshot.tenant('acme', 'mysql'), undefined);
    assert.deepEqual(snapshot.tenant('globex', 'mysql'), globex);
  });

  it('hands out one frozen settings object per tenant and defaults, over swaps', () => {
    const later = new RoutingSnapshot({ ...config, position: 2 });
    assert.equal(later.poolSettings(acme), snapshot.poolSettings(acme));
    assert(Object.isFrozen(snapshot.poolSettings(acme)));
    const defaults = { ...config.defaults, maxConnections: 7 };
    const other = new RoutingSnapshot({ ...config, defaults });
    assert.equal(other.poolSettings(acme).maxConnections, 7);
    assert.equal(snapshot.poolSettings(acme).maxConnections, 20);
  });
});

describe('tenantChanges', () => {
  it('lists added, removed and replaced tenants, and no others', () => {
    const moved = someTenant('acme', { host: 'new.internal' });
    const initech = someTenant('initech');
    const next = applyDelta(config, {
      epoch: 1,
      from: 1,
      to: 2,
      changes: [
        { kind: 'tenant_set', tenant: moved },
        { kind: 'tenant_set', tenant: initech },
        { kind: 'tenant_removed', id: globex.id },
      ],
    });
    assert(typeof next === 'object');
    const changes = [...tenantChanges(new RoutingSnapshot(config), new RoutingSnapshot(next))];
    assert.deepEqual(
      changes.toSorted((a, b) => a.key.localeCompare(b.key)),
      [
        { key: 'acme', before: acme, after: moved },
        { key: 'globex', before: globex, after: undefined },
        { key: 'initech', before: undefined, after: initech },
      ],
    );
  });
});

describe('Router', () => {
  it('serves nothing before the first config', () => {
    assert.equal(new Router(silentLogger).current.config, EMPTY_CONFIG);
  });

  it('stores the new snapshot before it tells the listeners, in their order', () => {
    const router = new Router(silentLogger);
    const told: string[] = [];
    router.onSwap((previous, next) => {
      assert.equal(router.current, next);
      told.push(`first ${previous.position}→${next.position}`);
    });
    const end = router.onSwap(() => told.push('second'));
    assert.equal(router.replace(config).kind, 'swapped');
    end();
    router.replace({ ...config, position: 2 });
    assert.deepEqual(told, ['first 0→1', 'second', 'first 1→2']);
  });

  it('refuses min_connections above max_connections and keeps serving the former config', () => {
    const router = new Router(silentLogger);
    router.replace(config);
    router.onSwap(() => assert.fail('nothing was swapped'));
    const bad = someTenant('bad', { pool: { minConnections: 30 } });
    const tenants = config.tenants.with([['bad', bad]]);
    assert.deepEqual(router.replace({ ...config, position: 2, tenants }), {
      kind: 'refused',
      reason: 'tenant "bad": min_connections (30) is above max_connections (20)',
    });
    assert.equal(router.current.position, 1);
  });

  it('refuses defaults that break a tenant which did not change itself', () => {
    const router = new Router(silentLogger);
    router.replace(someConfig([someTenant('acme', { pool: { minConnections: 10 } })]));
    const { config } = router.current;
    const result = router.replace({
      ...config,
      defaults: { ...config.defaults, maxConnections: 5 },
    });
    assert.equal(result.kind, 'refused');
  });

  it('refuses a tenant that is indexed under another name', () => {
    const result = new Router(silentLogger).replace(
      someConfig([], { tenants: PackedMap.from([['other', acme]]) }),
    );
    assert.deepEqual(result, { kind: 'refused', reason: 'tenant "Acme" is indexed as "other"' });
  });

  it('tells the other listeners when one throws, and logs it', () => {
    const errors: LogFields[] = [];
    const log: Logger = { ...silentLogger, error: (fields) => void errors.push(fields) };
    const router = new Router(log);
    let told = 0;
    router.onSwap(() => {
      throw new Error('broken');
    });
    router.onSwap(() => told++);
    router.replace(config);
    assert.equal(told, 1);
    assert.equal(errors.length, 1);
  });

  it('swaps one of 100,000 tenants in less than 5 ms', () => {
    const tenants = Array.from({ length: 100_000 }, (_, n) => someTenant(`tenant-${n}`));
    const router = new Router(silentLogger);
    router.replace(someConfig(tenants));
    const changed: string[] = [];
    router.onSwap((previous, next) => {
      for (const change of tenantChanges(previous, next)) changed.push(change.key);
    });
    const durations = Array.from({ length: 20 }, (_, n) => {
      const before = router.current.config;
      const tenant = someTenant(`tenant-${n}`, { host: 'new.internal' });
      const delta = { epoch: 1, from: n + 1, to: n + 2, changes: [{ kind: 'tenant_set', tenant }] };
      const started = performance.now();
      const next = applyDelta(before, delta as Parameters<typeof applyDelta>[1]);
      assert(typeof next === 'object');
      router.replace(next);
      return performance.now() - started;
    });
    assert.equal(changed.length, 20);
    assert(Math.min(...durations) < 5, `took ${Math.min(...durations)} ms at best`);
  });
});

const TLS = [
  { mode: 'require' },
  { mode: 'verify-full' },
  { mode: 'verify-full', ca: 'file:/ca.pem' },
  { mode: 'verify-full', serverName: 'db.test' },
  { mode: 'require', cert: 'file:/a.pem', key: { kind: 'env', name: 'KEY' } },
  { mode: 'require', cert: 'file:/a.pem', key: { kind: 'env', name: 'OTHER' } },
] as const;

describe('poolKey', () => {
  const app = { purpose: 'clients', serverUser: 'app', fingerprint: 'f' } as const;
  const key = poolKey(acme, 'Acme_db', app);

  it('is the same for an equal tenant, also in other letters and with other settings', () => {
    const twin = someTenant('ACME', {
      database: 'whatever',
      databases: ['Acme_db'],
      pool: { maxConnections: 3, idleTimeoutMs: 1 },
    });
    assert.equal(poolKey(twin, 'Acme_db', app), key);
  });

  it('differs for each part that decides where a connection goes and who it is', () => {
    const others = [
      poolKey(someTenant('other'), 'Acme_db', app),
      poolKey(someTenant('Acme', { protocol: 'mysql' }), 'Acme_db', app),
      poolKey(someTenant('Acme', { host: 'other' }), 'Acme_db', app),
      poolKey(someTenant('Acme', { port: 5433 }), 'Acme_db', app),
      poolKey(acme, 'Acme_db', { ...app, serverUser: 'other' }),
      poolKey(acme, 'Acme_db', { ...app, fingerprint: 'other' }),
      poolKey(acme, 'Acme_db', { ...app, purpose: 'auth_query' }),
      poolKey(someTenant('Acme', { initSql: 'SET x.y = 1' }), 'Acme_db', app),
      ...TLS.map((serverTls) => poolKey(someTenant('Acme', { serverTls }), 'Acme_db', app)),
      poolKey(acme, 'other', app),
    ];
    assert.equal(new Set([key, ...others]).size, others.length + 1);
  });
});

describe('sealedFingerprint', () => {
  it('does not depend on the order of keys in a secret, and on everything else', () => {
    const [kind, keyId, nonce, ciphertext] = ['sealed', 'k', 'bm9uY2U=', 'dGV4dA=='] as const;
    const fingerprint = sealedFingerprint({ kind, keyId, nonce, ciphertext });
    assert.equal(sealedFingerprint({ ciphertext, nonce, keyId, kind }), fingerprint);
    const others = [
      sealedFingerprint({ kind, keyId: 'other', nonce, ciphertext }),
      sealedFingerprint({ kind, keyId, nonce: 'b3RoZXI=', ciphertext }),
      sealedFingerprint({ kind, keyId, nonce, ciphertext: 'b3RoZXI=' }),
      sealedFingerprint({ kind: 'env', name: 'PASSWORD' }),
      sealedFingerprint({ kind: 'file', path: 'PASSWORD' }),
    ];
    assert.equal(new Set([fingerprint, ...others]).size, others.length + 1);
  });
});
