/** The verdict on a change that some proxies try: every rule, and what is stronger than what. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { judge } from './judge.ts';
import type { Evidence, ProxyEvidence } from './judge.ts';

const proxy = (fields: Partial<ProxyEvidence> = {}): ProxyEvidence => ({
  proxy: 'p1',
  life: 'live',
  serving: 'applied',
  problem: undefined,
  dial: 'connected',
  queries: 0,
  errors: 0,
  ...fields,
});

function evidence(fields: Partial<Evidence> = {}): Evidence {
  return {
    elapsedMs: 60_000,
    promoteAfterMs: 60_000,
    canaries: [proxy({ queries: 100 })],
    others: [proxy({ proxy: 'p2', queries: 1_000 })],
    before: { queries: 10_000, errors: 0 },
    ...fields,
  };
}

const EARLY = { elapsedMs: 59_999 } as const;

function verdictOn(fields: Partial<Evidence>): string {
  const verdict = judge(evidence(fields));
  return verdict.kind === 'roll_back' ? verdict.cause : verdict.kind;
}

describe('a canary whose time is not over', () => {
  it('goes on while nothing is wrong, with traffic and without', () => {
    assert.equal(verdictOn(EARLY), 'wait');
    const idle = [proxy({ dial: 'unknown', serving: 'told' })];
    assert.equal(verdictOn({ ...EARLY, canaries: idle }), 'wait');
  });

  it('is rolled back at once when one of two canaries is lost', () => {
    const canaries = [proxy({ queries: 100 }), proxy({ proxy: 'p3', life: 'lost' })];
    assert.equal(verdictOn({ ...EARLY, canaries }), 'proxy_lost');
  });

  it('is rolled back at once when a canary refuses the config, in the words of the proxy', () => {
    const canaries = [proxy({ serving: 'rejected', problem: 'delta has an unknown form' })];
    const verdict = judge(evidence({ ...EARLY, canaries }));
    assert.deepEqual(verdict, {
      kind: 'roll_back',
      cause: 'rejected',
      reason: 'canary p1 refuses it: delta has an unknown form',
    });
  });

  it('is rolled back at once when no canary can connect, but not for one of two', () => {
    const failing = proxy({ dial: 'failing', problem: 'ECONNREFUSED' });
    assert.equal(verdictOn({ ...EARLY, canaries: [failing, failing] }), 'dial_failures');
    assert.equal(verdictOn({ ...EARLY, canaries: [failing, proxy()] }), 'wait');
  });

  it('is rolled back from 3 errors in 10 answers on, more than 5 points above the others', () => {
    const canaries = (queries: number, errors: number) => [proxy({ queries, errors })];
    const others = [proxy({ proxy: 'p2', queries: 100, errors: 25 })];
    assert.equal(verdictOn({ ...EARLY, canaries: canaries(10, 3) }), 'errors');
    assert.equal(verdictOn({ ...EARLY, canaries: canaries(10, 2) }), 'wait');
    assert.equal(verdictOn({ ...EARLY, canaries: canaries(9, 9) }), 'wait');
    assert.equal(verdictOn({ ...EARLY, canaries: canaries(10, 3), others }), 'wait', '30 % and 25');
    assert.equal(verdictOn({ ...EARLY, canaries: canaries(100, 31), others }), 'errors');
    const before = { queries: 1_000, errors: 290 };
    assert.equal(verdictOn({ ...EARLY, canaries: canaries(100, 31), before }), 'wait');
  });

  it('counts clients that were refused, who have asked nothing, as answers', () => {
    const canaries = [proxy({ queries: 0, errors: 10, dial: 'unknown' })];
    const verdict = judge(evidence({ ...EARLY, canaries }));
    assert.ok(verdict.kind === 'roll_back' && verdict.cause === 'errors');
    const { reason } = verdict;
    const others = '0 errors in 1000 queries at the others, 0 errors in 10000 queries before';
    assert.equal(reason, `10 errors in 0 queries at the canaries; ${others}`);
  });
});

describe('a canary whose time is over', () => {
  it('is promoted with 20 queries that went well', () => {
    assert.equal(verdictOn({ canaries: [proxy({ queries: 20, dial: 'unknown' })] }), 'promote');
  });

  it('is promoted with fewer when every canary holds connections, else after a probe', () => {
    const connected = proxy({ queries: 19 });
    const unknown = proxy({ proxy: 'p3', dial: 'unknown' });
    assert.equal(verdictOn({ canaries: [connected] }), 'promote');
    assert.equal(verdictOn({ canaries: [connected, unknown] }), 'probe');
  });

  it('is rolled back when any canary cannot connect, whatever the others answered', () => {
    const failing = proxy({ proxy: 'p3', dial: 'failing' });
    assert.equal(verdictOn({ canaries: [proxy({ queries: 999 }), failing] }), 'dial_failures');
  });

  it('waits 10 s more for a canary that does not serve it, then is rolled back', () => {
    const canaries = [proxy({ queries: 100 }), proxy({ proxy: 'p3', serving: 'told' })];
    assert.equal(verdictOn({ canaries }), 'wait');
    assert.equal(verdictOn({ canaries, elapsedMs: 70_000 }), 'not_applied');
  });
});

describe('whatever is known', () => {
  const counts = { queries: fc.nat(200), errors: fc.nat(50) };
  const anyProxy = fc.record(
    {
      proxy: fc.constantFrom('p1', 'p2'),
      life: fc.constantFrom('live', 'lost', 'unknown'),
      serving: fc.constantFrom('told', 'applied', 'rejected'),
      problem: fc.constantFrom(undefined, 'why'),
      dial: fc.constantFrom('connected', 'failing', 'unknown'),
      ...counts,
    },
    { noNullPrototype: true },
  );
  const anything = fc.record({
    elapsedMs: fc.nat(200_000),
    promoteAfterMs: fc.constant(60_000),
    canaries: fc.array(anyProxy, { minLength: 1, maxLength: 3 }),
    others: fc.array(anyProxy, { maxLength: 3 }),
    before: fc.record(counts),
  }) as fc.Arbitrary<Evidence>;

  it('is promoted only when its time is over and every canary serves it and can connect', () => {
    fc.assert(
      fc.property(anything, (known) => {
        if (judge(known).kind !== 'promote') return;
        assert.ok(known.elapsedMs >= known.promoteAfterMs);
        for (const { life, serving, dial } of known.canaries) {
          assert.notEqual(life, 'lost');
          assert.equal(serving, 'applied');
          assert.notEqual(dial, 'failing');
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('does not stay open 10 s past its time', () => {
    fc.assert(
      fc.property(anything, (known) => {
        const late = { ...known, elapsedMs: 70_000 };
        assert.notEqual(judge(late).kind, 'wait');
      }),
    );
  });
});
