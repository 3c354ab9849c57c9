/** What nobody has named, and still takes room on a declared server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { Allocator } from './allocator.ts';
import type { LookOrder } from './looking.ts';
import { configOf, ObedientProxy } from './testing.ts';

const SERVER = { name: 'db', maxConnections: 6 };
const CONFIG = configOf({ one: 6, other: 6 }, { one: SERVER, other: SERVER });
const MEMBER = { life: 1, divisor: 2, appliedPosition: 1 };
/** Of the tenant that only the lost proxy has. */
const LEFT = 5;

/**
 * A new term: of two proxies one is heard, and wants all of a tenant; the other is not, and has
 * connections of another tenant on the same server. @returns the most that the first one had
 */
function newTerm(remaining: (look: LookOrder) => number): number {
  const members = ['p-1', 'p-2'].map((id) => ({ ...MEMBER, proxy: id as ProxyId }));
  const allocator = new Allocator({
    term: 2,
    config: CONFIG,
    fleet: { members, areAll: 'surely' },
    expectedProxies: undefined,
    proxyLostAfterMs: 2_000,
    nowMs: 0,
  });
  const heard = new ObedientProxy('p-2', () => CONFIG);
  heard.share = { divisor: 2 };
  heard.term = 1;
  heard.wanted.set('one', 6);
  let most = 0;
  for (let nowMs = 0; nowMs < 20_000; nowMs += 25) {
    if (nowMs % 1_000 === 0) allocator.needs(heard.needs(nowMs), nowMs);
    const { grants, looks, members: written } = allocator.step(nowMs);
    if (written !== undefined) allocator.membersWritten('written', nowMs);
    for (const grant of grants) allocator.grantAnswered(grant, heard.obey(grant), nowMs);
    for (const look of looks) {
      const answer = { outcome: 'seen' as const, remaining: remaining(look), ended: 0 };
      allocator.lookAnswered(look.number, answer, nowMs);
    }
    most = Math.max(most, heard.cap('one'));
  }
  return most;
}

describe('a declared server, in a term in which a proxy was never heard', () => {
  it('has no room for what the lost proxy has of a tenant that nobody has named', () => {
    const most = newTerm(({ request }) => (request.tenant === 'other' ? LEFT : 0));
    assert.equal(most, SERVER.maxConnections - LEFT);
  });

  it('has room for all but the slot of looks once all its tenants were looked for', () => {
    assert.ok(newTerm(() => 0) >= SERVER.maxConnections - 1);
  });
});
