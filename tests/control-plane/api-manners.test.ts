/**
 * What all routes of the API have in common, over real HTTP and a real SQLite file: versions,
 * refusals, keys, request ids, and that no secret is told anywhere.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { API_KEY, assertProblem, TestControlPlane, tenantBody } from './harness.ts';
import type { Answer } from './harness.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
  await plane.call('POST', '/tenants', { body: tenantBody('acme') });
});
after(() => plane[Symbol.asyncDispose]());

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

describe('If-Match', () => {
  it('lets the change through at that version and answers 412 at any other', async () => {
    const id = await plane.register();
    const path = `/tenants/${id}`;
    let made = 0;
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
    const id = await plane.register();
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
    const id = await plane.register();
    const headers = { 'if-match': '"7"' };
    const refused = await plane.call('PATCH', `/tenants/${id}`, { body: { port: 1 }, headers });
    assert.equal(assertProblem(refused, 412, 'VERSION_CONFLICT')['etag'], '"1"');
  });

  it('lets exactly one of ten writers with the same ETag through', async () => {
    const id = await plane.register();
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

describe('refusals', () => {
  const send = (method: string, path: string, body?: unknown, headers = {}): Promise<Answer> =>
    plane.call(method, path, { ...(body !== undefined && { body }), headers });

  it('is problem+json for every route with a body that is not what it should be', async () => {
    const id = await plane.register();
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
    const id = await plane.register();
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
