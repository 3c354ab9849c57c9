/** What a proxy may have, which orders it obeys, and what has to be on disk before it answers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BudgetGrant } from '@dbbouncer/shared/contract/budget.ts';
import type { Obedience } from './obedience.ts';
import { keptAfter, NOTHING_KEPT } from './kept-budget.ts';
import { grantOf, obedience, PROXY, tenant, tenantsOf, use } from './testing.ts';

/** As the driver does it when the disk works. */
function obeyed(by: Obedience, parts: Partial<BudgetGrant>, nowMs = 0) {
  const grant = grantOf(parts);
  const verdict = by.judge(grant);
  assert.equal(verdict.kind, 'to_obey');
  by.obey(grant, nowMs);
  return { keep: verdict.kind === 'to_obey' ? verdict.keep : undefined, grant };
}

const said = (id: string, floor: number, limit: number) => ({ tenant: tenant(id), floor, limit });

describe('what a proxy may have of a tenant', () => {
  it('is max_connections divided by the divisor of its share, rounded down', () => {
    const proxy = obedience({ tenants: tenantsOf({ acme: 11 }) });
    assert.equal(proxy.capOf('acme', 0), 5);
  });

  it('is nothing without a share, of an unknown tenant, and on a server with a cap', () => {
    assert.equal(obedience({ kept: NOTHING_KEPT }).capOf('acme', 0), 0);
    const tenants = tenantsOf({ acme: { maxConnections: 10, formula: 'declared_server' } });
    const proxy = obedience({ tenants });
    assert.deepEqual([proxy.capOf('acme', 0), proxy.capOf('other', 0)], [0, 0]);
  });

  it('is what was granted until 5 s after the needs it answers, and the floor from then on', () => {
    const proxy = obedience();
    obeyed(proxy, { stampMs: 1_000, tenants: [said('acme', 2, 9)] }, 3_000);
    assert.deepEqual([proxy.capOf('acme', 5_999), proxy.capOf('acme', 6_000)], [9, 2]);
  });

  it('is never above max_connections, nor the floor above the formula', () => {
    const proxy = obedience();
    obeyed(proxy, { tenants: [said('acme', 9, 40)] });
    assert.deepEqual([proxy.capOf('acme', 0), proxy.capOf('acme', 5_000)], [10, 5]);
  });

  it('follows the formula again once it is released', () => {
    const proxy = obedience();
    obeyed(proxy, { tenants: [said('acme', 1, 1)] });
    const { keep } = obeyed(proxy, { released: [tenant('acme')] });
    assert.deepEqual(keep, { floors: [{ tenant: 'acme', floor: null }] });
    assert.equal(proxy.capOf('acme', 0), 5);
  });

  it('is the floor when a grant was 5 s under way', () => {
    const proxy = obedience();
    obeyed(proxy, { stampMs: 0, tenants: [said('acme', 2, 9)] }, 5_000);
    assert.equal(proxy.capOf('acme', 5_000), 2);
  });

  it('is leased no shorter because an old grant comes late', () => {
    const proxy = obedience();
    obeyed(proxy, { stampMs: 4_000 }, 4_000);
    obeyed(proxy, { stampMs: 1_000 }, 4_100);
    assert.equal(proxy.leaseEndMs, 9_000);
  });

  it('is not leased longer than 5 s from now, whatever stamp a grant has', () => {
    const proxy = obedience();
    obeyed(proxy, { stampMs: 60_000 }, 1_000);
    assert.equal(proxy.leaseEndMs, 6_000);
  });

  it('is nothing after 24 h without a control plane', () => {
    const proxy = obedience();
    obeyed(proxy, { tenants: [said('acme', 2, 9)] }, 1_000);
    assert.equal(proxy.expire(24 * 3_600_000), undefined);
    assert.deepEqual(proxy.expire(24 * 3_600_000 + 1_000), { share: null, cleared: 'all' });
    assert.equal(proxy.capOf('acme', 24 * 3_600_000 + 1_000), 0);
  });

  it('counts the time before a restart into these 24 h', () => {
    const proxy = obedience({ silentMs: 24 * 3_600_000 - 10 });
    assert.equal(proxy.expire(9), undefined);
    assert.notEqual(proxy.expire(10), undefined);
  });
});

describe('another config', () => {
  it('with a lower max_connections lowers at once what a proxy may have', () => {
    const proxy = obedience();
    obeyed(proxy, { tenants: [said('acme', 5, 9)] });
    proxy.serve(tenantsOf({ acme: 4 }), ['acme']);
    assert.deepEqual([proxy.capOf('acme', 0), proxy.capOf('acme', 5_000)], [4, 2]);
  });

  it('with a higher one raises nothing until the control plane says so', () => {
    const proxy = obedience();
    const keep = proxy.serve(tenantsOf({ acme: 20 }), ['acme']);
    assert.deepEqual(keep, { floors: [{ tenant: 'acme', floor: 5 }] });
    assert.equal(proxy.capOf('acme', 0), 5);
    obeyed(proxy, { released: [tenant('acme')] });
    assert.equal(proxy.capOf('acme', 0), 10);
  });

  it('with a lower and then a higher one does not bring back what was granted before', () => {
    const proxy = obedience();
    obeyed(proxy, { tenants: [said('acme', 5, 9)] });
    proxy.serve(tenantsOf({ acme: 4 }), ['acme']);
    proxy.serve(tenantsOf({ acme: 10 }), ['acme']);
    assert.deepEqual([proxy.capOf('acme', 0), proxy.capOf('acme', 5_000)], [4, 2]);
  });

  it('on a server that has no cap any more raises nothing either', () => {
    const declared = tenantsOf({ acme: { maxConnections: 10, formula: 'declared_server' } });
    const proxy = obedience({ tenants: declared });
    proxy.serve(tenantsOf({ acme: 10 }), ['acme']);
    assert.equal(proxy.capOf('acme', 0), 0);
  });

  it('gives a proxy its part of a tenant that was never there', () => {
    const proxy = obedience();
    assert.equal(proxy.serve(tenantsOf({ acme: 10, other: 8 }), ['other']), undefined);
    assert.equal(proxy.capOf('other', 0), 4);
  });

  it('gives it nothing of a tenant that was gone and comes back, until it is released', () => {
    const proxy = obedience();
    assert.deepEqual(proxy.serve(tenantsOf({}), ['acme']), {
      floors: [{ tenant: 'acme', floor: 0 }],
    });
    proxy.serve(tenantsOf({ acme: 10 }), ['acme']);
    assert.equal(proxy.capOf('acme', 0), 0);
    obeyed(proxy, { released: [tenant('acme')] });
    assert.equal(proxy.capOf('acme', 0), 5);
  });

  it('does not let a grant of a later config give more once that config comes', () => {
    const proxy = obedience();
    obeyed(proxy, { tenants: [said('acme', 5, 15), said('later', 1, 2)] });
    proxy.serve(tenantsOf({ acme: 20, later: 20 }), ['acme', 'later']);
    assert.deepEqual([proxy.capOf('acme', 0), proxy.capOf('later', 0)], [10, 0]);
  });
});

describe('a proxy that starts again', () => {
  const kept = keptAfter(NOTHING_KEPT, {
    life: 1,
    term: 3,
    share: { divisor: 2 },
    floors: [{ tenant: tenant('acme'), floor: 1 }],
  });

  it('has its floors and no lease', () => {
    const proxy = obedience({ life: 2, kept });
    assert.deepEqual([proxy.capOf('acme', 0), proxy.isLeased(0)], [1, false]);
  });

  it('has nothing by its share before it is known what it served before', () => {
    const tenants = tenantsOf({ acme: 10, other: 10 });
    const proxy = obedience({ life: 2, kept, tenants: undefined });
    proxy.serve(tenants, ['acme', 'other']);
    assert.deepEqual([proxy.capOf('acme', 0), proxy.capOf('other', 0)], [0, 0]);
    proxy.rebase(tenantsOf({ acme: 10, other: 6 }), ['other']);
    assert.deepEqual([proxy.capOf('acme', 0), proxy.capOf('other', 0)], [1, 3]);
  });

  it('uses one slot of a tenant until it has looked for what was left behind', () => {
    const proxy = obedience({ life: 2, kept: { ...kept, floors: new Map() }, left: 'maybe' });
    assert.equal(proxy.capOf('acme', 0), 1);
    proxy.look('acme', 'cannot');
    assert.equal(proxy.capOf('acme', 0), 1);
    proxy.look('acme', 'yes');
    assert.equal(proxy.capOf('acme', 0), 5);
  });

  it('has looked for all tenants of a server once that is clear', () => {
    const tenants = tenantsOf({ acme: 10, near: 10, far: { server: 'elsewhere:5432' } });
    const proxy = obedience({ life: 2, kept, tenants, left: 'maybe' });
    proxy.serverIsClear('db:5432');
    assert.deepEqual(
      ['near', 'far'].map((key) => [proxy.lookedAt(key), proxy.capOf(key, 0)]),
      [
        ['yes', 5],
        ['not_yet', 1],
      ],
    );
  });

  it('refuses a former term and grants to its former life', () => {
    const proxy = obedience({ life: 2, kept });
    const refusal = (parts: Partial<BudgetGrant>) => {
      const verdict = proxy.judge(grantOf(parts));
      return verdict.kind === 'refused' ? verdict.answer : undefined;
    };
    const refused = { outcome: 'refused', life: 2, term: 3 };
    assert.deepEqual(refusal({ life: 2, term: 2 }), { ...refused, reason: 'older_term' });
    assert.deepEqual(refusal({ life: 1, term: 3 }), { ...refused, reason: 'other_life' });
    assert.equal(refusal({ life: 2, term: 3 }), undefined);
  });
});

describe('orders', () => {
  it('are refused when a later one was obeyed, and not when it could not be kept', () => {
    const proxy = obedience();
    const early = grantOf();
    const late = grantOf();
    proxy.judge(early);
    proxy.judge(late);
    proxy.obey(late, 0);
    const verdict = proxy.judge(early);
    const answer = { outcome: 'refused', reason: 'older_number', life: 1, term: 1 };
    assert.deepEqual(verdict, { kind: 'refused', answer });
    assert.equal(proxy.judge(grantOf({ term: 2, number: 1 })).kind, 'to_obey');
  });

  it('write only what changes: share, floors, a new term', () => {
    const proxy = obedience();
    const first = obeyed(proxy, { share: { divisor: 3 }, tenants: [said('acme', 1, 4)] });
    assert.deepEqual(first.keep, {
      share: { divisor: 3 },
      floors: [{ tenant: 'acme', floor: 1 }],
      term: 1,
    });
    const same = obeyed(proxy, { share: { divisor: 3 }, tenants: [said('acme', 1, 7)] });
    assert.equal(same.keep, undefined);
    assert.deepEqual(obeyed(proxy, { term: 2 }).keep, { term: 2 });
  });

  it('are answered with the tenants that hold more than they may', () => {
    const proxy = obedience();
    const { grant } = obeyed(proxy, { tenants: [said('acme', 1, 3)] });
    const uses = [use('acme', 4)];
    assert.deepEqual(proxy.answer(grant, { nowMs: 0, uses }), {
      outcome: 'obeyed',
      above: [{ tenant: 'acme', held: 4 }],
      aboveOmitted: 0,
      lease: 'in_force',
    });
  });

  it('name 2,000 of those and how many more there are', () => {
    const uses = Array.from({ length: 2_003 }, (_, index) => use(`t${index}`, 1));
    const proxy = obedience();
    const answer = proxy.answer(grantOf(), { nowMs: 0, uses });
    assert.ok(answer.outcome === 'obeyed');
    assert.deepEqual([answer.above.length, answer.aboveOmitted], [2_000, 3]);
  });
});

describe('what is told', () => {
  const moment = (nowMs: number, ...uses: ReturnType<typeof use>[]) => ({ nowMs, uses });
  const about = { occasion: 'heartbeat', appliedPosition: 7, state: 'serving' } as const;

  it('is what a tenant holds and may have, under a number that rises', () => {
    const proxy = obedience();
    const first = proxy.needs(moment(10, use('acme', 2, 3)), about);
    assert.deepEqual(first, {
      proxy: PROXY,
      life: 1,
      number: 1,
      stampMs: 10,
      term: 0,
      obeyed: 0,
      share: { divisor: 2 },
      appliedPosition: 7,
      left: 'nothing',
      state: 'serving',
      tenants: [
        {
          tenant: 'acme',
          follows: 'formula',
          floor: 5,
          limit: 5,
          looked: 'yes',
          held: 2,
          wanted: 3,
        },
      ],
      aboveOmitted: 0,
    });
    assert.equal(proxy.needs(moment(20), about).number, 2);
  });

  it('is the most that was wanted in the last half to whole second, at most M', () => {
    const proxy = obedience();
    const wanted = (nowMs: number, now: number) =>
      proxy.needs(moment(nowMs, use('acme', 1, now)), about).tenants[0]?.wanted;
    assert.deepEqual(
      [wanted(0, 99), wanted(400, 1), wanted(900, 1), wanted(1_400, 1)],
      [10, 10, 10, 1],
    );
  });

  it('is told again for 10 s after a tenant needs nothing any more', () => {
    const proxy = obedience();
    proxy.needs(moment(0, use('acme', 1)), about);
    const told = (nowMs: number) => proxy.needs(moment(nowMs), about).tenants.length;
    assert.deepEqual([told(2_000), told(11_999), told(12_000), told(13_000)], [1, 1, 1, 0]);
  });

  it('is only what has changed where it is news', () => {
    const tenants = tenantsOf({ acme: 10, other: 10 });
    const proxy = obedience({ tenants });
    proxy.needs(moment(0, use('acme', 1), use('other', 1)), about);
    const news = proxy.needs(moment(30, use('acme', 1), use('other', 2)), {
      ...about,
      occasion: 'news',
    });
    assert.deepEqual(
      news.tenants.map((needs) => needs.tenant),
      ['other'],
    );
  });

  it('is news when what an answer has named as too much has fallen before it was told', () => {
    const proxy = obedience();
    const { grant } = obeyed(proxy, { tenants: [said('acme', 1, 3)] });
    proxy.needs(moment(0, use('acme', 3)), about);
    proxy.answer(grant, { nowMs: 5, uses: [use('acme', 7, 3)] });
    const news = proxy.needs(moment(9, use('acme', 3)), { ...about, occasion: 'news' });
    assert.equal(news.tenants[0]?.held, 3);
  });

  it('names first all that hold more than they may, and everybody of 5,000 within 10 s', () => {
    const ids = Array.from({ length: 5_000 }, (_, index) => `t${index}`);
    const tenants = tenantsOf(Object.fromEntries(ids.map((id) => [id, 10])));
    const proxy = obedience({ tenants });
    const grants = ids.map((id) => said(id, 1, 1));
    for (let from = 0; from < ids.length; from += 2_000) {
      obeyed(proxy, { tenants: grants.slice(from, from + 2_000) });
    }
    const heard = new Set<string>();
    for (let second = 0; second < 10; second++) {
      const needs = proxy.needs(moment(second * 1_000, use('t4999', 3)), about);
      assert.equal(needs.tenants[0]?.tenant, 't4999');
      assert.ok(needs.tenants.length <= 2_000);
      for (const one of needs.tenants) heard.add(one.tenant);
    }
    assert.equal(heard.size, 5_000);
  });

  it('is told in pages of 2,000 in order of keys, where a control plane asks', () => {
    const ids = Array.from({ length: 2_500 }, (_, index) => `T${String(index).padStart(4, '0')}`);
    const proxy = obedience({ tenants: tenantsOf(Object.fromEntries(ids.map((id) => [id, 10]))) });
    const uses = ids.toReversed().map((id) => use(id, 1));
    const first = proxy.answer(grantOf({ tell: { after: '' } }), { nowMs: 0, uses });
    const next = proxy.answer(grantOf({ tell: { after: 't1999' } }), { nowMs: 0, uses });
    assert.ok(first.outcome === 'obeyed' && next.outcome === 'obeyed');
    assert.deepEqual([first.told?.tenants.length, first.told?.more], [2_000, true]);
    assert.deepEqual([next.told?.tenants.length, next.told?.more], [500, false]);
    assert.equal(next.told?.tenants[0]?.tenant, 'T2000');
  });

  it('costs nothing for each of 100,000 tenants that follow the formula', () => {
    const ids = Array.from({ length: 100_000 }, (_, index) => `t${index}`);
    const all = tenantsOf(Object.fromEntries(ids.map((id) => [id, 10])));
    let asked = 0;
    const tenants = { get: (key: string) => ((asked += 1), all.get(key)) };
    const proxy = obedience({ tenants });
    proxy.needs(moment(0, use('t5', 1)), about);
    obeyed(proxy, { share: { divisor: 3 } });
    assert.ok(asked < 10, `${asked} tenants were looked at`);
  });
});
