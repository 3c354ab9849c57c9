/**
 * The tenant routes over real HTTP and a real SQLite file: what they answer, refuse, keep and never
 * tell.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  DEFAULT_POOL_SETTINGS,
  toOwnPoolAnswer,
  toPoolAnswer,
} from '@dbbouncer/shared/contract/pool-settings.ts';
import { toPartsAnswer } from '@dbbouncer/shared/contract/tenant-parts.ts';
import { API_KEY, assertProblem, TestControlPlane, tenantBody } from './harness.ts';
import type { Answer } from './harness.ts';

const NO_TRAFFIC = {
  queries: 0,
  transactions: 0,
  server_errors: 0,
  proxy_errors: 0,
  pins: 0,
  query_ms: null,
  acquire_ms: null,
};

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

let made = 0;
/** Registers a tenant of its own for one test. */
async function register(extra: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const id = `t${(made += 1)}`;
  const answer = await plane.call('POST', '/tenants', { body: tenantBody(id, extra) });
  assert.equal(answer.status, 201, answer.text);
  return id;
}

describe('input that no tenant can have', () => {
  it('is refused with 400: text that is not well-formed, names above 63 bytes', async () => {
    for (const extra of [
      { dbname: '\ud800' },
      { password: '\ud800' },
      { dbname: 'é'.repeat(63) },
    ]) {
      const body = tenantBody('odd', extra);
      const answer = await plane.call('POST', '/tenants', { body });
      assertProblem(answer, 400, 'VALIDATION_FAILED');
    }
  });

  it('is no fault of ours: paths longer than any id, or out of the documentation', async () => {
    for (const path of [`/tenants/${'a'.repeat(2_000)}`, '/docs/static/..%2f..%2fx']) {
      const answer = await plane.call('GET', path);
      assert.ok(answer.status >= 400 && answer.status < 500, answer.text);
    }
  });
});

describe('POST /tenants', () => {
  it('answers 201 with Location, ETag "1" and the tenant without its password', async () => {
    const body = tenantBody('acme', { idle_timeout: '90s', databases: ['other'] });
    const answer = await plane.call('POST', '/tenants', { body });
    assert.equal(answer.status, 201);
    assert.equal(answer.headers.get('location'), '/tenants/acme');
    assert.equal(answer.headers.get('etag'), '"1"');
    const { created_at, updated_at, ...rest } = answer.json;
    assert.equal(created_at, updated_at);
    assert.deepEqual(rest, {
      id: 'acme',
      db_type: 'postgres',
      host: 'db.example.com',
      port: 5432,
      dbname: 'acme_db',
      databases: ['other'],
      username: 'app',
      password_source: 'sealed',
      ...toOwnPoolAnswer({}),
      ...toPartsAnswer({}, () => ''),
      idle_timeout: '1m30s',
      effective: { ...toPoolAnswer(DEFAULT_POOL_SETTINGS), idle_timeout: '1m30s' },
      state: 'active',
      canary: null,
      on_proxies: { reached: 0, live: 0 },
      origin: 'api',
      version: 1,
      stats: {
        active: 0,
        idle: 0,
        total: 0,
        waiting: 0,
        utilisation: 0,
        ...NO_TRAFFIC,
      },
    });
    assert.deepEqual((await plane.call('GET', '/tenants/acme')).json, answer.json);
  });

  it('refuses an id that is taken, whatever its case, with 409', async () => {
    const id = await register();
    const body = tenantBody(id.toUpperCase());
    assertProblem(await plane.call('POST', '/tenants', { body }), 409, 'TENANT_EXISTS');
  });

  it('names every wrong field', async () => {
    const body = tenantBody('x', { port: 0, idle_timeout: 5, max_conns: 1 });
    const problem = assertProblem(
      await plane.call('POST', '/tenants', { body }),
      400,
      'VALIDATION_FAILED',
    );
    const errors = problem['errors'] as readonly { path: string; message: string }[];
    assert.deepEqual(errors.map(({ path }) => path).sort(), ['idle_timeout', 'max_conns', 'port']);
  });

  it('takes max_connections 1 although the default minimum is 2', async () => {
    const id = await register({ max_connections: 1 });
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.equal((json['effective'] as Record<string, unknown>)['min_connections'], 1);
  });

  it('refuses a minimum above the maximum', async () => {
    const body = tenantBody('minmax', { min_connections: 3, max_connections: 2 });
    assertProblem(await plane.call('POST', '/tenants', { body }), 400, 'VALIDATION_FAILED');
  });

  it('says which variable or file holds a password that is a reference', async () => {
    for (const password of ['${TENANT_PW}', 'file:/run/secrets/pw']) {
      const id = await register({ password });
      const { json } = await plane.call('GET', `/tenants/${id}`);
      assert.equal(json['password_source'], password);
    }
  });
});

describe('PUT /tenants/{id}', () => {
  it('replaces settings, keeps the password; its own answer changes nothing', async () => {
    const id = await register({ max_connections: 5, idle_timeout: '1m' });
    const path = `/tenants/${id}`;
    const read = await plane.call('GET', path);
    const same = await plane.change('PUT', path, { body: read.json });
    assert.equal(same.headers.get('etag'), '"1"', 'nothing changed, so no event');
    const { password: _, ...body } = tenantBody(id);
    const replaced = await plane.change('PUT', path, { body });
    assert.equal(replaced.headers.get('etag'), '"2"');
    assert.equal(replaced.json['max_connections'], null);
    assert.equal(replaced.json['idle_timeout'], null);
  });

  it('makes no event of the same password written again, and one of a new one', async () => {
    const id = await register();
    const again = await plane.change('PUT', `/tenants/${id}`, { body: tenantBody(id) });
    assert.equal(again.headers.get('etag'), '"1"');
    const body = tenantBody(id, { password: 'another one' });
    const changed = await plane.change('PUT', `/tenants/${id}`, { body });
    assert.equal(changed.headers.get('etag'), '"2"');
  });

  it('answers 404 for an id that is not registered', async () => {
    const answer = await plane.change('PUT', '/tenants/nobody', { body: tenantBody('nobody') });
    assertProblem(answer, 404, 'TENANT_NOT_FOUND');
  });

  it('refuses another id in the body, and takes the same in another case', async () => {
    const id = await register();
    const path = `/tenants/${id}`;
    const other = await plane.change('PUT', path, { body: tenantBody('other') });
    assertProblem(other, 400, 'VALIDATION_FAILED');
    const same = await plane.change('PUT', path, {
      body: tenantBody(id.toUpperCase(), { dbname: 'z' }),
    });
    assert.equal(same.json['id'], id);
  });

  it('refuses another protocol with 409', async () => {
    const id = await register();
    const body = tenantBody(id, { db_type: 'mysql' });
    assertProblem(
      await plane.change('PUT', `/tenants/${id}`, { body }),
      409,
      'TENANT_PROTOCOL_FIXED',
    );
  });
});

describe('PATCH /tenants/{id}', () => {
  it('changes what it names; null goes back to the default', async () => {
    const id = await register({ max_connections: 5, port: 6000 });
    const body = { max_connections: null, port: null, host: 'new.example' };
    const { json } = await plane.change('PATCH', `/tenants/${id}`, { body });
    assert.deepEqual(
      [json['max_connections'], json['port'], json['host'], json['dbname']],
      [null, 5432, 'new.example', `${id}_db`],
    );
  });

  it('gives a tenant a part it may have, and takes it away with null or with a PUT', async () => {
    const id = await register();
    const path = `/tenants/${id}`;
    const patch = async (init_sql: string | null) => {
      const { json } = await plane.change('PATCH', path, { body: { init_sql } });
      return [json['init_sql'], json['version']];
    };
    assert.deepEqual(await patch(null), [null, 1]);
    assert.deepEqual(await patch('SET work_mem = 1024'), ['SET work_mem = 1024', 2]);
    assert.deepEqual(await patch(null), [null, 3]);
    assert.deepEqual(await patch('SELECT 1'), ['SELECT 1', 4]);
    const { json } = await plane.change('PUT', path, { body: tenantBody(id) });
    assert.deepEqual([json['init_sql'], json['version']], [null, 5]);
  });

  it('loses neither of two changes to different fields made at once', async () => {
    const id = await register();
    const bodies = [{ host: 'a.example' }, { max_connections: 7 }, { username: 'u2' }];
    const path = `/tenants/${id}?force=true`;
    await Promise.all(bodies.map((body) => plane.call('PATCH', path, { body })));
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.deepEqual(
      [json['host'], json['max_connections'], json['username'], json['version']],
      ['a.example', 7, 'u2', 4],
    );
  });

  it('takes application/merge-patch+json', async () => {
    const id = await register();
    const headers = { 'content-type': 'application/merge-patch+json' };
    const answer = await plane.change('PATCH', `/tenants/${id}`, { body: { host: 'm' }, headers });
    assert.equal(answer.json['host'], 'm');
  });
});

describe('If-Match', () => {
  it('lets the change through at that version and answers 412 at any other', async () => {
    const id = await register();
    const path = `/tenants/${id}`;
    const patch = (tag: string): Promise<Answer> =>
      plane.call('PATCH', path, {
        body: { host: tag.length > 5 ? 'long' : `h${made++}` },
        headers: { 'if-match': tag },
      });
    assert.equal((await patch('"1"')).headers.get('etag'), '"2"');
    for (const tag of ['"1"', 'W/"2"', '"x"', '2']) {
      assertProblem(await patch(tag), 412, 'VERSION_CONFLICT');
    }
    assert.equal((await patch('"7", "2"')).headers.get('etag'), '"3"');
    assert.equal((await patch('*')).headers.get('etag'), '"4"');
    const headers = { 'if-match': '"3"' };
    assertProblem(await plane.call('DELETE', path, { headers }), 412, 'VERSION_CONFLICT');
    assert.equal(
      (await plane.call('DELETE', path, { headers: { 'if-match': '"4"' } })).status,
      204,
    );
  });

  it('is needed by PUT, PATCH and DELETE: 428 names it, the ETag and the way around', async () => {
    const id = await register();
    const path = `/tenants/${id}`;
    for (const [method, body] of [
      ['PATCH', { port: 1 }],
      ['PUT', tenantBody(id, { port: 1 })],
      ['DELETE', undefined],
    ] as const) {
      const refused = await plane.call(method, path, { body });
      const problem = assertProblem(refused, 428, 'PRECONDITION_REQUIRED');
      assert.match(String(problem['detail']), /Send If-Match: "1" to .*, or \?force=true to/);
      assert.equal(problem['etag'], '"1"');
      const unknown = await plane.call(method, '/tenants/nobody', {
        body: method === 'PUT' ? tenantBody('nobody') : body,
      });
      assertProblem(unknown, 404, 'TENANT_NOT_FOUND');
    }
    const { json } = await plane.call('GET', path);
    assert.deepEqual([json['version'], json['port']], [1, 5432]);
    const paused = await plane.call('POST', `${path}/pause`);
    assert.equal(paused.status, 200, 'an operation writes over nothing');
    const patched = await plane.call('PATCH', `${path}?force=true`, { body: { port: 2 } });
    assert.deepEqual([patched.status, patched.json['version']], [200, 3]);
    const removed = await plane.call('DELETE', `${path}?force=true`);
    assert.equal(removed.status, 204, removed.text);
  });

  it('that names another version is answered with the one that is there', async () => {
    const id = await register();
    const headers = { 'if-match': '"7"' };
    const refused = await plane.call('PATCH', `/tenants/${id}`, { body: { port: 1 }, headers });
    assert.equal(assertProblem(refused, 412, 'VERSION_CONFLICT')['etag'], '"1"');
  });

  it('lets exactly one of ten writers with the same ETag through', async () => {
    const id = await register();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        plane.call('PATCH', `/tenants/${id}`, {
          body: { host: `w${i}` },
          headers: { 'if-match': '"1"' },
        }),
      ),
    );
    const statuses = answers.map(({ status }) => status).sort((a, b) => a - b);
    assert.deepEqual(statuses, [200, ...Array<number>(9).fill(412)]);
  });
});

describe('DELETE /tenants/{id}', () => {
  it('answers 204 without a body, then 404; the id can come back at a later version', async () => {
    const id = await register();
    const removed = await plane.change('DELETE', `/tenants/${id}`);
    assert.equal(removed.status, 204);
    assert.equal(removed.text, '');
    for (const method of ['GET', 'DELETE']) {
      assertProblem(await plane.call(method, `/tenants/${id}`), 404, 'TENANT_NOT_FOUND');
    }
    const again = await plane.call('POST', '/tenants', { body: tenantBody(id) });
    assert.equal(again.headers.get('etag'), '"3"');
  });

  it('does not mind an empty body that claims to be JSON', async () => {
    const id = await register();
    const headers = { 'content-type': 'application/json' };
    assert.equal((await plane.change('DELETE', `/tenants/${id}`, { headers })).status, 204);
  });
});

describe('GET /tenants', () => {
  it('pages through all tenants in order with limit and cursor', async () => {
    await using other = await TestControlPlane.start();
    const ids = ['b', 'A', 'd', 'c', 'e'];
    for (const id of ids) await other.call('POST', '/tenants', { body: tenantBody(id) });
    const seen: unknown[] = [];
    let cursor: unknown = '';
    do {
      const from = cursor === '' ? '' : `&cursor=${String(cursor)}`;
      const { json } = await other.call('GET', `/tenants?limit=2${from}`);
      const page = json['tenants'] as readonly { id: string }[];
      assert.ok(page.length <= 2);
      seen.push(...page.map(({ id }) => id));
      cursor = json['next_cursor'];
    } while (cursor !== null);
    assert.deepEqual(seen, ['A', 'b', 'c', 'd', 'e']);
  });

  it('refuses limits, cursors and parameters that it does not know', async () => {
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'cursor=%00', 'cursor=!!', 'page=2']) {
      assertProblem(await plane.call('GET', `/tenants?${query}`), 400, 'VALIDATION_FAILED');
    }
  });

  it('shows the pools that proxies report, summed, and each of them under /stats', async () => {
    const id = await register();
    for (const [proxy, active] of [
      ['p1', 1],
      ['p2', 2],
    ] as const) {
      const pool = {
        tenant: id,
        protocol: 'postgres',
        database: 'd',
        user: 'u',
        active,
        idle: 1,
        total: active + 1,
        waiting: 3,
        longestWaitMs: 12,
      };
      const now = new Date().toISOString();
      const report = {
        proxy,
        version: '1',
        startedAt: now,
        sentAt: now,
        epoch: 1,
        appliedPosition: 1,
        clients: 4,
        pools: [pool],
      };
      plane.bus.publish(`dbbouncer.report.${proxy}`, Buffer.from(JSON.stringify(report)));
    }
    const stats = await reported(id, 2);
    assert.deepEqual(
      [stats['active'], stats['idle'], stats['total'], stats['waiting']],
      [3, 2, 5, 6],
    );
    const pools = stats['pools'] as readonly Record<string, unknown>[];
    assert.deepEqual(
      pools.map((pool) => [pool['proxy'], pool['active'], pool['failing']]),
      [
        ['p1', 1, null],
        ['p2', 2, null],
      ],
    );
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.deepEqual(json['stats'], {
      active: 3,
      idle: 2,
      total: 5,
      waiting: 6,
      utilisation: 0.15,
      ...NO_TRAFFIC,
    });
    const fleet = (await plane.call('GET', '/fleet')).json['proxies'] as readonly { id: string }[];
    assert.deepEqual(
      fleet.map((proxy) => proxy.id),
      ['p1', 'p2'],
    );
    const metrics = (await plane.call('GET', '/metrics')).text;
    assert.match(
      metrics,
      new RegExp(`^dbbouncer_connections_active\\{tenant="${id}",db_type="postgres"\\} 3$`, 'm'),
    );
    assert.match(
      metrics,
      new RegExp(`^dbbouncer_connections_waiting\\{tenant="${id}",db_type="postgres"\\} 6$`, 'm'),
    );
  });
});

/**
 * The tenant's stats once `count` proxies have reported; in-process delivery takes a turn or two.
 */
async function reported(id: string, count: number): Promise<Answer['json']> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const { json } = await plane.call('GET', `/tenants/${id}/stats`);
    if ((json['pools'] as readonly unknown[]).length === count) return json;
  }
  return assert.fail(`never heard of ${count} proxies`);
}

describe('refusals', () => {
  const send = (method: string, path: string, body?: unknown, headers = {}): Promise<Answer> =>
    plane.call(method, path, { ...(body !== undefined && { body }), headers });

  it('is problem+json for every route with a body that is not what it should be', async () => {
    const id = await register();
    const routes = [
      ['POST', '/tenants'],
      ['PUT', `/tenants/${id}`],
      ['PATCH', `/tenants/${id}`],
    ] as const;
    for (const [method, path] of routes) {
      for (const body of ['{', '{"a":1,}', '"\\u12"', '{"__proto__":{"x":1}}']) {
        assertProblem(await send(method, path, body), 400, 'MALFORMED_REQUEST');
      }
      for (const body of ['[]', '1', 'null', '"x"', '', '{"id":{}}', '{"pool_mode":"x"}']) {
        assertProblem(await send(method, path, body), 400, 'VALIDATION_FAILED');
      }
      const form = { 'content-type': 'application/x-www-form-urlencoded' };
      assertProblem(await send(method, path, 'a=b', form), 415, 'UNSUPPORTED_MEDIA_TYPE');
      const large = JSON.stringify(tenantBody('x', { host: 'h'.repeat(300_000) }));
      assertProblem(await send(method, path, large), 413, 'BODY_TOO_LARGE');
    }
  });

  it('tells a wrong path from a wrong method, and what the path knows', async () => {
    assertProblem(await send('GET', '/nothing'), 404, 'ROUTE_NOT_FOUND');
    assertProblem(await send('GET', '/tenants/a/b/c'), 404, 'ROUTE_NOT_FOUND');
    const answer = await send('DELETE', '/tenants');
    assertProblem(answer, 405, 'METHOD_NOT_ALLOWED');
    assert.equal(answer.headers.get('allow'), 'GET, HEAD, POST');
    assertProblem(await send('POST', '/tenants/x', '{}'), 405, 'METHOD_NOT_ALLOWED');
    assertProblem(await send('PUT', '/health', '{}'), 405, 'METHOD_NOT_ALLOWED');
  });

  it('takes any id for an unknown tenant, and an impossible path for a bad request', async () => {
    for (const id of ['a__b', '%20', "'--", 'x'.repeat(900), '%F0%9F%94%91', '..%2f..', '%00']) {
      assertProblem(await send('GET', `/tenants/${id}`), 404, 'TENANT_NOT_FOUND');
    }
    const response = await fetch(`${plane.running.apiUrl}/tenants/%zz`);
    assert.equal(response.status, 400);
    assert.match(response.headers.get('content-type') ?? '', /problem\+json/);
  });

  it('refuses a reason that is too long', async () => {
    const id = await register();
    const long = 'x'.repeat(501);
    const refused = [
      await send('DELETE', `/tenants/${id}?reason=${long}`),
      await send('DELETE', `/tenants/${id}`, undefined, { 'x-reason': long }),
    ];
    for (const answer of refused) assertProblem(answer, 400, 'VALIDATION_FAILED');
  });
});

describe('access', () => {
  const guarded = ['/tenants', '/tenants/acme', '/tenants/acme/stats', '/fleet', '/metrics'];
  const open = ['/health', '/ready', '/openapi.json', '/docs'];

  it('needs the key for everything that holds data', async () => {
    for (const path of guarded) {
      for (const key of [undefined, 'wrong', '', `${API_KEY}x`, API_KEY.slice(0, -1)]) {
        const answer = await plane.call('GET', path, { key });
        assertProblem(answer, 401, 'UNAUTHORIZED');
        assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/);
      }
      assert.equal((await plane.call('GET', path)).status, 200, path);
    }
    const write = await plane.call('POST', '/tenants', { key: 'wrong', body: '{' });
    assertProblem(write, 401, 'UNAUTHORIZED');
  });

  it('needs none for liveness, readiness and the description', async () => {
    for (const path of open) {
      assert.equal((await plane.call('GET', path, { key: undefined })).status, 200, path);
    }
  });

  it('takes the scheme in any case and no other scheme', async () => {
    const get = (authorization: string): Promise<Answer> =>
      plane.call('GET', '/fleet', { key: undefined, headers: { authorization } });
    assert.equal((await get(`bearer ${API_KEY}`)).status, 200);
    for (const header of [API_KEY, `Basic ${API_KEY}`, `Bearer${API_KEY}`, `Bearer ${API_KEY} x`]) {
      assertProblem(await get(header), 401, 'UNAUTHORIZED');
    }
  });

  it('slows down an address that goes on without the key, but not those who have it', async () => {
    await using other = await TestControlPlane.start();
    const statuses = new Set<number>();
    for (let i = 0; i < 310; i++) {
      statuses.add((await other.call('GET', '/fleet', { key: 'guess' })).status);
    }
    assert.deepEqual([...statuses], [401, 429]);
    const refused = await other.call('GET', '/fleet', { key: 'guess' });
    assertProblem(refused, 429, 'RATE_LIMITED');
    assert.ok(Number(refused.headers.get('retry-after')) > 0);
    assert.equal((await other.call('GET', '/fleet')).status, 200);
    assert.equal((await other.call('GET', '/health', { key: undefined })).status, 200);
  });
});

describe('GET /metrics', () => {
  it('counts events, says how far publishing is, and times requests by route', async () => {
    await using other = await TestControlPlane.start();
    for (const id of ['a', 'b']) await other.call('POST', '/tenants', { body: tenantBody(id) });
    const read = async (): Promise<string> => (await other.call('GET', '/metrics')).text;
    const deadline = performance.now() + 5_000;
    while (!/^dbbouncer_published_position 2$/m.test(await read())) {
      assert.ok(performance.now() < deadline, 'never published both events');
    }
    const text = await read();
    for (const line of [
      /^dbbouncer_events_appended_total 2$/m,
      /^dbbouncer_event_position 2$/m,
      /^dbbouncer_tenants 2$/m,
      /^dbbouncer_proxies\{status="live"\} 0$/m,
      /^dbbouncer_api_request_duration_seconds_count\{.*route="\/tenants",status="201"\} 2$/m,
      /^process_cpu_seconds_total /m,
    ]) {
      assert.match(text, line);
    }
  });
});

describe('request ids and reasons', () => {
  it('keeps a usable X-Request-Id, makes one otherwise, and answers with it', async () => {
    const given = await plane.call('GET', '/fleet', { headers: { 'x-request-id': 'deploy-42/a' } });
    assert.equal(given.headers.get('x-request-id'), 'deploy-42/a');
    const bad = await plane.call('GET', '/fleet', { headers: { 'x-request-id': 'a b' } });
    assert.match(bad.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
  });
});

describe('secrets', () => {
  it('are in no answer, no log line and no file of the data folder', async () => {
    await using other = await TestControlPlane.start();
    const planted = 'Pl4nted-Passw0rd';
    const texts: string[] = [];
    const call = async (method: string, path: string, body?: unknown): Promise<void> => {
      const send = method === 'POST' || method === 'GET' ? 'call' : 'change';
      const answer = await other[send](method, path, body === undefined ? {} : { body });
      texts.push(answer.text, JSON.stringify([...answer.headers]));
    };
    await call('POST', '/tenants', tenantBody('acme', { password: planted }));
    await call('PATCH', '/tenants/acme', { password: `${planted}2` });
    await call('PUT', '/tenants/acme', tenantBody('acme', { password: `${planted}3` }));
    await call('POST', '/tenants', tenantBody('acme', { password: planted }));
    await call('POST', '/tenants', { ...tenantBody('x'), password: [planted] });
    await call('POST', '/tenants', { ...tenantBody('x'), password: `${planted}\0` });
    await call('POST', '/tenants', `{"password":"${planted}"`);
    for (const path of ['/tenants', '/tenants/acme', '/fleet', '/metrics']) await call('GET', path);
    await other.stop();
    const files = readdirSync(other.dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    assert.ok(
      files.some((text) => text.includes('TenantCredentialsChanged')),
      'database was read',
    );
    for (const text of [...texts, other.log, ...files]) {
      assert.ok(!text.includes(planted));
      assert.ok(!text.includes(API_KEY));
    }
  });

  it('name the key holder in events by a name that is not the key', async () => {
    await using other = await TestControlPlane.start();
    const reason = Buffer.from('größer').toString('latin1');
    const headers = { 'x-request-id': 'r-1', 'x-reason': reason };
    await other.call('POST', '/tenants', { body: tenantBody('acme'), headers });
    await other.stop();
    const { DatabaseSync } = await import('node:sqlite');
    const [file] = readdirSync(join(other.dir, 'data')).filter((name) => name.endsWith('.db'));
    const database = new DatabaseSync(join(other.dir, 'data', file ?? ''));
    const row = database.prepare('SELECT actor, reason, request_id FROM events').get();
    database.close();
    assert.match(String(row?.['actor']), /^api:[0-9a-f]{8}$/);
    assert.equal(row?.['reason'], 'größer');
    assert.equal(row?.['request_id'], 'r-1');
  });
});
