/** Deltas: what they do to a config, when they are refused, and their text form. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { z } from 'zod';
import { PackedMap } from '../kernel/packed-map.ts';
import { tenantKey } from '../kernel/ids.ts';
import type { TenantId } from '../kernel/ids.ts';
import { applyDelta, decodeDelta, encodeDelta } from './config-delta.ts';
import type { ConfigChange, ConfigDelta } from './config-delta.ts';
import { DEFAULT_POOL_SETTINGS } from './pool-settings.ts';
import { EMPTY_CONFIG } from './routing-config.ts';
import type { RoutingConfig, TenantConfig } from './routing-config.ts';

function tenant(id: string, host = 'db.internal'): TenantConfig {
  return {
    id: id as TenantId,
    protocol: 'postgres',
    host,
    port: 5432,
    database: 'app',
    databases: [],
    username: 'app',
    password: { kind: 'env', name: 'APP_PASSWORD' },
    pool: {},
  };
}

const set = (id: string, host?: string): ConfigChange => ({
  kind: 'tenant_set',
  tenant: tenant(id, host),
});
const removed = (id: string): ConfigChange => ({ kind: 'tenant_removed', id: id as TenantId });

const at = (
  epoch: number,
  position: number,
  ...tenants: readonly TenantConfig[]
): RoutingConfig => ({
  ...EMPTY_CONFIG,
  epoch,
  position,
  tenants: PackedMap.from(tenants.map((one) => [tenantKey(one.id), one] as const)),
});

const delta = (
  epoch: number,
  from: number,
  to: number,
  ...changes: ConfigChange[]
): ConfigDelta => ({
  epoch,
  from,
  to,
  changes,
});

function applied(config: RoutingConfig, change: ConfigDelta): RoutingConfig {
  const next = applyDelta(config, change);
  if (typeof next === 'string') assert.fail(`refused as ${next}`);
  return next;
}

describe('applyDelta', () => {
  it('sets, replaces and removes tenants and moves to the position of the delta', () => {
    const next = applied(
      at(1, 4, tenant('acme'), tenant('globex')),
      delta(1, 4, 7, set('acme', 'new.internal'), removed('globex'), set('initech')),
    );
    assert.equal(next.position, 7);
    assert.equal(next.tenants.size, 2);
    assert.equal(next.tenants.get('acme')?.host, 'new.internal');
    assert.ok(next.tenants.has('initech') && !next.tenants.has('globex'));
  });

  it('leaves the config it applies to as it was', () => {
    const before = at(1, 1, tenant('acme'));
    applied(before, delta(1, 1, 2, removed('acme')));
    assert.equal(before.position, 1);
    assert.equal(before.tenants.get('acme')?.host, 'db.internal');
  });

  it('knows a tenant whatever the case of its id', () => {
    const next = applied(at(1, 1, tenant('Acme')), delta(1, 1, 2, set('ACME', 'new.internal')));
    assert.equal(next.tenants.size, 1);
    assert.equal(next.tenants.get('acme')?.id, 'ACME');
    assert.equal(applied(next, delta(1, 2, 3, removed('aCmE'))).tenants.size, 0);
  });

  it('replaces the defaults and keeps them where the delta has none', () => {
    const defaults = { ...DEFAULT_POOL_SETTINGS, maxConnections: 7 };
    const next = applied(at(1, 0), delta(1, 0, 1, { kind: 'defaults_set', defaults }));
    assert.equal(next.defaults.maxConnections, 7);
    assert.equal(applied(next, delta(1, 1, 2)).defaults, next.defaults);
  });

  it('lets the last change of a tenant win', () => {
    const next = applied(at(1, 0), delta(1, 0, 3, set('a'), removed('a'), set('a', 'last')));
    assert.equal(next.tenants.get('a')?.host, 'last');
    assert.equal(applied(next, delta(1, 3, 5, set('a'), removed('a'))).tenants.size, 0);
  });

  it('refuses as duplicate what ends at or before the position', () => {
    assert.equal(applyDelta(at(1, 5), delta(1, 4, 5)), 'duplicate');
    assert.equal(applyDelta(at(1, 5), delta(1, 1, 2)), 'duplicate');
    assert.equal(applyDelta(at(1, 5), delta(1, 5, 5)), 'duplicate');
  });

  it('refuses as gap what begins behind the position, or before it and ends after', () => {
    assert.equal(applyDelta(at(1, 5), delta(1, 6, 7)), 'gap');
    assert.equal(applyDelta(at(1, 5), delta(1, 4, 6)), 'gap');
  });

  it('refuses as stale what a lower epoch wrote, even where it would fit', () => {
    assert.equal(applyDelta(at(2, 5), delta(1, 5, 6)), 'stale');
    assert.equal(applyDelta(at(2, 5), delta(1, 4, 5)), 'stale');
  });

  it('takes over a higher epoch', () => {
    assert.equal(applied(at(1, 5), delta(3, 5, 6)).epoch, 3);
  });

  it('leads through any cuts of a history to the same config', () => {
    const change = fc.oneof(
      fc
        .tuple(fc.constantFrom('a', 'A', 'b', 'c'), fc.stringMatching(/^h[0-9]$/))
        .map(([id, host]) => set(id, host)),
      fc.constantFrom('a', 'B', 'c').map(removed),
    );
    fc.assert(
      fc.property(
        fc.array(change, { minLength: 1, maxLength: 30 }),
        fc.infiniteStream(fc.nat(4)),
        (history, cuts) => {
          const whole = applied(at(1, 0), delta(1, 0, history.length, ...history));
          let config = at(1, 0);
          while (config.position < history.length) {
            const from = config.position;
            const to = Math.min(history.length, from + 1 + (cuts.next().value ?? 0));
            config = applied(config, delta(1, from, to, ...history.slice(from, to)));
          }
          const key = ([name]: readonly [string, unknown]): string => name;
          const inOrder = (of: RoutingConfig) =>
            [...of.tenants].sort((a, b) => key(a).localeCompare(key(b)));
          assert.deepEqual(inOrder(config), inOrder(whole));
        },
      ),
    );
  });
});

describe('encodeDelta and decodeDelta', () => {
  it('are inverse', () => {
    const defaults = { ...DEFAULT_POOL_SETTINGS, minConnections: 0 };
    const original = delta(2, 3, 9, set('acme'), removed('b'), { kind: 'defaults_set', defaults });
    assert.deepEqual(decodeDelta(encodeDelta(original)), original);
    assert.deepEqual(decodeDelta(encodeDelta(delta(1, 0, 1))), delta(1, 0, 1));
  });

  it('refuse text that is no JSON, an unknown change, an unknown field and a bad id', () => {
    const texts = [
      '',
      '{',
      'null',
      JSON.stringify({ epoch: 1, from: 0, to: 1 }),
      JSON.stringify({ epoch: 1, from: 0, to: 1, changes: [{ kind: 'tenant_renamed' }] }),
      JSON.stringify({ epoch: 1, from: 0, to: 1, changes: [], actor: 'alice' }),
      JSON.stringify({ epoch: 1, from: -1, to: 1, changes: [] }),
      JSON.stringify({ epoch: 1, from: 0.5, to: 1, changes: [] }),
      JSON.stringify({ epoch: 1, from: 0, to: 1, changes: [removed('a__b')] }),
      JSON.stringify({ epoch: 1, from: 0, to: 1, changes: [set('a__b')] }),
    ];
    for (const text of texts) {
      assert.throws(
        () => decodeDelta(text),
        (error) => error instanceof SyntaxError || error instanceof z.ZodError,
        text,
      );
    }
  });

  it('refuse a password in clear', () => {
    const change = { kind: 'tenant_set', tenant: { ...tenant('acme'), password: 'hunter2' } };
    const text = JSON.stringify({ epoch: 1, from: 0, to: 1, changes: [change] });
    assert.throws(() => decodeDelta(text), { name: 'ZodError' });
  });
});
