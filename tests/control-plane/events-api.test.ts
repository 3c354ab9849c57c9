/** The event log over real HTTP: each filter, its pages, what is refused, what is never shown. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, TestControlPlane, tenantBody } from './harness.ts';
import type { Answer } from './harness.ts';

interface EventAnswer {
  readonly position: number;
  readonly stream: string;
  readonly tenant: string | null;
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
  readonly actor: string;
  readonly reason: string | null;
  readonly request_id: string;
  readonly occurred_at: string;
}

let plane: TestControlPlane;
/** Positions: 1 to 3 register, 4 and 5 change acme and its password, 6 pauses, 7 removes. */
before(async () => {
  plane = await TestControlPlane.start();
  for (const id of ['acme', 'globex', 'initech']) {
    await write('POST', '/tenants', { body: tenantBody(id), headers: { 'x-request-id': id } });
  }
  const change = { max_connections: 9, password: 'another-planted' };
  await write('PATCH', '/tenants/acme?reason=more%20room', { body: change });
  await write('POST', '/tenants/globex/pause', { headers: { 'x-request-id': 'pausing' } });
  await write('DELETE', '/tenants/initech');
});
after(() => plane[Symbol.asyncDispose]());

async function write(...args: Parameters<TestControlPlane['change']>): Promise<void> {
  const answer = await plane.change(...args);
  assert.ok(answer.status < 300, answer.text);
}

async function read(query: string): Promise<Answer> {
  const answer = await plane.call('GET', `/events${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer;
}

const eventsOf = ({ json }: Answer) => json['events'] as readonly EventAnswer[];

async function positions(query: string): Promise<readonly number[]> {
  return eventsOf(await read(query)).map(({ position }) => position);
}

describe('GET /events', () => {
  it('shows what happened to whom, when, by whom, why and on what request', async () => {
    const [event] = eventsOf(await read('?after=3&limit=1'));
    assert.ok(event !== undefined);
    const { occurred_at, actor, request_id, ...rest } = event as unknown as Record<string, unknown>;
    assert.match(String(occurred_at), /^\d{4}-.*Z$/);
    assert.match(String(actor), /^api:/);
    assert.match(String(request_id), /^[0-9a-f-]{36}$/);
    assert.match(String(rest['hash']), /^[0-9a-f]{64}$/);
    assert.deepEqual(rest, {
      position: 4,
      stream: 'tenant/acme',
      tenant: 'acme',
      type: 'TenantUpdated',
      data: { changes: { pool: { maxConnections: 9 } } },
      reason: 'more room',
      epoch: 1,
      hash: rest['hash'],
    });
  });

  it('filters by tenant, type, actor, request, position and time', async () => {
    const [first] = eventsOf(await read(''));
    assert.ok(first !== undefined);
    const actor = encodeURIComponent(first.actor);
    assert.deepEqual(await positions('?tenant=ACME'), [1, 4, 5]);
    assert.deepEqual(await positions('?type=TenantPaused'), [6]);
    assert.deepEqual(await positions('?type=TenantPaused&type=TenantRemoved'), [6, 7]);
    assert.deepEqual(await positions(`?actor=${actor}`), [1, 2, 3, 4, 5, 6, 7]);
    assert.deepEqual(await positions('?actor=nobody'), []);
    assert.deepEqual(await positions('?request_id=globex'), [2]);
    assert.deepEqual(await positions('?after=2&before=5'), [3, 4]);
    assert.deepEqual(await positions('?order=desc&tenant=globex'), [6, 2]);
    assert.deepEqual(await positions('?since=2000-01-01T00:00:00Z&tenant=globex'), [2, 6]);
    assert.deepEqual(await positions('?until=2000-01-01T00:00:00%2B02:00'), []);
    assert.deepEqual(await positions('?since=2999-01-01T00:00:00+02:00'), []);
    const since = encodeURIComponent(first.occurred_at);
    assert.equal((await positions(`?since=${since}`))[0], 1);
    assert.deepEqual(await positions(`?until=${since}`), []);
    assert.deepEqual(await positions('?tenant=nobody'), []);
  });

  it('shows where a secret is, in clear or sealed never', async () => {
    const answer = await read('?tenant=acme');
    assert.doesNotMatch(answer.text, /planted|ciphertext|nonce/);
    const [registered, , changed] = eventsOf(answer);
    const tenant = registered?.data['tenant'] as Record<string, unknown> | undefined;
    assert.equal(tenant?.['password'], 'sealed');
    assert.deepEqual(changed?.data, { password: 'sealed' });
  });

  it('comes in pages that neither repeat nor miss while events are appended', async () => {
    const seen: number[] = [];
    let cursor: string | null = '';
    for (let n = 0; cursor !== null; n++) {
      const page: Answer = await read(`?limit=2&tenant=acme${cursor && `&cursor=${cursor}`}`);
      seen.push(...eventsOf(page).map(({ position }) => position));
      cursor = page.json['next_cursor'] as string | null;
      if (n < 3) await write('PATCH', '/tenants/acme', { body: { max_connections: 10 + n } });
    }
    assert.deepEqual(seen, (await positions('?tenant=acme')).slice(0, seen.length));
    assert.ok(seen.length > 3, 'some of what was appended meanwhile');
    const back: number[] = [];
    cursor = '';
    while (cursor !== null) {
      const page: Answer = await read(`?limit=2&order=desc${cursor && `&cursor=${cursor}`}`);
      back.push(...eventsOf(page).map(({ position }) => position));
      cursor = page.json['next_cursor'] as string | null;
      if (back.length <= 4)
        await write('PATCH', '/tenants/globex', { body: { port: back.length } });
    }
    const top = back[0] ?? 0;
    assert.deepEqual(
      back,
      Array.from({ length: top }, (_, index) => top - index),
    );
  });

  it('refuses what it does not know with 400, naming the field and what is allowed', async () => {
    const wrong: readonly (readonly [string, string, RegExp])[] = [
      ['limit=0', 'limit', /at least 1/],
      ['limit=501', 'limit', /at most 500/],
      ['order=up', 'order', /"asc" or "desc"/],
      ['type=Nothing', 'type', /one of TenantRegistered, TenantUpdated/],
      ['type=TenantPaused&type=Nothing', 'type', /one of TenantRegistered/],
      ['tenant=a%20b', 'tenant', /1 to 63 letters/],
      ['since=yesterday', 'since', /a time with its offset, such as 2026-/],
      ['until=2026-01-01T00:00:00', 'until', /a time with its offset/],
      ['after=-1', 'after', /at least 0/],
      ['before=x', 'before', /a number/],
      ['actor=', 'actor', /not be empty/],
      ['cursor=nonsense', 'cursor', /next_cursor of an answer/],
      ['tennant=acme', 'tennant', /did you mean "tenant"/],
    ];
    for (const [query, field, message] of wrong) {
      const answer = await plane.call('GET', `/events?${query}`);
      const problem = assertProblem(answer, 400, 'VALIDATION_FAILED');
      const [error] = problem['errors'] as readonly { path: string; message: string }[];
      assert.equal(error?.path.split('[')[0], field, answer.text);
      assert.match(error.message, message);
    }
  });

  it('takes a cursor back only in the order it was made in', async () => {
    const { json } = await read('?limit=1');
    const answer = await plane.call(
      'GET',
      `/events?order=desc&cursor=${String(json['next_cursor'])}`,
    );
    const problem = assertProblem(answer, 400, 'VALIDATION_FAILED');
    assert.match(String(problem['detail']), /same order/);
  });

  it('shows a key that is limited to some tenants theirs, and no proof of any key', async () => {
    const body = { name: 'limited', scope: 'viewer', tenants: 'ac*' };
    const created = await plane.call('POST', '/api-keys', { body });
    const key = String(created.json['key']);
    const ask = (path: string) => plane.call('GET', path, { key });
    assertProblem(await ask('/events'), 400, 'VALIDATION_FAILED');
    assertProblem(await ask('/events?tenant=globex'), 403, 'TENANT_OUT_OF_REACH');
    assert.ok(eventsOf(await ask('/events?tenant=acme')).length >= 3);
    assert.equal((await ask('/events/1')).status, 200);
    for (const position of [2, 99_999]) {
      const { detail } = assertProblem(await ask(`/events/${position}`), 404, 'EVENT_NOT_FOUND');
      assert.match(String(detail), /no event that this API key may read at position \d+; the last/);
    }
    const made = await read('?type=ApiKeyCreated');
    assert.match(made.text, /"proof":"hashed"/);
  });

  it('needs the key', async () => {
    assertProblem(await plane.call('GET', '/events', { key: undefined }), 401, 'UNAUTHORIZED');
  });
});

describe('GET /events/{position}', () => {
  it('shows one event as the list does', async () => {
    const [, second] = eventsOf(await read('?limit=2'));
    assert.deepEqual((await plane.call('GET', '/events/2')).json, second);
  });

  it('answers 404 where there is none, and 400 for what is no position', async () => {
    const missing = assertProblem(await plane.call('GET', '/events/99999'), 404, 'EVENT_NOT_FOUND');
    assert.match(String(missing['detail']), /no event 99999; the last one is \d+/);
    for (const position of ['0', 'x', '1.5', '-1']) {
      const answer = await plane.call('GET', `/events/${position}`);
      assertProblem(answer, 400, 'VALIDATION_FAILED');
    }
  });
});
