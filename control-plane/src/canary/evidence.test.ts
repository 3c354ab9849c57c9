/** Who is chosen to try a change, and what reports say of them since. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import type { ProxyView } from '../fleet/fleet-state.ts';
import { chooseCanaries } from './choose.ts';
import { evidenceOf } from './evidence.ts';
import type { Moment, RunningCanary } from './evidence.ts';

const START = '2026-01-01T00:00:00.000Z';
const counts = { transactions: 0, pins: 0 };

function view(id: string, fields: Partial<ProxyReport> = {}, status = 'live'): ProxyView {
  const report: ProxyReport = {
    proxy: id as ProxyId,
    version: '1',
    startedAt: START,
    sentAt: START,
    epoch: 1,
    appliedPosition: 9,
    clients: 0,
    pools: [],
    ...fields,
  };
  return { id: id as ProxyId, status: status as ProxyView['status'], silentMs: 0, report };
}

const activity = (tenant: string, queries: number, errors: number) => [
  { tenant, queries, serverErrors: errors - 1, proxyErrors: 1, ...counts },
];

const pool = (fields: Partial<ProxyReport['pools'][number]> = {}) => ({
  tenant: 'ACME',
  protocol: 'postgres' as const,
  database: 'd',
  user: 'u',
  active: 0,
  idle: 0,
  total: 0,
  waiting: 0,
  longestWaitMs: 0,
  ...fields,
});

describe('chooseCanaries', () => {
  const fleetOf = (size: number) => Array.from({ length: size }, (_, index) => view(`p${index}`));

  it('takes the share of the live proxies, rounded up, at least one and never all', () => {
    const sizes: readonly (readonly [fleet: number, share: number, canaries: number])[] = [
      [2, 0.01, 1],
      [2, 0.99, 1],
      [3, 0.1, 1],
      [3, 0.34, 2],
      [10, 0.1, 1],
      [11, 0.1, 2],
      [40, 0.5, 20],
      [500, 0.5, 100],
    ];
    for (const [size, share, expected] of sizes) {
      const { proxies } = chooseCanaries(fleetOf(size), 'acme', share);
      assert.equal(proxies.length, expected, `${share} of ${size}`);
      assert.equal(new Set(proxies).size, expected);
    }
  });

  it('takes the same ones again whatever the order and case, and others for other tenants', () => {
    const fleet = fleetOf(20);
    const { proxies } = chooseCanaries(fleet, 'acme', 0.2);
    assert.deepEqual(chooseCanaries(fleet.toReversed(), 'ACME', 0.2).proxies, proxies);
    const chosen = ['a', 'b', 'c', 'd'].flatMap((id) => chooseCanaries(fleet, id, 0.1).proxies);
    assert.ok(new Set(chosen).size > 2, chosen.join(' '));
  });

  it('takes neither lost nor draining ones, and refuses fewer than 2 that are left', () => {
    const lost = view('lost', {}, 'lost');
    const leaving = view('leaving', { phase: 'draining' });
    const fleet = [lost, leaving, view('a'), view('b')];
    for (const share of [0.1, 0.9]) {
      const [only] = chooseCanaries(fleet, 'acme', share).proxies;
      assert.ok(only === 'a' || only === 'b', only);
    }
    assert.throws(() => chooseCanaries([lost, leaving, view('a')], 'acme', 0.1), {
      code: 'CANARY_TOO_FEW_PROXIES',
      message: /^One proxy is live;/,
    });
    assert.throws(() => chooseCanaries([], 'acme', 0.1), { message: /^No proxy is live;/ });
  });

  it('keeps what each counted before, but nothing where that was left out of the report', () => {
    const fleet = [
      view('a', { tenants: activity('Acme', 100, 7) }),
      view('b'),
      view('c', { tenantsOmitted: 3 }),
    ];
    const before = new Map(
      chooseCanaries(fleet, 'acme', 0.1).before.map((one) => [one.proxy, one] as const),
    );
    assert.deepEqual(before.get('a'), { proxy: 'a', startedAt: START, queries: 100, errors: 7 });
    assert.deepEqual(before.get('b'), { proxy: 'b', startedAt: START, queries: 0, errors: 0 });
    assert.deepEqual(before.get('c'), { proxy: 'c', startedAt: START });
  });

  it('stays within what an event may hold, of any fleet', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 400 }), fc.double({ min: 0.01, max: 0.99 }), (n, s) => {
        if (Number.isNaN(s)) return;
        const { proxies, before } = chooseCanaries(fleetOf(n), 'acme', s);
        assert.ok(proxies.length <= 100 && before.length <= 200);
        const known = new Set(before.map(({ proxy }) => proxy));
        for (const id of proxies) assert.ok(known.has(id), id);
      }),
      { numRuns: 50 },
    );
  });
});

describe('evidenceOf', () => {
  const { id: _, ...candidate } = sampleTenant();
  const running: RunningCanary = {
    tenant: 'Acme',
    canary: {
      proxies: ['a' as ProxyId],
      candidate: { ...candidate, databases: [] },
      share: 0.1,
      startedAt: START,
      promoteAfterMs: 60_000,
    },
    before: [
      { proxy: 'a', startedAt: START, queries: 100, errors: 4 },
      { proxy: 'b', startedAt: START, queries: 50, errors: 0 },
    ],
    position: 9,
  };
  const moment = (...fleet: readonly ProxyView[]): Moment => ({
    fleet,
    elapsedMs: 1_000,
    heardForMs: 10_000,
    lostAfterMs: 5_000,
  });
  const onA = (fields: Partial<ProxyReport>, more: Partial<Moment> = {}) =>
    evidenceOf(running, { ...moment(view('a', fields)), ...more }).canaries[0];

  it('counts queries and errors since it began, on canaries and the others', () => {
    const fleet = [
      view('a', { tenants: activity('acme', 130, 6) }),
      view('b', { tenants: activity('acme', 60, 1) }),
      view('late', { tenants: activity('acme', 5, 2) }),
      view('gone', { tenants: activity('acme', 999, 9) }, 'lost'),
    ];
    const { canaries, others, before } = evidenceOf(running, moment(...fleet));
    assert.deepEqual([canaries[0]?.queries, canaries[0]?.errors], [30, 2]);
    assert.deepEqual(
      others.map(({ proxy, queries, errors }) => [proxy, queries, errors]),
      [
        ['b', 10, 1],
        ['late', 5, 2],
      ],
    );
    assert.deepEqual(before, { queries: 150, errors: 4 });
  });

  it('knows whether a canary serves it, has yet to, or refuses it', () => {
    assert.equal(onA({ appliedPosition: 9 })?.serving, 'applied');
    assert.equal(onA({ appliedPosition: 8 })?.serving, 'told');
    const rejected = { position: 9, reason: 'why' };
    const refusing = onA({ appliedPosition: 8, rejected });
    assert.deepEqual([refusing?.serving, refusing?.problem], ['rejected', 'why']);
    const earlier = onA({ appliedPosition: 7, rejected: { position: 8, reason: 'x' } });
    assert.equal(earlier?.serving, 'told', 'what it refused is something else');
  });

  it('takes dials from the pools of now, whatever the case, not from those that drain', () => {
    const dead = pool({ failing: 'ECONNREFUSED' });
    assert.equal(onA({ pools: [dead, pool({ state: 'draining', idle: 2 })] })?.dial, 'failing');
    assert.equal(onA({ pools: [dead] })?.problem, 'ECONNREFUSED');
    assert.equal(onA({ pools: [pool({ idle: 1 })] })?.dial, 'connected');
    assert.equal(onA({ pools: [pool({ total: 1 })] })?.dial, 'unknown', 'it is being dialled');
    assert.equal(onA({ pools: [pool({ idle: 1, failing: 'x' })] })?.dial, 'unknown');
    assert.equal(onA({ pools: [pool({ tenant: 'other', failing: 'x' })] })?.dial, 'unknown');
    assert.equal(onA({ pools: [dead], appliedPosition: 8 })?.dial, 'unknown', 'it is of before');
  });

  it('takes a canary for lost that is silent, has ended or was started anew', () => {
    const { canaries } = evidenceOf(running, moment(view('a', {}, 'lost')));
    assert.equal(canaries[0]?.life, 'lost');
    assert.equal(evidenceOf(running, moment(view('b'))).canaries[0]?.life, 'lost');
    const anew = onA({ startedAt: '2026-01-02T00:00:00.000Z' });
    assert.deepEqual([anew?.life, anew?.problem], ['lost', 'it was started anew']);
  });

  it('gives a canary 5 s to speak up to a control plane that hears proxies again', () => {
    const deaf = { heardForMs: 4_999 };
    const silent = evidenceOf(running, { ...moment(view('a', {}, 'lost')), ...deaf });
    const absent = evidenceOf(running, { ...moment(view('b')), ...deaf });
    assert.equal(silent.canaries[0]?.life, 'unknown');
    assert.equal(absent.canaries[0]?.life, 'unknown');
  });
});
