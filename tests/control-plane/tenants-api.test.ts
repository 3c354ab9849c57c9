/**
 * The tenant routes over real HTTP and a real SQLite file: what they answer, refuse and keep.
 * Leaves: what all routes have in common to api-manners.test.ts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  DEFAULT_POOL_SETTINGS,
  toOwnPoolAnswer,
  toPoolAnswer,
} from '@dbbouncer/shared/contract/pool-settings.ts';
import { toPartsAnswer } from '@dbbouncer/shared/contract/tenant-parts.ts';
import { assertProblem, TestControlPlane, tenantBody } from './harness.ts';
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
    const id = await plane.register();
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
    const id = await plane.register({ max_connections: 1 });
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.equal((json['effective'] as Record<string, unknown>)['min_connections'], 1);
  });

  it('refuses a minimum above the maximum', async () => {
    const body = tenantBody('minmax', { min_connections: 3, max_connections: 2 });
    assertProblem(await plane.call('POST', '/tenants', { body }), 400, 'VALIDATION_FAILED');
  });

  it('says which variable or file holds a password that is a reference', async () => {
    for (const password of ['${TENANT_PW}', 'file:/run/secrets/pw']) {
      const id = await plane.register({ password });
      const { json } = await plane.call('GET', `/tenants/${id}`);
      assert.equal(json['password_source'], password);
    }
  });
});

describe('PUT /tenants/{id}', () => {
  it('replaces settings, keeps the password; its own answer changes nothing', async () => {
    const id = await plane.register({ max_connections: 5, idle_timeout: '1m' });
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
    const id = await plane.register();
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
    const id = await plane.register();
    const path = `/tenants/${id}`;
    const other = await plane.change('PUT', path, { body: tenantBody('other') });
    assertProblem(other, 400, 'VALIDATION_FAILED');
    const same = await plane.change('PUT', path, {
      body: tenantBody(id.toUpperCase(), { dbname: 'z' }),
    });
    assert.equal(same.json['id'], id);
  });

  it('refuses another protocol with 409', async () => {
    const id = await plane.register();
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
    const id = await plane.register({ max_connections: 5, port: 6000 });
    const body = { max_connections: null, port: null, host: 'new.example' };
    const { json } = await plane.change('PATCH', `/tenants/${id}`, { body });
    assert.deepEqual(
      [json['max_connections'], json['port'], json['host'], json['dbname']],
      [null, 5432, 'new.example', `${id}_db`],
    );
  });

  it('gives a tenant a part it may have, and takes it away with null or with a PUT', async () => {
    const id = await plane.register();
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
    const id = await plane.register();
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
    const id = await plane.register();
    const headers = { 'content-type': 'application/merge-patch+json' };
    const answer = await plane.change('PATCH', `/tenants/${id}`, { body: { host: 'm' }, headers });
    assert.equal(answer.json['host'], 'm');
  });
});

describe('DELETE /tenants/{id}', () => {
  it('answers 204 without a body, then 404; the id can come back at a later version', async () => {
    const id = await plane.register();
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
    const id = await plane.register();
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
    const id = await plane.register();
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
