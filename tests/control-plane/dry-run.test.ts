/**
 * `?dry_run=true` over real HTTP: what it tells, and that nothing is left of it.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { eventually } from '../support/eventually.ts';
import { poolReport, sendReport } from './fake-proxy.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

let count = 0;
let id = '';
beforeEach(async () => {
  id = `acme-${++count}`;
  const { status } = await plane.call('POST', '/tenants', { body: tenantBody(id) });
  assert.equal(status, 201);
});

async function position(): Promise<unknown> {
  return (await plane.call('GET', '/fleet')).json['position'];
}

interface Rehearsed {
  readonly status: number;
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly events: readonly { stream: string; type: string; data: Record<string, unknown> }[];
  readonly delta: { from: number; to: number; changes: readonly Record<string, unknown>[] };
  readonly touches: { proxies: readonly unknown[]; pools: readonly unknown[] };
  readonly warnings: readonly { code: string; message: string }[];
}

/** Rehearses a write and holds that nothing came of it. */
async function rehearse(method: string, path: string, body?: unknown): Promise<Rehearsed> {
  const before = await position();
  const answer = await plane[method === 'POST' ? 'call' : 'change'](method, path, { body });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json['dry_run'], true);
  assert.equal(await position(), before);
  return answer.json as unknown as Rehearsed;
}

function codes({ warnings }: Rehearsed): readonly string[] {
  return warnings.map(({ code }) => code).filter((code) => code !== 'no_live_proxy');
}

function withoutTimes({ json }: Answer): unknown {
  const { created_at: _, updated_at: __, ...rest } = json;
  return rest;
}

function report(proxy: string, fields: Partial<ProxyReport>): void {
  sendReport(plane.bus, proxy, fields);
}

describe('a rehearsed write', () => {
  it('tells of a PATCH what the PATCH then does: events, delta, ETag, answer', async () => {
    const path = `/tenants/${id}`;
    const before = Number(await position());
    const rehearsed = await rehearse('PATCH', `${path}?dry_run=true`, { port: 6000 });
    assert.equal(rehearsed.status, 200);
    assert.deepEqual(rehearsed.events, [
      { stream: `tenant/${id}`, type: 'TenantUpdated', data: { changes: { port: 6000 } } },
    ]);
    const { from, to, changes } = rehearsed.delta;
    assert.deepEqual([from, to, changes.length], [before, before + 1, 1]);
    assert.equal(changes[0]?.['kind'], 'tenant_set');
    const untouched = await plane.call('GET', path);
    assert.deepEqual([untouched.json['port'], untouched.headers.get('etag')], [5432, '"1"']);
    const done = await plane.change('PATCH', path, { body: { port: 6000 } });
    const { created_at: _, updated_at: __, ...result } = rehearsed.result ?? {};
    assert.deepEqual(result, withoutTimes(done));
  });

  it('holds no secret: sealed ones and references are named', async () => {
    const secret = 'planted-in-a-rehearsal';
    const body = tenantBody('new', {
      password: secret,
      users: [{ name: 'other', password: '${OTHER}' }],
    });
    const answer = await plane.call('POST', '/tenants?dry_run=true', { body });
    assert.equal(answer.status, 200, answer.text);
    assert.doesNotMatch(answer.text, /planted|ciphertext|nonce/);
    const { status, events } = answer.json as unknown as Rehearsed;
    assert.equal(status, 201);
    const tenant = events[0]?.data['tenant'] as Record<string, unknown>;
    assert.equal(tenant['password'], 'sealed');
    assert.deepEqual(tenant['users'], [{ name: 'other', password: '${OTHER}' }]);
    assertProblem(await plane.call('GET', '/tenants/new'), 404, 'TENANT_NOT_FOUND');
  });

  it('of every kind is told with the status it would have, and repeats', async () => {
    for (const [method, path, body, status, type] of [
      ['POST', '/tenants', tenantBody('new'), 201, 'TenantRegistered'],
      ['PUT', `/tenants/${id}`, { ...tenantBody(id), port: 1 }, 200, 'TenantUpdated'],
      ['DELETE', `/tenants/${id}`, undefined, 204, 'TenantRemoved'],
      ['POST', `/tenants/${id}/pause`, undefined, 200, 'TenantPaused'],
    ] as const) {
      for (let i = 0; i < 2; i++) {
        const rehearsed = await rehearse(method, `${path}?dry_run=true`, body);
        assert.equal(rehearsed.status, status);
        assert.deepEqual(
          rehearsed.events.map((event) => event.type),
          [type],
        );
      }
    }
    const nothing = await rehearse('PATCH', `/tenants/${id}?dry_run=true`, { port: 5432 });
    assert.deepEqual([nothing.events, nothing.delta.changes], [[], []]);
    assert.deepEqual(nothing.touches, { proxies: [], pools: [], pools_omitted: 0 });
  });

  it('needs no If-Match, and says that the write would', async () => {
    for (const [method, body] of [
      ['PATCH', { port: 1 }],
      ['PUT', tenantBody(id)],
      ['DELETE', undefined],
    ] as const) {
      const { status, json } = await plane.call(method, `/tenants/${id}?dry_run=true`, { body });
      assert.equal(status, 200);
      const [first] = json['warnings'] as Rehearsed['warnings'];
      assert.equal(first?.code, 'if_match_missing');
      assert.match(first.message, /^The write would be refused: .* Send If-Match: "1" to/);
      const { text } = await plane.call(method, `/tenants/${id}?dry_run=true&force=true`, { body });
      assert.doesNotMatch(text, /if_match_missing/);
    }
  });

  it('is refused as the write would be', async () => {
    const path = `/tenants/${id}?dry_run=true`;
    const stale = await plane.call('PATCH', path, {
      body: { port: 1 },
      headers: { 'if-match': '"9"' },
    });
    assertProblem(stale, 412, 'VERSION_CONFLICT');
    const forced = await plane.call('PATCH', `${path}&force=true`, {
      body: { port: 1 },
      headers: { 'if-match': '"9"' },
    });
    assert.equal(forced.status, 200, forced.text);
    const wrong = await plane.change('PATCH', path, { body: { min_connections: 50 } });
    assertProblem(wrong, 400, 'VALIDATION_FAILED');
  });

  it('with a query that contradicts itself or is no word of it is 400', async () => {
    for (const query of [
      'dry_run=yes',
      'dry_run=true&dry_run=true',
      'dry_run=true&wait=applied',
      'wait=true',
      'wait=applied&timeout=0',
      'wait=applied&timeout=61s',
      'wait=applied&timeout=soon',
      'wait=applied&timeout=-1',
      'timeout=5s',
      'force=1',
    ]) {
      const answer = await plane.change('PATCH', `/tenants/${id}?${query}`, { body: { port: 1 } });
      const problem = assertProblem(answer, 400, 'VALIDATION_FAILED');
      assert.ok(Array.isArray(problem['errors']), query);
    }
    const create = await plane.call('POST', '/tenants?force=true', { body: tenantBody('new') });
    assertProblem(create, 400, 'VALIDATION_FAILED');
  });
});

describe('a flag of the query', () => {
  it('is said by its name alone: ?dry_run, ?force', async () => {
    const body = { port: 6_000 };
    const tried = await plane.call('PATCH', `/tenants/${id}?dry_run&force`, { body });
    assert.deepEqual([tried.status, tried.json['dry_run']], [200, true]);
    const forced = await plane.call('PATCH', `/tenants/${id}?force`, { body });
    assert.deepEqual([forced.status, forced.json['version']], [200, 2]);
  });
});

describe('force=true', () => {
  it('writes whatever version is there, on PUT, PATCH and DELETE', async () => {
    const headers = { 'if-match': '"9"' };
    const path = `/tenants/${id}`;
    for (const [method, body] of [
      ['PATCH', { port: 6000 }],
      ['PUT', tenantBody(id)],
      ['DELETE', undefined],
    ] as const) {
      const stale = await plane.call(method, path, { body, headers });
      assertProblem(stale, 412, 'VERSION_CONFLICT');
      const forced = await plane.call(method, `${path}?force=true`, { body, headers });
      assert.ok(forced.status < 300, forced.text);
    }
  });
});

describe('the proxies and pools of a rehearsal', () => {
  it('are those that report the tenant', async () => {
    report('p-1', { pools: [poolReport(id), poolReport('somebody-else')] });
    await eventually('it is heard', async () => {
      const { json } = await plane.call('GET', `/tenants/${id}`);
      return (json['stats'] as { total: number }).total === 3;
    });
    const rehearsed = await rehearse('DELETE', `/tenants/${id}?dry_run=true`);
    const { proxies, pools } = rehearsed.touches;
    assert.deepEqual(proxies, [{ id: 'p-1', behind: Number(await position()), rejected: null }]);
    const numbers = { active: 1, idle: 2, total: 3, waiting: 0 };
    const told = { proxy: 'p-1', tenant: id, database: 'd', user: 'app', effect: 'drained' };
    assert.deepEqual(pools, [{ ...told, ...numbers }]);
    assert.deepEqual(codes(rehearsed), ['clients_end']);
  });

  it('are told what would become of them on each', async () => {
    const pools = [
      poolReport(id, { database: `${id}_db` }),
      poolReport(id, { database: 'of before', state: 'draining' }),
    ];
    report('p-1', { pools });
    report('p-2', {});
    await eventually('both are heard', async () => {
      const { json } = await plane.call('GET', `/tenants/${id}/stats`);
      return (
        (json['pools'] as readonly unknown[]).length === 2 &&
        JSON.stringify((await plane.call('GET', '/fleet')).json).includes('p-2')
      );
    });
    const effects = async (body: unknown): Promise<readonly unknown[]> => {
      const path = `/tenants/${id}?dry_run=true`;
      const { touches } = await rehearse('PATCH', path, body);
      return (touches.pools as readonly Record<string, unknown>[]).map((one) =>
        [one['proxy'], one['database'], one['effect']].join(' '),
      );
    };
    const draining = 'p-1 of before drained';
    const own = `${id}_db`;
    assert.deepEqual(await effects({ max_connections: 3 }), [`p-1 ${own} kept`, draining]);
    assert.deepEqual(await effects({ port: 1 }), [`p-1 ${own} replaced`, draining]);
    assert.deepEqual(await effects({ password: 'x' }), [`p-1 ${own} replaced`, draining]);
    assert.deepEqual(await effects({ password: 'hunter2-planted', max_connections: 3 }), [
      `p-1 ${own} kept`,
      draining,
    ]);
    assert.deepEqual(await effects({ prewarm: 'on', min_connections: 1 }), [
      `p-1 ${own} kept`,
      draining,
      `p-2 ${own} opened`,
    ]);
    assert.deepEqual(await effects({ port: 5432 }), [], 'nothing would change');
    const paused = await rehearse('POST', `/tenants/${id}/pause?dry_run=true`);
    assert.match(JSON.stringify(paused.touches.pools), /"effect":"halted"/);
  });

  it('warn of a server without room and of a proxy that refuses its config', async () => {
    const failing = 'FATAL: sorry, too many clients already';
    report('p-1', {
      pools: [poolReport(id, { failing, active: 0, total: 0 })],
      rejected: { position: 1, reason: 'delta is not JSON' },
    });
    const rehearsed = await eventually('it is heard', async () => {
      const told = await rehearse('PATCH', `/tenants/${id}?dry_run=true`, { max_connections: 90 });
      return codes(told).length === 2 && told;
    });
    assert.deepEqual(codes(rehearsed), ['proxy_lags', 'server_full']);
    assert.match(rehearsed.warnings[1]?.message ?? '', /too many clients already/);
  });
});

describe('the warnings of a rehearsal', () => {
  it('tell of a second tenant of the same database', async () => {
    const body = tenantBody('new', { dbname: `${id}_db`, host: 'DB.example.com' });
    const rehearsed = await rehearse('POST', '/tenants?dry_run=true', body);
    assert.ok(codes(rehearsed).includes('database_shared'), JSON.stringify(rehearsed.warnings));
    const other = tenantBody('new', { dbname: `${id}_db`, port: 5433 });
    const elsewhere = await rehearse('POST', '/tenants?dry_run=true', other);
    assert.ok(!codes(elsewhere).includes('database_shared'));
  });

  it('tell of user names that would be read as selectors, from both sides', async () => {
    const clashing = tenantBody('other', { username: `${id}__app` });
    const rehearsed = await rehearse('POST', '/tenants?dry_run=true', clashing);
    assert.ok(codes(rehearsed).includes('name_clash'), JSON.stringify(rehearsed.warnings));
    const late = `late-${count}`;
    await plane.change('PATCH', `/tenants/${id}`, { body: { username: `${late}__app` } });
    const registered = await rehearse('POST', '/tenants?dry_run=true', tenantBody(late));
    assert.ok(codes(registered).includes('name_clash'), JSON.stringify(registered.warnings));
  });

  it('tell of minima that together are above the maximum', async () => {
    const body = { databases: ['b', 'c'], min_connections: 5, max_connections: 14 };
    const rehearsed = await rehearse('PATCH', `/tenants/${id}?dry_run=true`, body);
    const { message } =
      rehearsed.warnings.find(({ code }) => code === 'minimum_over_maximum') ?? {};
    assert.match(message ?? '', /5 for each of the 3 databases.*are 15; max_connections is 14/);
    const fits = { ...body, max_connections: 15 };
    assert.ok(
      !codes(await rehearse('PATCH', `/tenants/${id}?dry_run=true`, fits)).includes(
        'minimum_over_maximum',
      ),
    );
  });
});
