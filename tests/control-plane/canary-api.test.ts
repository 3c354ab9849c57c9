/** `?canary=` with proxies that a test speaks for: who is chosen, what is refused, how it ends. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { eventually } from '../support/eventually.ts';
import { poolReport, sendReport } from './fake-proxy.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

const STARTED = '2026-01-01T00:00:00.000Z';
const PROXIES = ['p1', 'p2', 'p3'];

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

/** As a proxy that serves whatever comes. */
function report(proxy: string, fields: Partial<ProxyReport> = {}): void {
  sendReport(plane.bus, proxy, { startedAt: STARTED, appliedPosition: 1_000_000, ...fields });
}

const activity = (tenant: string, queries: number, serverErrors: number) => ({
  tenants: [{ tenant, queries, serverErrors, proxyErrors: 0, transactions: 0, pins: 0 }],
});

const reportAll = (fields: Partial<ProxyReport> = {}) => {
  for (const proxy of PROXIES) report(proxy, fields);
};

async function register(id: string): Promise<void> {
  assert.equal((await plane.call('POST', '/tenants', { body: tenantBody(id) })).status, 201);
}

const patch = (id: string, query: string, body: object = { port: 6_000 }): Promise<Answer> =>
  plane.change('PATCH', `/tenants/${id}?${query}`, { body });

interface CanaryAnswer {
  readonly proxies: readonly string[];
  readonly share: string;
  readonly started_at: string;
  readonly promotes_at: string;
  readonly promote_after: string;
  readonly changes: readonly unknown[];
  readonly observed: { readonly canaries: { readonly queries: number } } | null;
}

const canaryIn = ({ json }: Answer) => json['canary'] as CanaryAnswer | null;
const read = (id: string) => plane.call('GET', `/tenants/${id}`);

async function begin(id: string, query = 'canary=10%&promote_after=1h'): Promise<string> {
  await register(id);
  reportAll();
  const answer = await patch(id, query);
  assert.equal(answer.status, 200, answer.text);
  return canaryIn(answer)?.proxies[0] ?? '';
}

interface EventAnswer {
  readonly type: string;
  readonly actor: string;
  readonly reason: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** The end of the tenant's canary, while `say` is reported. */
async function end(id: string, say: () => void): Promise<EventAnswer> {
  const path = `/events?tenant=${id}&type=CanaryPromoted&type=CanaryRolledBack`;
  return await eventually('the canary has ended', async () => {
    say();
    return ((await plane.call('GET', path)).json['events'] as readonly EventAnswer[])[0];
  });
}

describe('a change with ?canary=', () => {
  it('is refused while fewer than two proxies are live', async () => {
    await register('early');
    assertProblem(await patch('early', 'canary=10%25'), 409, 'CANARY_TOO_FEW_PROXIES');
    report('p1');
    const alone = await patch('early', 'canary=10%25');
    const { detail } = assertProblem(alone, 409, 'CANARY_TOO_FEW_PROXIES');
    assert.match(String(detail), /One proxy is live/);
  });

  it('says who tries what, from when to when, and leaves the tenant as it was', async () => {
    await register('told');
    reportAll();
    const made = await patch('told', 'canary=34%&promote_after=90s', { max_connections: 7 });
    const canary = canaryIn(made);
    assert.ok(canary !== null, made.text);
    assert.equal(canary.proxies.length, 2);
    assert.deepEqual([canary.share, canary.promote_after], ['34%', '1m30s']);
    assert.equal(Date.parse(canary.promotes_at) - Date.parse(canary.started_at), 90_000);
    assert.deepEqual(canary.changes, [{ field: 'max_connections', from: null, to: 7 }]);
    assert.deepEqual([made.json['max_connections'], made.json['version']], [null, 2]);
    const now = await read('told');
    assert.notEqual(canaryIn(now)?.observed, null);
    const { json } = await plane.call('GET', '/tenants/told/history');
    const [entry] = json['events'] as readonly { readonly summary: string }[];
    assert.match(entry?.summary ?? '', /^canary started: canary none -> p\d, p\d$/);
    assert.match((await plane.call('GET', '/metrics')).text, /dbbouncer_canaries_running 1\n/);
  });

  it('is refused with a share or a time that is none', async () => {
    await register('odd');
    for (const query of ['canary=0%', 'canary=100%', 'canary=many', 'promote_after=9s']) {
      assertProblem(await patch('odd', query), 400, 'VALIDATION_FAILED');
    }
    const short = await patch('odd', 'canary=5&promote_after=999ms');
    assertProblem(short, 400, 'VALIDATION_FAILED');
  });

  it('is no canary where it changes nothing, and none when it is rehearsed', async () => {
    await register('same');
    reportAll();
    assert.equal(canaryIn(await patch('same', 'canary=10%', {})), null);
    const rehearsed = await patch('same', 'canary=10%&dry_run=true');
    const events = rehearsed.json['events'] as readonly EventAnswer[];
    assert.deepEqual(
      events.map(({ type }) => type),
      ['CanaryStarted'],
    );
    assert.equal(canaryIn(await read('same')), null);
  });

  it('keeps others from changing the tenant, but for who insists', async () => {
    await begin('kept');
    assertProblem(await patch('kept', 'reason=x'), 409, 'CANARY_RUNNING');
    assertProblem(await patch('kept', 'canary=10%'), 409, 'CANARY_RUNNING');
    assertProblem(await plane.change('DELETE', '/tenants/kept'), 409, 'CANARY_RUNNING');
    const rollback = await plane.call('POST', '/tenants/kept/rollback', { body: { to: 1 } });
    assert.equal(rollback.status, 409);
    assert.equal((await plane.call('POST', '/tenants/kept/reconnect')).status, 200);
    const forced = await patch('kept', 'force=true', { port: 7_000 });
    assert.deepEqual([forced.json['port'], canaryIn(forced)], [7_000, null]);
    const { json } = await plane.call('GET', '/events?tenant=kept&order=desc&limit=2');
    const types = (json['events'] as readonly EventAnswer[]).map(({ type }) => type);
    assert.deepEqual(types, ['TenantUpdated', 'CanaryRolledBack']);
  });

  it('is ended by hand, either way, once', async () => {
    await begin('hand');
    const promoted = await plane.call('POST', '/tenants/hand/canary/promote');
    assert.deepEqual([promoted.json['port'], canaryIn(promoted)], [6_000, null]);
    const again = await plane.call('POST', '/tenants/hand/canary/promote');
    assertProblem(again, 409, 'CANARY_NOT_RUNNING');
    await patch('hand', 'canary=10%', { port: 6_001 });
    const body = { reason: 'looks odd' };
    const aborted = await plane.call('POST', '/tenants/hand/canary/abort', { body });
    assert.deepEqual([aborted.json['port'], canaryIn(aborted)], [6_000, null]);
    const { json } = await plane.call('GET', '/events?tenant=hand&type=CanaryRolledBack');
    const [event] = json['events'] as readonly EventAnswer[];
    assert.deepEqual([event?.reason, event?.data['cause']], ['looks odd', 'aborted']);
  });

  it('sends a password that is kept to another server for an admin alone', async () => {
    await register('kept-secret');
    reportAll();
    const key = String(
      (await plane.call('POST', '/api-keys', { body: { name: 'o', scope: 'operator' } })).json[
        'key'
      ],
    );
    const body = { host: 'elsewhere.example' };
    const path = '/tenants/kept-secret?canary=10%';
    assertProblem(await plane.change('PATCH', path, { body, key }), 403, 'SCOPE_MISSING');
    const given = { ...body, password: 'hunter2' };
    const allowed = await plane.change('PATCH', path, { body: given, key });
    assert.equal(allowed.status, 200, allowed.text);
    assert.doesNotMatch((await plane.call('GET', '/events')).text, /hunter2/);
  });
});

describe('a canary of a tenant of the config file', () => {
  it('is rolled back when the file says something new of the tenant', async () => {
    await using own = new TestControlPlane({ DBBOUNCER_API_KEY: 'test-key-0123456789' });
    const file = join(own.dir, 'dbbouncer.yaml');
    const write = (port: number) => {
      const { id: _, ...entry } = tenantBody('filed', { port });
      writeFileSync(file, `tenants:\n  filed: ${JSON.stringify(entry)}\n`);
    };
    write(5_432);
    await own.start();
    for (const proxy of ['p1', 'p2']) sendReport(own.bus, proxy, { startedAt: STARTED });
    const body = { port: 6_000 };
    const tried = await own.change('PATCH', '/tenants/filed?canary=50%&promote_after=1h', { body });
    assert.equal(tried.status, 200, tried.text);
    assert.equal((await own.call('POST', '/config-file/reload')).json['state'], 'applied');
    assert.notEqual((await own.call('GET', '/tenants/filed')).json['canary'], null);
    write(7_000);
    assert.equal((await own.call('POST', '/config-file/reload')).json['state'], 'applied');
    const { json } = await own.call('GET', '/tenants/filed');
    assert.deepEqual([json['port'], json['canary']], [7_000, null]);
    const { json: log } = await own.call('GET', '/events?tenant=filed&type=CanaryRolledBack');
    const [event] = log['events'] as readonly EventAnswer[];
    assert.deepEqual([event?.actor, event?.data['cause']], ['file', 'overruled']);
  });
});

describe('a canary by itself', () => {
  it('holds for all after its time when its clients fare well', async () => {
    const canary = await begin('well', 'canary=10%&promote_after=1s');
    const event = await end('well', () => {
      reportAll(activity('well', 100, 0));
    });
    assert.deepEqual([event.type, event.actor], ['CanaryPromoted', 'system:canary']);
    assert.match(event.reason, /^0 errors in \d+ queries$/);
    const { json } = await read('well');
    assert.deepEqual([json['port'], json['canary'], canary.length], [6_000, null, 2]);
  });

  it('holds for none as soon as errors pile up where it is tried', async () => {
    const canary = await begin('ill');
    const event = await end('ill', () => {
      reportAll(activity('ill', 1_000, 10));
      report(canary, activity('ill', 50, 20));
    });
    assert.deepEqual([event.type, event.data['cause']], ['CanaryRolledBack', 'errors']);
    assert.match(event.reason, /^20 errors in 50 queries at the canaries; 20 errors in 2000/);
    assert.equal((await read('ill')).json['port'], tenantBody('ill')['port'] ?? 5_432);
  });

  it('holds for none once a canary cannot connect, refuses it or was started anew', async () => {
    const ends: readonly (readonly [
      cause: string,
      fields: (id: string) => Partial<ProxyReport>,
    ])[] = [
      ['dial_failures', (id) => ({ pools: [poolReport(id, { ...NO_SLOT, failing: 'refused' })] })],
      ['rejected', () => ({ appliedPosition: 0, rejected: { position: 9_999, reason: 'no' } })],
      ['proxy_lost', () => ({ startedAt: '2026-02-02T00:00:00.000Z' })],
    ];
    for (const [cause, fields] of ends) {
      const id = cause.replace('_', '-');
      const canary = await begin(id);
      const event = await end(id, () => {
        reportAll();
        report(canary, fields(id));
      });
      assert.deepEqual([event.type, event.data['cause']], ['CanaryRolledBack', cause]);
    }
  });

  it('ends after a restart of the control plane too, by what was counted before', async () => {
    await register('again');
    for (const proxy of PROXIES) report(proxy, activity('again', 1_000, 900));
    const query = 'canary=10%&promote_after=1s';
    assert.equal((await patch('again', query)).status, 200);
    await plane.stop();
    await plane.start();
    assert.notEqual(canaryIn(await read('again')), null);
    const event = await end('again', () => reportAll(activity('again', 1_100, 900)));
    assert.equal(event.type, 'CanaryPromoted', event.reason);
    assert.equal(event.reason, '0 errors in 100 queries');
  });
});

const NO_SLOT = { active: 0, idle: 0, total: 0 } as const;
