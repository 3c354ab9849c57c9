/** GET, PUT and PATCH /defaults: what holds for every tenant that does not say otherwise. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

const effective = async (id: string, field: string): Promise<unknown> => {
  const { json } = await plane.call('GET', `/tenants/${id}`);
  return (json['effective'] as Readonly<Record<string, unknown>>)[field];
};

function set(method: 'PUT' | 'PATCH', body: object, query = ''): Promise<Answer> {
  return plane.change(method, `/defaults${query}`, { body });
}

describe('the defaults', () => {
  it('are those that DBBouncer comes with, at version 0, until somebody sets them', async () => {
    const { status, headers, json } = await plane.call('GET', '/defaults');
    assert.deepEqual([status, headers.get('etag'), json['version']], [200, '"0"', 0]);
    assert.equal(json['max_connections'], 20);
  });

  it('changed one by one hold for tenants at once, but not over their own settings', async () => {
    const own = tenantBody('own', { max_connections: 3 });
    for (const body of [tenantBody('acme'), own]) await plane.call('POST', '/tenants', { body });
    const changed = await set('PATCH', { max_connections: 9, acquire_timeout: '7s' });
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual([changed.json['max_connections'], changed.json['version']], [9, 1]);
    assert.equal(changed.headers.get('etag'), '"1"');
    assert.deepEqual(
      [await effective('acme', 'max_connections'), await effective('own', 'max_connections')],
      [9, 3],
    );
    assert.equal(await effective('own', 'acquire_timeout'), '7s');
  });

  it('replaced, or given null, go back to what DBBouncer comes with', async () => {
    await set('PATCH', { max_connections: 9, idle_timeout: '10s' });
    assert.equal((await set('PATCH', { max_connections: null })).json['max_connections'], 20);
    const replaced = await set('PUT', { max_connections: 11 });
    assert.equal(replaced.json['max_connections'], 11);
    assert.notEqual(replaced.json['idle_timeout'], '10s');
  });

  it('are an event with its actor and reason, and nothing where nothing changes', async () => {
    const made = await set('PATCH', { max_connections: 12 }, '?reason=more%20room');
    const again = await set('PATCH', { max_connections: 12 });
    assert.deepEqual(again.json, made.json);
    const { json } = await plane.call('GET', '/events?type=DefaultsChanged&order=desc&limit=1');
    const [event] = json['events'] as readonly Readonly<Record<string, unknown>>[];
    assert.equal(event?.['reason'], 'more room');
    assert.notEqual(event['actor'], '');
  });

  it('need If-Match to be written over, and can be rehearsed', async () => {
    const before = await plane.call('GET', '/defaults');
    const bare = await plane.call('PATCH', '/defaults', { body: { max_connections: 2 } });
    assertProblem(bare, 428, 'PRECONDITION_REQUIRED');
    const headers = { 'if-match': '"999"' };
    const stale = await plane.call('PUT', '/defaults', { body: {}, headers });
    assertProblem(stale, 412, 'VERSION_CONFLICT');
    const rehearsed = await set('PATCH', { max_connections: 2 }, '?dry_run=true');
    const { events, delta } = rehearsed.json as unknown as Rehearsed;
    assert.deepEqual(
      events.map(({ type }) => type),
      ['DefaultsChanged'],
    );
    assert.deepEqual(
      delta.changes.map(({ kind }) => kind),
      ['defaults_set'],
    );
    assert.deepEqual((await plane.call('GET', '/defaults')).json, before.json);
  });

  it('are refused where they contradict themselves or what a tenant has set itself', async () => {
    const minimum = await set('PATCH', { min_connections: 500, max_connections: 5 });
    assertProblem(minimum, 400, 'VALIDATION_FAILED');
    const body = tenantBody('eager', { min_connections: 8, max_connections: null });
    await plane.call('POST', '/tenants', { body });
    const problem = assertProblem(
      await set('PATCH', { max_connections: 5 }),
      400,
      'VALIDATION_FAILED',
    );
    assert.match(String(problem['detail']), /"eager"/);
    assertProblem(await set('PATCH', { nonsense: 1 }), 400, 'VALIDATION_FAILED');
  });
});

interface Rehearsed {
  readonly events: readonly { readonly type: string }[];
  readonly delta: { readonly changes: readonly { readonly kind: string }[] };
}
