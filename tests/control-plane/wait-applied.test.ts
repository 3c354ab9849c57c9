/**
 * `?wait=applied` with a real control plane and real proxies on one bus: one that serves the
 * change, one that lags, one that refuses it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { startProxy } from '@dbbouncer/data-plane/app.ts';
import type { RunningProxy } from '@dbbouncer/data-plane/app.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { eventually } from '../support/eventually.ts';
import { FickleBus } from './fickle-bus.ts';
import { tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

const MASTER_KEY = 'a master key for tests only';

interface Member {
  readonly bus: FickleBus;
  readonly proxy: RunningProxy;
  readonly dir: string;
}

let plane: TestControlPlane;
let members: readonly Member[];
let steady: string;
let fickle: string;
let count = 0;
let id = '';

async function startMember(): Promise<Member> {
  const dir = mkdtempSync(join(tmpdir(), 'dbb-member-'));
  const bus = new FickleBus(plane.bus);
  const { settings } = resolveSettings({
    flags: { dataDir: dir, host: '127.0.0.1', postgresPort: '0', metricsPort: '0' },
    env: { DBBOUNCER_MASTER_KEY: MASTER_KEY },
    cwd: dir,
  });
  const proxy = await startProxy(settings, {
    bus,
    busReach: 'private',
    clock: systemClock,
    log: silentLogger,
    readEnv: () => undefined,
    version: 'test',
  });
  await proxy.whenReady;
  return { bus, proxy, dir };
}

before(async () => {
  plane = await TestControlPlane.start({ DBBOUNCER_MASTER_KEY: MASTER_KEY });
  await plane.call('POST', '/tenants', { body: tenantBody('first') });
  const first = await startMember();
  [steady = ''] = await liveProxies(1);
  const second = await startMember();
  fickle = (await liveProxies(2)).find((proxy) => proxy !== steady) ?? '';
  members = [first, second];
});
after(async () => {
  for (const { proxy } of members) await proxy.stop();
  await plane[Symbol.asyncDispose]();
  for (const { dir } of members) rmSync(dir, { recursive: true, force: true });
});
beforeEach(async () => {
  id = `acme-${++count}`;
  const path = '/tenants?wait=applied&timeout=10s';
  const { status, text } = await plane.call('POST', path, { body: tenantBody(id) });
  assert.equal(status, 201, text);
});
afterEach(() => carry('whole'));

function carry(carriage: 'whole' | 'held' | 'spoiled'): void {
  const [, second] = members;
  assert.ok(second !== undefined);
  second.bus.carriage = carriage;
}

function liveProxies(number: number): Promise<readonly string[]> {
  return eventually(`${number} proxies are live`, async () => {
    const { json } = await plane.call('GET', '/fleet');
    const proxies = json['proxies'] as readonly { readonly id: string }[];
    return proxies.length === number && proxies.map((proxy) => proxy.id);
  });
}

interface AppliedAnswer {
  readonly position: number;
  readonly proxies: number;
  readonly lagging: readonly Readonly<Record<string, unknown>>[];
}

function appliedOf({ json }: Answer): AppliedAnswer {
  return json['applied'] as AppliedAnswer;
}

async function fleetPosition(): Promise<number> {
  return Number((await plane.call('GET', '/fleet')).json['position']);
}

describe('wait=applied', () => {
  it('answers as usual when both proxies serve the change, with its position', async () => {
    const path = `/tenants/${id}?wait=applied&timeout=10000`;
    const answer = await plane.change('PATCH', path, { body: { port: 6000 } });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers.get('etag'), '"2"');
    const position = await fleetPosition();
    assert.deepEqual(appliedOf(answer), { position, proxies: 2, lagging: [], lost: [] });
    const { json } = await plane.call('GET', '/fleet');
    const applied = (json['proxies'] as readonly Record<string, unknown>[]).map(
      (proxy) => proxy['applied_position'],
    );
    assert.deepEqual(applied, [position, position]);
    const { applied: _, ...tenant } = answer.json;
    const sentBack = await plane.change('PUT', `/tenants/${id}`, { body: answer.json });
    assert.equal(sentBack.headers.get('etag'), '"2"', 'nothing to change');
    assert.equal(tenant['id'], id);
  });

  it('answers 200 with nothing else to a removal, and to what changes nothing', async () => {
    const same = await plane.change('PATCH', `/tenants/${id}?wait=applied`, { body: {} });
    assert.deepEqual([same.status, appliedOf(same).proxies], [200, 2]);
    const removed = await plane.change('DELETE', `/tenants/${id}?wait=applied&timeout=10s`);
    assert.equal(removed.status, 200, removed.text);
    assert.deepEqual(Object.keys(removed.json), ['applied']);
    assert.equal(appliedOf(removed).position, await fleetPosition());
  });

  it('answers 202 after 300 ms while one lags; repeated with its key, 200 at last', async () => {
    carry('held');
    const headers = { 'idempotency-key': `key-${id}`, 'if-match': '"1"' };
    const body = { port: 6000 };
    const sentMs = performance.now();
    const path = `/tenants/${id}?wait=applied`;
    const late = await plane.call('PATCH', `${path}&timeout=300`, { body, headers });
    assert.ok(performance.now() - sentMs >= 290);
    assert.equal(late.status, 202, late.text);
    assert.equal(late.headers.get('etag'), '"2"');
    const { position, proxies, lagging } = appliedOf(late);
    assert.deepEqual([position, proxies], [await fleetPosition(), 1]);
    assert.deepEqual(
      lagging.map(({ proxy, applied_position }) => [proxy, applied_position]),
      [[fickle, position - 1]],
    );
    assert.ok(['no_report', 'behind'].includes(String(lagging[0]?.['reason'])));
    carry('whole');
    const arrived = await plane.call('PATCH', `${path}&timeout=10s`, { body, headers });
    assert.equal(arrived.status, 200, arrived.text);
    assert.equal(arrived.headers.get('idempotency-replayed'), 'true');
    assert.deepEqual(appliedOf(arrived), { position, proxies: 2, lagging: [], lost: [] });
  });

  it('answers 202 with the words of the proxy that refuses the change', async () => {
    carry('spoiled');
    const path = `/tenants/${id}/pause?wait=applied&timeout=500ms`;
    const refused = await plane.call('POST', path);
    assert.equal(refused.status, 202, refused.text);
    assert.equal(refused.json['state'], 'paused');
    const { proxies, lagging } = appliedOf(refused);
    assert.equal(proxies, 1);
    assert.deepEqual(
      lagging.map(({ proxy, reason }) => [proxy, reason]),
      [[fickle, 'rejected']],
    );
    assert.match(String(lagging[0]?.['detail']), /(delta|snapshot) is not JSON/);
    carry('whole');
    const path2 = `/tenants/${id}/resume?wait=applied&timeout=20s`;
    assert.equal((await plane.call('POST', path2)).status, 200);
  });
});
