/**
 * Who may do what: every route there is, held against every kind of key. A route that does not say
 * what it needs fails here.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Route } from '@dbbouncer/control-plane/api/route-table.ts';
import { SCOPES } from '@dbbouncer/control-plane/domain/api-key/scopes.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { until } from './core-harness.ts';
import { assertProblem, TestControlPlane, tenantBody } from './harness.ts';
import type { Answer } from './harness.ts';

let plane: TestControlPlane;
/** By scope; `limited admin` and the like reach the tenants `acme-*` alone. */
const keys = new Map<string, string>();
const refusedKeys = new Map<string, string | undefined>();

before(async () => {
  plane = await TestControlPlane.start({
    DBBOUNCER_API_REQUESTS_PER_MINUTE_WITHOUT_KEY: '100000',
  });
  for (const id of ['acme-1', 'acme-2', 'other']) {
    await plane.call('POST', '/tenants', { body: tenantBody(id) });
  }
  const create = async (name: string, fields: Readonly<Record<string, unknown>>) => {
    const { json } = await plane.call('POST', '/api-keys', { body: { name, ...fields } });
    return { key: String(json['key']), path: `/api-keys/${String(json['id'])}` };
  };
  for (const scope of SCOPES) {
    keys.set(scope, (await create(scope, { scope })).key);
    const limited = `limited ${scope}`;
    keys.set(limited, (await create(limited, { scope, tenants: 'ACME-?' })).key);
  }
  const revoked = await create('revoked', { scope: 'admin' });
  await plane.change('DELETE', revoked.path);
  const expires_at = new Date(Date.now() + 500).toISOString();
  const expired = await create('expired', { scope: 'admin', expires_at });
  await until('the key has expired', async () => {
    return (await plane.call('GET', expired.path)).json['state'] === 'expired';
  });
  refusedKeys.set('no key', undefined);
  refusedKeys.set('an expired key', expired.key);
  refusedKeys.set('a revoked key', revoked.key);
  refusedKeys.set('an unknown key', `dbb_${'x'.repeat(32)}`);
  refusedKeys.set('a wrong end', `${keys.get('admin')?.slice(0, -1)}~`);
  refusedKeys.set('no text of a key', 'x'.repeat(600));
});
after(() => plane[Symbol.asyncDispose]());

/** The routes that must be guarded, and those that need no key. */
function routes(kind: 'guarded' | 'open'): readonly Route[] {
  return plane.running.routes.filter(({ access }) => {
    return (access.access === 'open') === (kind === 'open');
  });
}

/**
 * Asks a route as somebody, for a tenant. What is asked is wrong, so that nothing is done: who may
 * ask is decided before.
 */
async function ask(route: Route, key: string | undefined, id = 'acme-1'): Promise<Answer> {
  const path = route.pattern.replace(':id', id).replace(/(?<=\/):\w+|\*/, 'x');
  const body = ['POST', 'PUT', 'PATCH'].includes(route.method) ? { nonsense: true } : undefined;
  const headers = { 'x-forwarded-for': '192.0.2.1' };
  return await plane.call(route.method, `${path}?nonsense=1`, { body, key, headers });
}

function nameOf({ method, pattern }: Route): string {
  return `${method} ${pattern}`;
}

describe('every route', () => {
  it('says which scope and which tenants it is about', () => {
    const all = plane.running.routes;
    assert.ok(all.length >= 20);
    for (const route of all) {
      const { access, tenants } = route.access;
      assert.ok(access !== undefined, `${nameOf(route)} must name its scope: config.access`);
      if (access === 'open') continue;
      assert.ok(tenants !== undefined, `${nameOf(route)} must name its tenants: config.tenants`);
    }
  });

  it('that is open answers without a key, and is one of those that may', () => {
    const open = routes('open').map(({ pattern }) => pattern);
    const allowed = /^\/(health|ready|openapi\.json|docs(\/.*)?)$/;
    for (const pattern of open) assert.match(pattern, allowed);
  });

  it('refuses who has no valid key with 401, before anything else about the request', async () => {
    for (const route of routes('guarded')) {
      for (const [who, key] of refusedKeys) {
        const answer = await ask(route, key);
        assert.equal(answer.status, 401, `${nameOf(route)} with ${who}`);
        if (route.method !== 'HEAD') assertProblem(answer, 401, 'UNAUTHORIZED');
        assert.match(answer.headers.get('www-authenticate') ?? '', /^Bearer/);
      }
    }
  });

  it('refuses lesser scopes with 403, says which is needed, and lets the others in', async () => {
    for (const route of routes('guarded')) {
      const { access } = route.access;
      assert.ok(access !== undefined && access !== 'open', nameOf(route));
      for (const scope of SCOPES) {
        const answer = await ask(route, keys.get(scope));
        const what = `${nameOf(route)} as ${scope}: ${answer.status}`;
        if (SCOPES.indexOf(scope) >= SCOPES.indexOf(access)) {
          assert.ok(answer.status !== 401 && answer.status !== 403, what);
          assert.ok(answer.status < 500, what);
        } else {
          assert.equal(answer.status, 403, what);
          if (route.method === 'HEAD') continue;
          const problem = assertProblem(answer, 403, 'SCOPE_MISSING');
          assert.equal(problem['required_scope'], access);
          assert.match(String(problem['detail']), new RegExp(`scope ${access}.*has ${scope}`));
        }
      }
    }
  });

  it('hides other tenants from a limited key: 404 to read one, 403 to write one', async () => {
    const key = keys.get('limited admin');
    for (const route of routes('guarded')) {
      const isRead = route.method === 'GET' || route.method === 'HEAD';
      const [own, other] = [await ask(route, key), await ask(route, key, 'other')];
      const what = `${nameOf(route)}: ${own.status}, ${other.status}`;
      switch (route.access.tenants) {
        case 'path':
          assert.ok(own.status !== 403 && own.status !== 401, what);
          assert.equal(other.status, isRead ? 404 : 403, what);
          break;
        case 'handler':
        case 'none':
          assert.ok(own.status !== 403 && own.status !== 401, what);
          break;
        case 'all':
        case undefined:
          assert.equal(own.status, 403, what);
          if (!isRead) assertProblem(own, 403, 'TENANT_OUT_OF_REACH');
          break;
        default:
          unreachable(route.access.tenants);
      }
    }
  });

  it('says its scope in the description', async () => {
    const { json } = await plane.call('GET', '/openapi.json', { key: undefined });
    const paths = json['paths'] as Readonly<
      Record<string, Readonly<Record<string, { readonly security?: readonly unknown[] }>>>
    >;
    for (const { method, pattern, access } of plane.running.routes) {
      const path = paths[pattern.replaceAll(/:(\w+)/g, '{$1}')];
      const described = path?.[method.toLowerCase()];
      if (described === undefined) continue;
      const expected = access.access === 'open' ? [] : [{ apiKey: [access.access] }];
      assert.deepEqual(described.security, expected, `${method} ${pattern}`);
    }
  });
});

describe('a viewer, an operator and an admin', () => {
  const statusOf = async (who: string, method: string, path: string, body?: unknown) => {
    const options = { key: keys.get(who), ...(body !== undefined && { body }) };
    const write = method === 'PATCH' || method === 'DELETE';
    return (await plane[write ? 'change' : 'call'](method, path, options)).status;
  };

  it('read, operate and manage tenants, each no more than that', async () => {
    const created = tenantBody('acme-9');
    const patch = { dbname: 'new' };
    const asked = [
      ['GET', '/tenants', undefined],
      ['GET', '/fleet', undefined],
      ['PATCH', '/tenants/acme-2', patch],
      ['POST', '/tenants/acme-2/pause', undefined],
      ['POST', '/tenants/acme-2/resume', undefined],
      ['POST', '/tenants', created],
      ['DELETE', '/tenants/acme-9', undefined],
    ] as const;
    const statuses = async (who: string) => {
      const found: number[] = [];
      for (const [method, path, body] of asked) found.push(await statusOf(who, method, path, body));
      return found;
    };
    assert.deepEqual(await statuses('viewer'), [200, 200, 403, 403, 403, 403, 403]);
    assert.deepEqual(await statuses('operator'), [200, 200, 200, 200, 200, 403, 403]);
    assert.deepEqual(await statuses('admin'), [200, 200, 200, 200, 200, 201, 204]);
    assert.deepEqual(await statuses('limited admin'), [200, 200, 200, 200, 200, 201, 204]);
  });

  it('see the tenants within their reach alone, on every page and in every search', async () => {
    const key = keys.get('limited viewer');
    const idsOf = async (query: string) => {
      const { json } = await plane.call('GET', `/tenants${query}`, { key });
      const ids = (json['tenants'] as readonly { id: string }[]).map(({ id }) => id);
      return [ids, json['next_cursor']];
    };
    assert.deepEqual(await idsOf(''), [['acme-1', 'acme-2'], null]);
    const [first, cursor] = await idsOf('?limit=1');
    assert.deepEqual(first, ['acme-1']);
    assert.deepEqual(await idsOf(`?limit=1&cursor=${String(cursor)}`), [['acme-2'], null]);
    assert.deepEqual(await idsOf('?search=other'), [[], null]);
    assert.deepEqual(await idsOf('?search=acme-2'), [['acme-2'], null]);
  });

  it('cannot register a tenant out of reach, nor find out whether it is there', async () => {
    for (const id of ['other', 'nobody']) {
      const body = tenantBody(id);
      const answer = await plane.call('POST', '/tenants', { body, key: keys.get('limited admin') });
      assertProblem(answer, 403, 'TENANT_OUT_OF_REACH');
      const read = await plane.call('GET', `/tenants/${id}`, { key: keys.get('limited admin') });
      const problem = assertProblem(read, 404, 'TENANT_NOT_FOUND');
      assert.equal(problem['detail'], `Tenant "${id}" does not exist.`);
    }
  });

  it('are named in events by the id of their key', async () => {
    const { json } = await plane.call('POST', '/api-keys', {
      key: keys.get('admin'),
      body: { name: 'made by admin', scope: 'viewer' },
    });
    const page = (await plane.call('GET', '/api-keys')).json['api_keys'];
    const admin = (page as readonly { id: string; name: string }[]).find(
      ({ name }) => name === 'admin',
    );
    assert.equal(json['created_by'], `api:${admin?.id}`);
  });
});

describe('a denied request', () => {
  it('is a line of the log that says who, what and why, and counts by reason', async () => {
    await using other = await TestControlPlane.start();
    await other.call('POST', '/tenants', { body: tenantBody('acme') });
    const created = await other.call('POST', '/api-keys', {
      body: { name: 'reader', scope: 'viewer', tenants: 'b*' },
    });
    const key = String(created.json['key']);
    await other.call('DELETE', '/tenants/acme?reason=planted', { key });
    await other.call('GET', '/tenants/acme', { key });
    await other.call('GET', '/tenants', { key: undefined });
    await other.call('GET', '/tenants', { key: 'planted-and-wrong' });
    const metrics = (await other.call('GET', '/metrics')).text;
    for (const [reason, count] of [
      ['scope', 1],
      ['tenant', 1],
      ['no_key', 1],
      ['unknown_key', 1],
    ]) {
      assert.match(
        metrics,
        new RegExp(`^dbbouncer_api_denied_total\\{reason="${reason}"\\} ${count}$`, 'm'),
      );
    }
    const lines = other.log
      .split('\n')
      .filter((line) => line.includes('request denied'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const actor = `api:${String(created.json['id'])}`;
    assert.deepEqual(
      lines.map((line) => [
        line['why'],
        line['actor'],
        line['keyName'],
        line['method'],
        line['route'],
      ]),
      [
        ['scope', actor, 'reader', 'DELETE', '/tenants/:id'],
        ['tenant', actor, 'reader', 'GET', '/tenants/:id'],
        ['no_key', '', undefined, 'GET', '/tenants'],
        ['unknown_key', '', undefined, 'GET', '/tenants'],
      ],
    );
    for (const line of lines) {
      assert.deepEqual([line['level'], line['address']], ['warn', '127.0.0.1']);
      assert.match(String(line['requestId']), /^[0-9a-f-]{36}$/);
      assert.ok(!JSON.stringify(line).includes('planted'));
    }
  });
});

describe('limits of requests', () => {
  it('are settings: requests a minute with and without a key, bytes of a body', async () => {
    await using other = await TestControlPlane.start({
      DBBOUNCER_API_REQUESTS_PER_MINUTE: '6',
      DBBOUNCER_API_REQUESTS_PER_MINUTE_WITHOUT_KEY: '3',
      DBBOUNCER_API_BODY_BYTES_MAX: '2000',
    });
    const statuses = async (key: string | undefined, times: number) => {
      const found: number[] = [];
      for (let i = 0; i < times; i++) {
        const answer = await other.call('GET', '/fleet', key === '' ? {} : { key });
        found.push(answer.status);
        if (answer.status !== 429) continue;
        assertProblem(answer, 429, 'RATE_LIMITED');
        assert.ok(Number(answer.headers.get('retry-after')) > 0);
      }
      return found;
    };
    assert.deepEqual(await statuses(undefined, 4), [401, 401, 401, 429]);
    const body = tenantBody('acme', { host: 'h'.repeat(2_000) });
    const large = await other.call('POST', '/tenants', { body });
    const problem = assertProblem(large, 413, 'BODY_TOO_LARGE');
    const bytes = Buffer.byteLength(JSON.stringify(body));
    assert.match(String(problem['detail']), new RegExp(`has ${bytes} bytes; at most 2000 may`));
    assert.deepEqual(await statuses('', 6), [200, 200, 200, 200, 200, 429]);
  });

  it('count each key by itself', async () => {
    await using other = await TestControlPlane.start({ DBBOUNCER_API_REQUESTS_PER_MINUTE: '4' });
    const body = { name: 'second', scope: 'viewer' };
    const key = String((await other.call('POST', '/api-keys', { body })).json['key']);
    const call = async (options: { key?: string }) =>
      (await other.call('GET', '/fleet', options)).status;
    for (let i = 0; i < 3; i++) assert.equal(await call({}), 200);
    assert.equal(await call({}), 429);
    assert.equal(await call({ key }), 200);
  });
});

describe('answers', () => {
  it('tell browsers to run, frame, sniff, store and refer nothing', async () => {
    for (const path of ['/tenants', '/health', '/nothing', '/openapi.json']) {
      const { headers } = await plane.call('GET', path);
      assert.match(headers.get('content-security-policy') ?? '', /default-src 'none'/, path);
      assert.match(headers.get('content-security-policy') ?? '', /frame-ancestors 'none'/);
      assert.equal(headers.get('x-content-type-options'), 'nosniff');
      assert.equal(headers.get('cache-control'), 'no-store');
      assert.equal(headers.get('referrer-policy'), 'no-referrer');
      assert.equal(headers.get('x-powered-by'), null);
    }
  });
});
