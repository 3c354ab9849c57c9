/** What one tenant on one proxy counts for while orders are decided, under way, lost, obeyed. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { BY_FORMULA, capOf, floorOf } from './entry.ts';
import type { Entry, Figures } from './entry.ts';
import { ProxyAccount } from './proxy-account.ts';
import { TenantAccount } from './tenant-account.ts';

const BUDGET = {
  id: 'acme' as TenantId,
  maxConnections: 12,
  base: 12,
  changedAt: 1,
  server: undefined,
};

function entryOf(divisor = 3): Entry {
  const proxy = new ProxyAccount('p-1' as ProxyId, 1, 0);
  proxy.share = { divisor };
  return new TenantAccount('acme', BUDGET, []).entry(proxy);
}

function grant(floor: number, limit: number): Figures {
  return { follows: 'grant', floor, limit };
}

const figures: fc.Arbitrary<Figures> = fc.oneof(
  fc.constant(BY_FORMULA),
  fc.record({ follows: fc.constant('grant' as const), floor: fc.nat(12), limit: fc.nat(12) }),
);
/** What may happen to an entry: figures are decided, go out, are obeyed, or get lost. */
const story = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('plan' as const), figures }),
    fc.constantFrom({ kind: 'send' as const }, { kind: 'obeyed' as const }),
    fc.constant({ kind: 'lost' as const }),
  ),
  { maxLength: 12 },
);

describe('one tenant on one proxy', () => {
  it('counts at least what the proxy may be going by, whatever is under way or lost', () => {
    fc.assert(
      fc.property(story, (events) => {
        const entry = entryOf();
        const formula = 4;
        let number = 0;
        let onDisk: readonly Figures[] = [BY_FORMULA];
        for (const event of events) {
          if (event.kind === 'plan') entry.plan(event.figures);
          else if (event.kind === 'send' && entry.proxy.underWay === undefined) {
            number += 1;
            onDisk = [...onDisk, entry.send(number)];
            const underWay = { number, sentMs: 0, entries: [entry], asksAfter: undefined };
            entry.proxy.underWay = underWay;
          } else if (entry.proxy.underWay !== undefined) {
            if (event.kind === 'obeyed') {
              entry.obeyed();
              onDisk = onDisk.slice(-1);
            } else if (event.kind === 'lost') entry.sendAgain();
            if (event.kind !== 'send') entry.proxy.underWay = undefined;
          }
          for (const one of onDisk) assert.ok(entry.liability >= capOf(one, formula));
          assert.ok(entry.liability >= entry.has, 'what it is about to be told counts');
        }
      }),
    );
  });

  it('counts a slot that is taken until the proxy has obeyed, and what it holds above it', () => {
    const entry = entryOf();
    entry.told = grant(4, 9);
    entry.plan(grant(1, 2));
    assert.equal(entry.liability, 9);
    entry.send(1);
    assert.equal(entry.liability, 9);
    entry.held = 7;
    entry.obeyed();
    assert.equal(entry.liability, 7);
    entry.held = 2;
    assert.equal(entry.liability, 2);
  });

  it('counts all figures that went out since the last one that was obeyed', () => {
    const entry = entryOf();
    entry.plan(grant(4, 10));
    entry.send(1);
    entry.sendAgain();
    entry.plan(grant(1, 1));
    entry.send(2);
    assert.equal(entry.liability, 10, 'the first may arrive late and be obeyed before the second');
    entry.obeyed();
    assert.equal(entry.liability, 1);
  });

  it('sends again what was lost, although the same is wanted still', () => {
    const entry = entryOf();
    entry.plan(grant(1, 6));
    entry.proxy.underWay = { number: 1, sentMs: 0, entries: [entry], asksAfter: undefined };
    entry.send(1);
    entry.plan(grant(1, 6));
    assert.equal(entry.planned, undefined, 'it is under way');
    entry.proxy.underWay = undefined;
    entry.plan(grant(1, 6));
    assert.deepEqual(entry.planned, grant(1, 6));
  });

  it('counts the floor alone, and what is held, once the lease is over', () => {
    const entry = entryOf();
    entry.told = grant(2, 9);
    entry.proxy.lease = 'over';
    assert.equal(entry.liability, 2);
    entry.held = 5;
    assert.equal(entry.liability, 5);
  });

  it('has no floor above the formula', () => {
    fc.assert(
      fc.property(figures, fc.nat(12), (one, formula) => {
        assert.ok(floorOf(one, formula) <= formula);
        assert.ok(floorOf(one, formula) <= capOf(one, formula));
      }),
    );
  });
});
