/** The past over real HTTP: what a tenant went through, the config as of then, what differs. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem, TestControlPlane, tenantBody } from './harness.ts';
import type { Answer } from './harness.ts';

interface Change {
  readonly field: string;
  readonly from: unknown;
  readonly to: unknown;
}

interface Entry {
  readonly position: number;
  readonly version: number;
  readonly type: string;
  readonly summary: string;
  readonly reason: string | null;
  readonly changes: readonly Change[];
}

interface Config {
  readonly position: number;
  readonly at: string | null;
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly tenants: readonly Readonly<Record<string, unknown>>[];
  readonly next_cursor: string | null;
}

let plane: TestControlPlane;
/** 1 Acme, 2 globex, 3 Acme grows, 4 and 5 Acme moves with another password, 6 globex removed. */
before(async () => {
  plane = await TestControlPlane.start();
  await write('POST', '/tenants', { body: tenantBody('Acme', { max_connections: 10 }) });
  await write('POST', '/tenants', { body: tenantBody('globex') });
  await write('PATCH', '/tenants/acme?reason=sale', { body: { max_connections: 20 } });
  await write('PATCH', '/tenants/acme', { body: { port: 5433, password: 'another-planted' } });
  await write('DELETE', '/tenants/globex');
});
after(() => plane[Symbol.asyncDispose]());

async function write(...args: Parameters<TestControlPlane['change']>): Promise<void> {
  const answer = await plane.change(...args);
  assert.ok(answer.status < 300, answer.text);
}

async function read(path: string): Promise<Answer> {
  const answer = await plane.call('GET', path);
  assert.equal(answer.status, 200, answer.text);
  assert.doesNotMatch(answer.text, /planted|ciphertext/);
  return answer;
}

const entriesOf = ({ json }: Answer) => json['events'] as readonly Entry[];

async function configAt(query: string): Promise<Config> {
  return (await read(`/config${query}`)).json as unknown as Config;
}

describe('GET /tenants/{id}/history', () => {
  it('has every event, newest first, with its changes and a line for people', async () => {
    const entries = entriesOf(await read('/tenants/ACME/history'));
    assert.deepEqual(
      entries.map(({ position, version, summary }) => [position, version, summary]),
      [
        [5, 4, 'password changed'],
        [4, 3, 'port 5432 -> 5433'],
        [3, 2, 'max_connections 10 -> 20'],
        [1, 1, 'registered: db.example.com:5432/Acme_db as app'],
      ],
    );
    const [password, , grown] = entries;
    assert.deepEqual(grown?.changes, [{ field: 'max_connections', from: 10, to: 20 }]);
    assert.equal(grown.reason, 'sale');
    assert.deepEqual(password?.changes, [{ field: 'password', from: 'sealed', to: 'changed' }]);
  });

  it('is there for a tenant that was removed', async () => {
    const entries = entriesOf(await read('/tenants/globex/history'));
    assert.deepEqual(
      entries.map(({ type }) => type),
      ['TenantRemoved', 'TenantRegistered'],
    );
    assert.equal(entries[0]?.summary, 'removed');
  });

  it('comes in pages', async () => {
    const first = await read('/tenants/acme/history?limit=3');
    const cursor = String(first.json['next_cursor']);
    const second = await read(`/tenants/acme/history?limit=3&cursor=${cursor}`);
    assert.deepEqual(
      [...entriesOf(first), ...entriesOf(second)].map(({ version }) => version),
      [4, 3, 2, 1],
    );
    assert.equal(second.json['next_cursor'], null);
  });

  it('answers 404 for a tenant that never was, and 400 for a wrong page', async () => {
    const path = '/tenants/nobody/history';
    assertProblem(await plane.call('GET', path), 404, 'TENANT_NOT_FOUND');
    for (const query of ['limit=0', 'cursor=x', 'order=asc']) {
      const answer = await plane.call('GET', `/tenants/acme/history?${query}`);
      assertProblem(answer, 400, 'VALIDATION_FAILED');
    }
  });
});

describe('going back', () => {
  it('is told with where to, in the history of the tenant', async () => {
    await using own = await TestControlPlane.start();
    await own.call('POST', '/tenants', { body: tenantBody('acme') });
    await own.change('PATCH', '/tenants/acme', { body: { port: 5433 } });
    await own.call('POST', '/tenants/acme/rollback', { body: { to: 1 } });
    const entries = entriesOf(await own.call('GET', '/tenants/acme/history'));
    assert.equal(entries[0]?.summary, 'rolled back to 1: port 5433 -> 5432');
  });
});

describe('GET /config', () => {
  it('shows the present as the tenants show it', async () => {
    const config = await configAt('');
    assert.equal(config.position, 6);
    const { json } = await plane.call('GET', '/tenants/acme');
    const { on_proxies: _, stats: __, ...recorded } = json;
    assert.deepEqual(config.tenants, [recorded]);
    assert.equal(config.defaults['max_connections'], 20);
    assert.match(String(config.at), /^\d{4}-/);
  });

  it('shows what was at a position, before the first event too', async () => {
    const then = await configAt('?at=2');
    assert.deepEqual(
      then.tenants.map(({ id, max_connections, version }) => [id, max_connections, version]),
      [
        ['Acme', 10, 1],
        ['globex', null, 1],
      ],
    );
    const none = await configAt('?at=0');
    assert.deepEqual([none.position, none.at, none.tenants], [0, null, []]);
  });

  it('shows what was at a time', async () => {
    const { json } = await read('/events/3');
    const at = encodeURIComponent(String(json['occurred_at']));
    const then = await configAt(`?at=${at}`);
    assert.ok(then.position >= 3);
    assert.equal(then.tenants[0]?.['max_connections'], 20);
    assert.equal((await configAt('?at=2000-01-01T00:00:00Z')).position, 0);
    assert.equal((await configAt('?at=2999-01-01T00:00:00Z')).position, 6);
  });

  it('stays at its position from page to page', async () => {
    const first = await configAt('?at=2&limit=1');
    const second = await configAt(`?limit=1&cursor=${first.next_cursor}`);
    assert.deepEqual([first.position, second.position], [2, 2]);
    assert.deepEqual(
      [first, second].flatMap(({ tenants }) => tenants.map(({ id }) => id)),
      ['Acme', 'globex'],
    );
    assert.equal(second.next_cursor, null);
  });

  it('refuses a position that is not there yet, and what is no moment', async () => {
    for (const [at, message] of [
      ['7', /at most 6, the last position of the log; got 7/],
      ['-1', /a position of the log, or a time/],
      ['noon', /such as 2026-/],
    ] as const) {
      const answer = await plane.call('GET', `/config?at=${at}`);
      const problem = assertProblem(answer, 400, 'VALIDATION_FAILED');
      assert.match(String(problem['detail']), message);
    }
  });
});

describe('GET /config/diff', () => {
  it('lists what was added, removed and changed, field by field', async () => {
    const { json } = await read('/config/diff?from=2&to=6');
    const { from, to, defaults, tenants } = json as Record<string, Record<string, unknown>>;
    assert.deepEqual([from?.['position'], to?.['position']], [2, 6]);
    assert.deepEqual(defaults, []);
    assert.deepEqual(tenants, {
      added: [],
      removed: [{ id: 'globex', summary: 'removed' }],
      changed: [
        {
          id: 'Acme',
          summary: 'port 5432 -> 5433, password changed, max_connections 10 -> 20',
          changes: [
            { field: 'port', from: 5432, to: 5433 },
            { field: 'password', from: 'sealed', to: 'changed' },
            { field: 'max_connections', from: 10, to: 20 },
          ],
        },
      ],
    });
  });

  it('says backwards what going back would do', async () => {
    const { json } = await read('/config/diff?from=6&to=2');
    const { added, removed } = json['tenants'] as Record<string, readonly { id: string }[]>;
    assert.deepEqual([added?.map(({ id }) => id), removed], [['globex'], []]);
  });

  it('has nothing to say of one and the same moment', async () => {
    const { json } = await read('/config/diff?from=6');
    assert.deepEqual(json['tenants'], { added: [], removed: [], changed: [] });
  });

  it('comes in pages between the same positions', async () => {
    const first = await read('/config/diff?from=0&to=2&limit=1');
    const cursor = String(first.json['next_cursor']);
    const second = await read(`/config/diff?from=0&limit=1&cursor=${cursor}`);
    const idsOf = ({ json }: Answer) =>
      (json['tenants'] as { added: readonly { id: string }[] }).added.map(({ id }) => id);
    assert.deepEqual([idsOf(first), idsOf(second)], [['Acme'], ['globex']]);
    assert.equal(second.json['next_cursor'], null);
  });

  it('refuses a moment that is missing, wrong or not there yet', async () => {
    for (const query of ['', '?from=x', '?from=1&to=99', '?from=1&cursor=x']) {
      const answer = await plane.call('GET', `/config/diff${query}`);
      assertProblem(answer, 400, 'VALIDATION_FAILED');
    }
  });
});
