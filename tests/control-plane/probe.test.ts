/**
 * `?probe=true` over real HTTP: which proxy is asked, how it is told, and that a write is refused
 * when its server cannot be connected to. The proxies are played; with-a-proxy.test.ts has a real
 * one.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { ProbeAnswer, ProbeRequest } from '@dbbouncer/shared/contract/server-probe.ts';
import { eventually } from '../support/eventually.ts';
import { answerProbes, poolReport, sendReport } from './fake-proxy.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

type Fields = Readonly<Record<string, unknown>>;

const SERVER = {
  version: '18.4',
  maxConnections: 100,
  reservedConnections: 3,
  roleConnections: null,
  databaseConnections: null,
};
const REACHABLE: ProbeAnswer = { outcome: 'reachable', server: SERVER, tookMs: 4.2 };
const FAILED: ProbeAnswer = {
  outcome: 'failed',
  stage: 'auth',
  message: 'password authentication failed for user "app"',
  sqlState: '28P01',
  tookMs: 7,
};

let plane: TestControlPlane;
let asked: [string, ProbeRequest][];
let open: { close(): void }[];
let count = 0;
let id = '';

beforeEach(async () => {
  plane = await TestControlPlane.start();
  asked = [];
  open = [];
  id = `acme-${++count}`;
  const { status } = await plane.call('POST', '/tenants', { body: tenantBody(id) });
  assert.equal(status, 201);
});
afterEach(async () => {
  for (const responder of open) responder.close();
  await plane[Symbol.asyncDispose]();
});

/** A live proxy, which answers probes when it is given an answer. */
async function live(proxy: string, answer?: ProbeAnswer): Promise<void> {
  if (answer !== undefined) {
    open.push(
      answerProbes(plane.bus, proxy, (request) => {
        asked.push([proxy, request]);
        return answer;
      }),
    );
  }
  sendReport(plane.bus, proxy, {});
  await eventually('it is heard', async () => {
    const { json } = await plane.call('GET', '/fleet');
    return (json['proxies'] as readonly Fields[]).some((one) => one['id'] === proxy);
  });
}

function probesOf({ json }: Answer): readonly Fields[] {
  return json['probes'] as readonly Fields[];
}

function warningsOf({ json }: Answer): ReadonlyMap<string, string> {
  const warnings = json['warnings'] as readonly { code: string; message: string }[];
  return new Map(warnings.map(({ code, message }) => [code, message]));
}

const register = (query: string, fields: Fields = {}) =>
  plane.call('POST', `/tenants?${query}`, { body: tenantBody(`new-${id}`, fields) });

describe('probe=true, asked by an operator', () => {
  it('sends no password that is kept to a server that no event names', async () => {
    await live('p-1', FAILED);
    const scope = { body: { name: `operator of ${id}`, scope: 'operator' } };
    const key = String((await plane.call('POST', '/api-keys', scope)).json['key']);
    const elsewhere = { host: 'where-the-operator-listens' };
    const tries = async (query: string, body: Fields) => {
      const headers = { 'if-match': '*' };
      return plane.call('PATCH', `/tenants/${id}?${query}`, { body, key, headers });
    };
    for (const body of [elsewhere, { port: 6543 }, { server_tls: { mode: 'disable' } }]) {
      for (const query of ['probe=true', 'probe=true&dry_run=true']) {
        const { detail } = assertProblem(await tries(query, body), 403, 'SCOPE_MISSING');
        assert.match(String(detail), /give it in this request, .*, or use a key of scope admin/);
      }
    }
    assert.deepEqual(asked, []);
    const own = { ...elsewhere, password: 'of the operator' };
    assert.equal((await tries('probe=true&dry_run=true', own)).status, 200);
    assert.equal((await tries('probe=true&dry_run=true', { max_connections: 9 })).status, 200);
    assert.equal(asked.length, 2);
    await plane.logged(/"server":"where-the-operator-listens:5432".*a proxy tries servers/);
  });
});

describe('a rehearsal with probe=true', () => {
  it('asks a live proxy about the tenant as it would be, and tells what it found', async () => {
    await live('p-1', REACHABLE);
    const answer = await register('dry_run=true&probe=true', { host: 'h', max_connections: 7 });
    assert.deepEqual(probesOf(answer), [
      {
        tenant: `new-${id}`,
        host: 'h',
        port: 5432,
        proxy: 'p-1',
        outcome: 'reachable',
        stage: null,
        reason: null,
        message: null,
        hint: null,
        sql_state: null,
        took_ms: 4.2,
        server: {
          version: '18.4',
          max_connections: 100,
          reserved_connections: 3,
          role_connections: null,
          database_connections: null,
        },
      },
    ]);
    const [, request] = asked[0] ?? [];
    assert.deepEqual([request?.tenant.host, request?.settings.maxConnections], ['h', 7]);
    assert.equal(request?.tenant.password.kind, 'sealed');
    assert.doesNotMatch(answer.text, /planted|ciphertext|nonce/);
    const found = await plane.call('GET', `/tenants/new-${id}`);
    assertProblem(found, 404, 'TENANT_NOT_FOUND');
  });

  it('tells the stage and the words of a failure, and warns', async () => {
    await live('p-1', FAILED);
    const path = `/tenants/${id}?dry_run=true&probe=true`;
    const answer = await plane.call('PATCH', path, { body: { password: 'another-planted' } });
    assert.equal(answer.status, 200, answer.text);
    const [probed] = probesOf(answer);
    assert.deepEqual([probed?.['stage'], probed?.['sql_state']], ['auth', '28P01']);
    assert.match(
      warningsOf(answer).get('unreachable') ?? '',
      /failed at auth: password authentication failed for user "app"\.$/,
    );
  });

  it('asks the next proxy when one is busy, silent or does not know of probes', async () => {
    const busy = { outcome: 'not_probed', reason: 'busy', message: 'Ten at once.' } as const;
    await live('p-1');
    await live('p-2', busy);
    await live('p-3', REACHABLE);
    const [probed] = probesOf(await register('dry_run=true&probe=true'));
    assert.deepEqual([probed?.['proxy'], probed?.['outcome']], ['p-3', 'reachable']);
    assert.deepEqual(
      asked.map(([proxy]) => proxy),
      ['p-2', 'p-3'],
    );
  });

  it('says so when no proxy is live, when none answers, and when it cannot be tried', async () => {
    const told = async (): Promise<readonly unknown[]> => {
      const answer = await register('dry_run=true&probe=true');
      const [probed] = probesOf(answer);
      assert.match(warningsOf(answer).get('not_probed') ?? '', /was not probed: .+\.$/);
      return [probed?.['outcome'], probed?.['reason'], probed?.['proxy']];
    };
    assert.deepEqual(await told(), ['not_probed', 'no_live_proxy', null]);
    await live('p-1');
    assert.deepEqual(await told(), ['not_probed', 'no_answer', null]);
    const message = 'Servers of mysql cannot be probed yet.';
    await live('p-2', { outcome: 'not_probed', reason: 'unsupported_protocol', message });
    assert.deepEqual(await told(), ['not_probed', 'unsupported_protocol', 'p-2']);
  });

  it('has five tenants of a batch tried, and names the others', async () => {
    await live('p-1', REACHABLE);
    const operations = Array.from({ length: 6 }, (_, n) => {
      const { id: name, ...body } = tenantBody(`${id}-${n}`);
      return { op: 'create', id: name, body };
    });
    const body = { operations };
    const answer = await plane.call('POST', '/tenants:batch?dry_run=true&probe=true', { body });
    assert.deepEqual(
      probesOf(answer).map((one) => one['reason']),
      [null, null, null, null, null, 'too_many_tenants'],
    );
    assert.equal(asked.length, 5);
  });
});

describe('a write with probe=true', () => {
  it('is done when the server can be connected to, or waits for a login', async () => {
    await live('p-1', REACHABLE);
    const registered = await register('probe=true');
    assert.equal(registered.status, 201, registered.text);
    open.pop()?.close();
    await live('p-1', { outcome: 'waiting_for_login', message: 'A verifier alone.' });
    const path = `/tenants/new-${id}?probe=true`;
    const patched = await plane.change('PATCH', path, { body: { port: 1 } });
    assert.equal(patched.status, 200, patched.text);
    assert.equal(asked.length, 2);
  });

  it('is refused with 424 and what was found, and changes nothing', async () => {
    await live('p-1', FAILED);
    for (const refused of [
      await register('probe=true'),
      await plane.change('PATCH', `/tenants/${id}?probe=true`, { body: { port: 1 } }),
      await plane.change('PUT', `/tenants/${id}?probe=true`, { body: tenantBody(id) }),
    ]) {
      const problem = assertProblem(refused, 424, 'PROBE_FAILED');
      assert.match(String(problem['detail']), /failed at auth: password .* Nothing was changed\./);
      assert.equal(probesOf(refused)[0]?.['stage'], 'auth');
    }
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.deepEqual([json['version'], json['port']], [1, 5432]);
    const path = `/tenants/${id}?probe=true&force=true`;
    const forced = await plane.call('PATCH', path, { body: { port: 1 } });
    assert.deepEqual([forced.status, asked.length], [200, 3]);
  });

  it('is refused with 503 when nobody could try', async () => {
    const refused = await register('probe=true');
    assertProblem(refused, 503, 'PROBE_UNAVAILABLE');
    assert.equal(probesOf(refused)[0]?.['reason'], 'no_live_proxy');
  });

  it('is refused for what it says itself before any server is tried', async () => {
    await live('p-1', REACHABLE);
    const path = `/tenants/${id}?probe=true`;
    const body = { port: 1 };
    const headers = { 'if-match': '"9"' };
    const stale = await plane.call('PATCH', path, { body, headers });
    assertProblem(stale, 412, 'VERSION_CONFLICT');
    assertProblem(await plane.call('PATCH', path, { body }), 428, 'PRECONDITION_REQUIRED');
    assertProblem(await plane.call('POST', path, { body }), 405, 'METHOD_NOT_ALLOWED');
    assert.equal(asked.length, 0);
  });

  it('is repeated under its key without another probe', async () => {
    await live('p-1', REACHABLE);
    const headers = { 'idempotency-key': `key-${id}` };
    const body = tenantBody(`new-${id}`);
    const first = await plane.call('POST', '/tenants?probe=true', { body, headers });
    assert.equal(first.status, 201, first.text);
    open.pop()?.close();
    await live('p-1', FAILED);
    const repeated = await plane.call('POST', '/tenants?probe=true', { body, headers });
    assert.equal(repeated.status, 201, repeated.text);
    assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
    assert.equal(asked.length, 1);
  });
});

describe('the budget of a server', () => {
  const limits = { version: '18.4', maxConnections: 100, reservedConnections: 3 };
  const shared = { host: 'Shared.example', max_connections: 40 };

  it('is summed over its tenants and proxies, beside what it lets in', async () => {
    const { status } = await register('reason=x', { ...shared, host: 'shared.EXAMPLE' });
    assert.equal(status, 201);
    const servers = [{ host: 'shared.example', port: 5432, limits }];
    sendReport(plane.bus, 'p-1', { servers, pools: [poolReport(id)] });
    await live('p-2');
    const path = `/tenants/${id}?dry_run=true`;
    const over = await plane.change('PATCH', path, { body: { ...shared, max_connections: 9 } });
    assert.deepEqual(over.json['servers'], [
      {
        host: 'Shared.example',
        port: 5432,
        tenants: 2,
        proxies: 2,
        budget: 98,
        declared_as: null,
        declared_max_connections: null,
        max_connections: 100,
        reserved_connections: 3,
      },
    ]);
    assert.match(
      warningsOf(over).get('server_overcommitted') ?? '',
      /The 2 tenants of Shared\.example:5432 may open 98 .* on 2 proxies together; .* in 100, 3 of/,
    );
    const fits = await plane.change('PATCH', path, { body: { ...shared, max_connections: 8 } });
    assert.ok(!warningsOf(fits).has('server_overcommitted'), fits.text);
    const elsewhere = { ...shared, port: 5433, max_connections: 90 };
    const other = await plane.change('PATCH', path, { body: elsewhere });
    assert.equal((other.json['servers'] as Fields[])[0]?.['max_connections'], null);
    assert.ok(!warningsOf(other).has('server_overcommitted'), other.text);
  });

  it('is counted once for all proxies that share it, and once for each other', async () => {
    const servers = [{ host: 'whole.example', port: 5432, limits }];
    await live('p-2');
    sendReport(plane.bus, 'p-1', { servers, budget: 'of_fleet' });
    sendReport(plane.bus, 'p-2', { budget: 'of_fleet' });
    const rehearse = async () => {
      const body = { host: 'whole.example', max_connections: 50 };
      const answer = await plane.change('PATCH', `/tenants/${id}?dry_run=true`, { body });
      const [server] = answer.json['servers'] as Fields[];
      return [server?.['budget'], warningsOf(answer).has('server_overcommitted')];
    };
    assert.deepEqual(await rehearse(), [50, false]);
    sendReport(plane.bus, 'p-2', {});
    assert.deepEqual(await rehearse(), [100, true]);
  });

  it('is held against the cap declared for it, and that against what it lets in', async () => {
    await register('reason=x', { ...shared, host: 'capped.example' });
    const servers = [{ host: 'capped.example', port: 5432, limits }];
    await live('p-2');
    sendReport(plane.bus, 'p-1', { servers, budget: 'of_fleet' });
    sendReport(plane.bus, 'p-2', { budget: 'of_fleet' });
    const declare = async (max_connections: number) => {
      const body = { host: 'Capped.example', max_connections };
      const answer = await plane.call('PUT', '/servers/capped?dry_run=true', { body });
      const [server] = answer.json['servers'] as Fields[];
      return [server?.['budget'], warningsOf(answer).get('server_overcommitted')];
    };
    assert.deepEqual(await declare(30), [30, undefined]);
    const [budget, warning = ''] = await declare(98);
    assert.ok(Number(budget) <= 98, String(budget));
    sendReport(plane.bus, 'p-2', {});
    // One that has max_connections by itself, and heeds no cap, has its 40 beside the 30.
    assert.deepEqual(await declare(30), [70, undefined]);
    assert.match(
      String(warning),
      /Server "capped" at Capped\.example:5432 is declared with 98 .* lets in 100, 3 of/,
    );
  });

  it('is told of the servers that proxies know, when the defaults change', async () => {
    const own = await register('reason=x', { host: 'own.example', max_connections: 5 });
    assert.equal(own.status, 201);
    const servers = ['db.example.com', 'own.example', 'nobodys.example'].map((host) => {
      return { host, port: 5432, limits };
    });
    sendReport(plane.bus, 'p-1', { servers });
    await live('p-2');
    const body = { max_connections: 90 };
    const answer = await plane.change('PATCH', '/defaults?dry_run=true', { body });
    assert.deepEqual(
      (answer.json['servers'] as Fields[]).map((one) => [
        one['host'],
        one['tenants'],
        one['budget'],
      ]),
      [
        ['db.example.com', 1, 180],
        ['own.example', 1, 10],
        ['nobodys.example', 0, 0],
      ],
    );
    assert.match(warningsOf(answer).get('server_overcommitted') ?? '', /db\.example\.com:5432/);
  });

  it('is told of five servers of a write, and that there are more', async () => {
    const operations = Array.from({ length: 6 }, (_, n) => {
      const { id: name, ...body } = tenantBody(`${id}-${n}`, { host: `db-${n}.example` });
      return { op: 'create', id: name, body };
    });
    const body = { operations };
    const answer = await plane.call('POST', '/tenants:batch?dry_run=true', { body });
    assert.equal((answer.json['servers'] as Fields[]).length, 5);
    assert.equal(
      warningsOf(answer).get('not_all_checked'),
      'Only the first 5 of 6 database servers were summed up.',
    );
  });

  it('of one tenant is held against the limits of its role and database', async () => {
    await live('p-2');
    const server = { ...SERVER, roleConnections: 30, databaseConnections: 31 };
    await live('p-1', { ...REACHABLE, server });
    const told = async (max_connections: number) => {
      const { json } = await register('dry_run=true&probe=true', { max_connections });
      return (json['warnings'] as readonly { message: string }[])
        .map(({ message }) => message)
        .filter((message) => message.startsWith('Tenant'));
    };
    assert.deepEqual(await told(15), []);
    assert.deepEqual(await told(16), [
      `Tenant "new-${id}" may open 32 server connections; the server lets its role have 30.`,
      `Tenant "new-${id}" may open 32 server connections; the server lets its database have 31.`,
    ]);
  });

  it('is held against what a probe of the same write has found', async () => {
    await live('p-1', { ...REACHABLE, server: { ...SERVER, maxConnections: 10 } });
    const answer = await register('dry_run=true&probe=true', { max_connections: 8 });
    assert.match(
      warningsOf(answer).get('server_overcommitted') ?? '',
      /The 2 tenants of .* may open 28 server connections; the server lets in 10, 3 of them/,
    );
  });
});
