/**
 * The clients of a fleet through REST, over real proxies and a real nats-server: listed from all of
 * them, and ended wherever they are.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertProblem } from '../control-plane/harness.ts';
import { untilRunning } from '../data-plane/running-statements.ts';
import { eventually } from '../support/eventually.ts';
import { fields, firstColumns, query } from '../support/raw-client.ts';
import type { RawClient, RawMessage } from '../support/raw-client.ts';
import { TestFleet } from './test-fleet.ts';
import type { Member } from './test-fleet.ts';

interface ListedClient {
  readonly id: string;
  readonly proxy: string;
  readonly tenant: string;
  readonly user: string;
  readonly state: string;
  readonly address: string;
  readonly connected_ms: number;
}

let fleet: TestFleet;
let first: Member;
let second: Member;

before(async () => {
  fleet = await TestFleet.start({ proxies: ['p-1', 'p-2', 'p-3'], tenants: ['acme', 'other'] });
  [first, second] = fleet.members as unknown as [Member, Member];
});
after(() => fleet.stop());

const connect = (member: Member, tenant = 'acme') => fleet.login(member, tenant);

async function list(asked = '') {
  const { status, json, text } = await fleet.plane.call('GET', `/fleet/clients?${asked}`);
  assert.equal(status, 200, text);
  return {
    clients: json['clients'] as readonly ListedClient[],
    next: json['next_cursor'] as string | null,
    unanswered: json['unanswered'] as readonly Readonly<Record<string, unknown>>[],
  };
}

const kill = (id: string, reason = 'it runs for hours') =>
  fleet.plane.call('POST', `/fleet/clients/${id}/kill`, { body: { reason } });

function errorIn(messages: readonly RawMessage[]) {
  const error = messages.find(({ type }) => type === 'E');
  assert.ok(error !== undefined, 'an error was sent');
  return fields(error);
}

async function ask(client: RawClient, sql: string): Promise<string | undefined> {
  client.send(query(sql));
  return firstColumns(await client.until('Z'))[0];
}

async function untilNobody(): Promise<void> {
  await eventually('all have left', async () => (await list()).clients.length === 0);
}

describe('GET /fleet/clients', () => {
  it('lists those of all proxies, of one tenant, and page by page', async () => {
    const clients = [
      await connect(second),
      await connect(first),
      await connect(first, 'other'),
      await connect(first),
    ];
    const all = (await list()).clients;
    const names = all.map(({ proxy, tenant, user }) => `${proxy} ${tenant} ${user}`);
    const [acme, other] = ['acme postgres', 'other postgres'];
    assert.deepEqual(names, [`p-1 ${acme}`, `p-1 ${other}`, `p-1 ${acme}`, `p-2 ${acme}`]);
    assert.equal(new Set(all.map(({ id }) => id)).size, 4);
    assert.ok(all.every(({ state, address }) => state === 'idle' && address === '127.0.0.1'));
    assert.ok(all.every(({ connected_ms: ms }) => ms >= 0 && ms < 60_000));
    const ids = all.map(({ id }) => id);

    const [a, , b, c] = ids;
    const ofTenant = (await list('tenant=ACME')).clients.map(({ id }) => id);
    assert.deepEqual(ofTenant, [a, b, c]);
    for (const limit of [1, 2, 3, 4]) {
      const paged: string[] = [];
      let next: string | null = '';
      while (next !== null) {
        const page = await list(`limit=${limit}${next === '' ? '' : `&cursor=${next}`}`);
        assert.ok(page.clients.length <= limit);
        paged.push(...page.clients.map(({ id }) => id));
        next = page.next;
      }
      assert.deepEqual(paged, ids, `pages of ${limit}`);
    }
    for (const client of clients) client.end();
    await untilNobody();
  });

  it('shows keys that are limited to tenants those of one they name alone', async () => {
    const body = { name: 'acme only', scope: 'operator', tenants: 'acme' };
    const made = await fleet.plane.call('POST', '/api-keys', { body });
    const key = String(made.json['key']);
    const call = (method: string, path: string) => fleet.plane.call(method, path, { key });
    assert.equal((await call('GET', '/fleet/clients?tenant=acme')).status, 200);
    assertProblem(await call('GET', '/fleet/clients'), 400, 'VALIDATION_FAILED');
    const path = '/fleet/clients?tenant=other';
    assertProblem(await call('GET', path), 403, 'TENANT_OUT_OF_REACH');
    const killed = await call('POST', '/fleet/clients/p-1.00000000.1/kill');
    assertProblem(killed, 403, 'TENANT_OUT_OF_REACH');
  });
});

describe('a kill', () => {
  it('ends the one client with 57P01, what it does on the server too, and no other', async () => {
    const [victim, neighbour] = [await connect(second), await connect(second)];
    await ask(victim, 'BEGIN');
    victim.send(query('SELECT pg_sleep(61)'));
    await untilRunning(fleet.cluster, 'pg_sleep(61)');
    const busy = (await list()).clients.find(({ state }) => state === 'leased');
    assert.ok(busy !== undefined);
    const { status, json } = await kill(busy.id);
    assert.deepEqual(
      [status, json],
      [200, { id: busy.id, outcome: 'killed', tenant: 'acme', user: 'postgres' }],
    );
    const error = errorIn(await victim.until('E'));
    assert.deepEqual([error['S'], error['C']], ['FATAL', '57P01']);
    assert.match(error['M'] ?? '', /an operator of the database proxy has ended this session/);
    assert.match(error['D'] ?? '', /CLIENT_KILLED/);
    await eventually('its statement is cancelled', async () => {
      const sql = `SELECT 1 FROM pg_stat_activity WHERE query LIKE '%sleep(61)%'
        AND state = 'active' AND pid <> pg_backend_pid()`;
      return (await fleet.cluster.sql('postgres', sql)).length === 0;
    });
    assert.equal(await ask(neighbour, 'SELECT 2'), '2');
    assertProblem(await kill(busy.id), 404, 'CLIENT_NOT_FOUND');
    neighbour.end();
    await untilNobody();
  });

  it('is in the log with who did it, whom and why', async () => {
    const client = await connect(first);
    const [{ id } = { id: '' }] = (await list()).clients;
    await kill(id, 'holds a lock');
    await client.closed();
    const line = fleet.plane.log.split('\n').find((text) => text.includes('holds a lock')) ?? '';
    const audit = JSON.parse(line) as Readonly<Record<string, unknown>>;
    assert.deepEqual([audit['client'], audit['outcome']], [id, 'killed']);
    assert.match(String(audit['actor']), /./);
  });

  it('of nobody is 404: another life of the proxy, another proxy, no id at all', async () => {
    const client = await connect(first);
    const [{ id } = { id: '' }] = (await list()).clients;
    const [proxy, life = '', number] = id.split('.');
    const former = `${proxy}.${life === '00000000' ? '11111111' : '00000000'}.${number}`;
    for (const none of [former, `p-2.${life}.${number}`, `p-9.${life}.${number}`, 'nonsense']) {
      assertProblem(await kill(none), 404, 'CLIENT_NOT_FOUND');
    }
    assert.equal(await ask(client, 'SELECT 3'), '3');
    client.end();
    await untilNobody();
  });

  it('of a proxy that does not answer says so, and lists name it', async () => {
    const third = fleet.members[2] as Member;
    const client = await connect(third);
    const [{ id } = { id: '' }] = (await list()).clients;
    // It is cut off, and reports no more; for a while it counts as live.
    await third.bus.close();
    assertProblem(await kill(id), 504, 'PROXY_SILENT');
    const page = await list();
    assert.deepEqual(page.unanswered, [{ proxy: 'p-3', reason: 'no_answer' }]);
    assert.equal(await ask(client, 'SELECT 4'), '4');
    client.end();
  });
});
