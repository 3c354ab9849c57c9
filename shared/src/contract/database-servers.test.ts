/** Declared servers: whose server is whose, what may be there together, and the index by server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { tenantKey } from '../kernel/ids.ts';
import { PackedMap } from '../kernel/packed-map.ts';
import { applyDelta, decodeDelta, encodeDelta } from './config-delta.ts';
import type { ConfigChange } from './config-delta.ts';
import { decodeConfig, encodeConfig } from './config-text.ts';
import {
  findServerInconsistency,
  NO_SERVERS,
  SERVERS_MAX,
  serverOf,
  TenantsByServer,
} from './database-servers.ts';
import type { ServerConfig } from './database-servers.ts';
import { EMPTY_CONFIG, findInconsistency } from './routing-config.ts';
import type { RoutingConfig } from './routing-config.ts';
import { tenant } from './testing.ts';

const server = (name: string, host = 'db.internal', port = 5432): ServerConfig => ({
  name,
  host,
  port,
  maxConnections: 50,
});
const mapOf = (...servers: readonly ServerConfig[]) =>
  new Map(servers.map((one) => [one.name.toLowerCase(), one] as const));

function after(config: RoutingConfig, ...changes: readonly ConfigChange[]): RoutingConfig {
  const { epoch, position: from } = config;
  const text = encodeDelta({ epoch, from, to: from + 1, changes: [...changes] });
  const next = applyDelta(config, decodeDelta(text));
  assert.ok(typeof next === 'object');
  return next;
}

describe('serverOf', () => {
  it('is the declared server with the host, without regard to case, and port of a tenant', () => {
    const servers = mapOf(server('Main', 'DB.internal'), server('other', 'db.internal', 5433));
    assert.equal(serverOf({ servers }, tenant('a'))?.name, 'Main');
    assert.equal(serverOf({ servers }, { host: 'DB.INTERNAL', port: 5433 })?.name, 'other');
    assert.equal(serverOf({ servers }, { host: 'db.internal', port: 1 }), undefined);
    assert.equal(serverOf({ servers: NO_SERVERS }, tenant('a')), undefined);
  });
});

describe('a config with servers', () => {
  it('sets, replaces and removes them by deltas, whatever the case of their names', () => {
    const set = (one: ServerConfig) => ({ kind: 'server_set', server: one }) as const;
    const first = after(EMPTY_CONFIG, set(server('Main')), set(server('b', 'b')));
    assert.deepEqual([...first.servers.keys()], ['main', 'b']);
    const next = after(first, set(server('main', 'new')), { kind: 'server_removed', name: 'B' });
    assert.deepEqual([...next.servers.values()], [server('main', 'new')]);
    assert.equal(after(next).servers, next.servers, 'untouched ones stay the same map');
    assert.equal(first.servers.size, 2, 'the config before is as it was');
  });

  it('comes back from its text, and one of before there were servers has none', () => {
    const config = { ...EMPTY_CONFIG, servers: mapOf(server('a'), server('b', 'b')) };
    assert.deepEqual(decodeConfig(encodeConfig(config)).servers, config.servers);
    const text = encodeConfig(EMPTY_CONFIG);
    assert.ok(!text.includes('servers'), 'older proxies can read it');
    assert.deepEqual(decodeConfig(text).servers, NO_SERVERS);
  });

  it('is refused with a name twice, an address twice, or 1,001 of them', () => {
    const json = JSON.parse(encodeConfig(EMPTY_CONFIG)) as object;
    const twice = JSON.stringify({ ...json, servers: [server('a'), server('A', 'b')] });
    assert.throws(() => decodeConfig(twice), /server \\"a\\" is there twice/);
    const same = { ...EMPTY_CONFIG, servers: mapOf(server('a'), server('b', 'DB.internal')) };
    assert.equal(findInconsistency(same), 'servers "a" and "b" are the same address');
    const many = mapOf(
      ...Array.from({ length: SERVERS_MAX + 1 }, (_, index) => server(`s${index}`, `h${index}`)),
    );
    assert.equal(findServerInconsistency(many), '1001 servers; 1000 are allowed');
  });
});

describe('TenantsByServer', () => {
  it('holds after any changes what a look at all tenants would find', () => {
    const change = fc.record({
      id: fc.constantFrom('a', 'B', 'c', 'd'),
      host: fc.constantFrom('one', 'ONE', 'two', undefined),
      port: fc.constantFrom(1, 2),
    });
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 8 }), (steps) => {
        const index = new TenantsByServer();
        let tenants: RoutingConfig['tenants'] = PackedMap.empty();
        for (const step of steps) {
          tenants = tenants.with(
            step.map(({ id, host, port }) => [
              tenantKey(id),
              host === undefined ? undefined : { ...tenant(id), host, port },
            ]),
          );
          index.follow({ tenants });
          for (const host of ['one', 'two']) {
            for (const port of [1, 2]) {
              const there = [...tenants].filter(
                ([, one]) => one.host.toLowerCase() === host && one.port === port,
              );
              assert.deepEqual(index.at({ host, port }), new Set(there.map(([key]) => key)));
            }
          }
        }
      }),
    );
  });

  it('looks again at nothing but the tenants that changed, and tells which', () => {
    const index = new TenantsByServer();
    const all = Array.from({ length: 2_000 }, (_, at) => [`t${at}`, tenant(`t${at}`)] as const);
    const tenants = PackedMap.from(all);
    assert.equal(index.follow({ tenants }).length, 2_000);
    const moved = { ...tenant('t7'), host: 'elsewhere' };
    assert.deepEqual(index.follow({ tenants: tenants.with([['t7', moved]]) }), ['t7']);
    assert.equal(index.at({ host: 'DB.internal', port: 5432 }).size, 1_999);
    assert.deepEqual([...index.at({ host: 'elsewhere', port: 5432 })], ['t7']);
  });
});
