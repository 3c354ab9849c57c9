/**
 * pause, resume, drain, reconnect and kill through REST: what they answer, what is stored, what
 * proxies are told, and that nothing but resume undoes them.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { decodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { HaltedTenant, ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { eventually } from '../support/eventually.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer, CallOptions } from './harness.ts';

let plane: TestControlPlane;
let id = '';
let count = 0;

before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());
beforeEach(async () => {
  id = `acme-${++count}`;
  const { status } = await plane.call('POST', '/tenants', { body: tenantBody(id) });
  assert.equal(status, 201);
});

const operate = (operation: string, options?: CallOptions) =>
  plane.call('POST', `/tenants/${id}/${operation}`, options);

function states({ status, json, headers }: Answer): readonly unknown[] {
  assert.equal(status, 200);
  assert.equal(headers.get('etag'), `"${String(json['version'])}"`);
  return [json['state'], json['version']];
}

async function report(proxy: string, halted: readonly HaltedTenant[]): Promise<void> {
  const { json } = await plane.call('GET', '/fleet');
  const report: ProxyReport = {
    proxy: proxy as ProxyId,
    version: 'test',
    startedAt: new Date().toISOString(),
    sentAt: new Date().toISOString(),
    epoch: 1,
    appliedPosition: Number(json['position']),
    clients: 0,
    pools: [],
    halted: [...halted],
  };
  plane.bus.publish(SUBJECTS.report(report.proxy), Buffer.from(JSON.stringify(report)));
}

describe('operations', () => {
  it('keep the reason of their body, and refuse what else is in it', async () => {
    await operate('pause', { body: { reason: 'the disk is full' } });
    const { json } = await plane.call('GET', `/events?tenant=${id}&type=TenantPaused`);
    const [event] = json['events'] as readonly { readonly reason: string }[];
    assert.equal(event?.reason, 'the disk is full');
    const wrong = await operate('resume', { body: { why: 'there is room' } });
    assertProblem(wrong, 400, 'VALIDATION_FAILED');
  });

  it('pause, drain and resume once each; a repeated one changes nothing', async () => {
    assert.deepEqual(states(await operate('pause')), ['paused', 2]);
    assert.deepEqual(states(await operate('pause')), ['paused', 2]);
    assert.deepEqual(states(await operate('resume')), ['active', 3]);
    assert.deepEqual(states(await operate('resume')), ['active', 3]);
    assert.deepEqual(states(await operate('drain')), ['draining', 4]);
    assert.deepEqual(states(await operate('drain')), ['draining', 4]);
    assertProblem(await operate('pause'), 409, 'TENANT_BEING_DRAINED');
    assert.deepEqual(states(await operate('resume')), ['active', 5]);
  });

  it('reconnect and kill each time they are asked', async () => {
    assert.deepEqual(states(await operate('reconnect')), ['active', 2]);
    assert.deepEqual(states(await operate('reconnect')), ['active', 3]);
    assert.deepEqual(states(await operate('kill')), ['active', 4]);
    assert.deepEqual(states(await operate('kill', { body: '' })), ['active', 5]);
  });

  it('refuse an unknown tenant, another version and a wrong method', async () => {
    assertProblem(await plane.call('POST', '/tenants/nobody/pause'), 404, 'TENANT_NOT_FOUND');
    const stale = await operate('kill', { headers: { 'if-match': '"9"' } });
    assertProblem(stale, 412, 'VERSION_CONFLICT');
    assert.deepEqual(states(await operate('kill', { headers: { 'if-match': '"1"' } })), [
      'active',
      2,
    ]);
    assertProblem(await plane.call('GET', `/tenants/${id}/pause`), 405, 'METHOD_NOT_ALLOWED');
    assertProblem(await operate('pause', { key: 'wrong' }), 401, 'UNAUTHORIZED');
  });

  it('are no setting: PUT, PATCH and an answer sent back leave them', async () => {
    const { json } = await operate('pause');
    const body = { ...json, host: 'elsewhere', state: 'active' };
    const put = await plane.change('PUT', `/tenants/${id}`, { body });
    assert.deepEqual(states(put), ['paused', 3]);
    const patch = await plane.change('PATCH', `/tenants/${id}`, { body: { port: 6000 } });
    assert.deepEqual(states(patch), ['paused', 4]);
  });

  it('say on how many live proxies they hold, and how far the others are', async () => {
    await operate('pause');
    await report('p-1', [{ tenant: id, state: 'paused', clients: 3, connections: 0 }]);
    await report('p-2', [{ tenant: id, state: 'pausing', clients: 1, connections: 2 }]);
    const path = `/tenants/${id}/stats`;
    const stats = await eventually('both are heard', async () => {
      const { json } = await plane.call('GET', path);
      return (json['halted'] as unknown[]).length === 2 ? json : undefined;
    });
    assert.equal(stats['state'], 'paused');
    assert.deepEqual(stats['on_proxies'], { reached: 1, live: 2 });
    assert.deepEqual(stats['halted'], [
      { proxy: 'p-1', state: 'paused', clients: 3, connections: 0 },
      { proxy: 'p-2', state: 'pausing', clients: 1, connections: 2 },
    ]);
    // Neither has applied the resume yet.
    const { json } = await operate('resume');
    assert.deepEqual(json['on_proxies'], { reached: 0, live: 2 });
    await report('p-1', []);
    await eventually('one has resumed', async () => {
      const { json: now } = await plane.call('GET', `/tenants/${id}`);
      return (now['on_proxies'] as { reached: number }).reached === 1;
    });
  });
});

describe('a restart of the control plane and a reload of its file', () => {
  it('leave a tenant paused, for the proxies too', async () => {
    await using restarted = new TestControlPlane({
      DBBOUNCER_API_KEY: 'test-key-0123456789',
      SECRET: 'of the tenant',
    });
    const file = join(restarted.dir, 'dbbouncer.yaml');
    const yaml = (port: number) =>
      `tenants: { acme: { db_type: postgres, host: h, port: ${port}, dbname: d,` +
      ' username: u, password: "${SECRET}" } }\n';
    writeFileSync(file, yaml(5432));
    await restarted.start();
    const paused = await restarted.call('POST', '/tenants/acme/pause?reason=maintenance');
    assert.equal(paused.json['state'], 'paused');
    await restarted.stop();
    await restarted.start();
    writeFileSync(file, yaml(6000));
    await eventually('the file is applied', async () => {
      const { json } = await restarted.call('GET', '/tenants/acme');
      return json['port'] === 6000;
    });
    const { json } = await restarted.call('GET', '/tenants/acme');
    assert.deepEqual([json['state'], json['version']], ['paused', 3]);
    await eventually('proxies starting now are told', async () => {
      const bucket = restarted.bus.objects(SUBJECTS.snapshotBucket);
      const data = await bucket.get(SUBJECTS.snapshotObject);
      if (data === undefined) return false;
      const { config } = decodeSnapshot(new TextDecoder().decode(data));
      return config.tenants.get('acme')?.operations?.state === 'paused';
    });
  });
});
