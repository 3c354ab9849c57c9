/**
 * Operations on a tenant over a whole fleet of real proxies: each says how far it is, until all are
 * done.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { fields, firstColumns, query } from '../support/raw-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { TestFleet } from './test-fleet.ts';
import type { Member } from './test-fleet.ts';

type Fields = Readonly<Record<string, unknown>>;

let fleet: TestFleet;
let first: Member;
let second: Member;

before(async () => {
  fleet = await TestFleet.start({ proxies: ['p-1', 'p-2'], tenants: ['acme'] });
  [first, second] = fleet.members as unknown as [Member, Member];
});
after(() => fleet.stop());

const connect = (member: Member) => fleet.login(member, 'acme');

const operate = async (operation: string) => {
  const path = `/tenants/acme/${operation}?wait=applied`;
  const { status, json, text } = await fleet.plane.call('POST', path);
  assert.equal(status, 200, text);
  return json['progress'] as Fields;
};

/** Proxy, state and whether it is done. */
const places = (progress: Fields) =>
  (progress['proxies'] as readonly Fields[]).map(({ proxy, state, done }) => [proxy, state, done]);

const progress = async () => (await fleet.plane.call('GET', '/tenants/acme/progress')).json;

const complete = () =>
  eventually('it is complete', async () => {
    const now = await progress();
    return now['complete'] === true && now;
  });

async function begin(client: RawClient): Promise<void> {
  client.send(query('BEGIN; SELECT 1'));
  await client.until('Z');
}

describe('an operation on a fleet', () => {
  it('drains each proxy as its transactions end, and says on which one waits', async () => {
    const [idle, busy] = [await connect(first), await connect(second)];
    await begin(busy);
    await operate('drain');
    await eventually('the first proxy is done', async () => {
      const [one] = places(await progress());
      return one?.[2] === true;
    });
    const waits = await progress();
    assert.deepEqual(places(waits), [
      ['p-1', 'drained', true],
      ['p-2', 'draining', false],
    ]);
    const [, late] = waits['proxies'] as readonly Fields[];
    assert.deepEqual([late?.['clients'], late?.['connections']], [1, 1]);
    assert.ok(Date.parse(String(late?.['since'])) <= Date.now());
    await idle.closed();

    busy.send(query('COMMIT'));
    const told = await busy.until('E');
    assert.equal(fields(told.at(-1) ?? assert.fail())['C'], '57P01');
    assert.deepEqual(places(await complete()), [
      ['p-1', 'drained', true],
      ['p-2', 'drained', true],
    ]);
    const resumed = await operate('resume');
    assert.deepEqual(places(resumed), [
      ['p-1', 'active', true],
      ['p-2', 'active', true],
    ]);
  });

  it('counts a reconnect as done when no connection of before is left', async () => {
    const [free, busy] = [await connect(first), await connect(second)];
    await begin(busy);
    await operate('reconnect');
    await eventually('it waits for one connection', async () => {
      const now = (await progress())['proxies'] as readonly Fields[];
      return now[0]?.['done'] === true && now[1]?.['former_connections'] === 1;
    });
    busy.send(query('COMMIT'));
    await busy.until('Z');
    await complete();
    free.send(query('SELECT 5'));
    assert.deepEqual(firstColumns(await free.until('Z')), ['5']);
    free.end();
    busy.end();
  });

  it('is over on a proxy that has ended in order, which is forgotten at once', async () => {
    await operate('pause');
    await complete();
    await second.stop();
    const now = await complete();
    assert.deepEqual(places(now), [['p-1', 'paused', true]]);
    assert.deepEqual(now['on_proxies'], { reached: 1, live: 1 });
  });
});
