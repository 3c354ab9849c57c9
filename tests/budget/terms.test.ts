/**
 * Terms of the budget over restarts of the control plane, over two of them alive at once, and over
 * a bus that was emptied: real control planes and real obedience on one bus, time turned by hand.
 */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { FleetBudget } from '@dbbouncer/control-plane/budget/fleet-budget.ts';
import { sampleTenant } from '@dbbouncer/control-plane/domain/given-when-then.ts';
import { tenantsOf } from '@dbbouncer/data-plane/budget/testing.ts';
import { NOTHING_KEPT } from '@dbbouncer/data-plane/budget/kept-budget.ts';
import { Obedience } from '@dbbouncer/data-plane/budget/obedience.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import {
  BUDGET_LIMITS,
  budgetGrantSchema,
  decodeBudget,
  encodeBudget,
} from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant, GrantAnswer } from '@dbbouncer/shared/contract/budget.ts';
import { EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { PackedMap } from '@dbbouncer/shared/kernel/packed-map.ts';
import { ManualClock } from '../support/manual-clock.ts';

const MAX = 8;
const CONFIG = {
  ...EMPTY_CONFIG,
  epoch: 1,
  position: 3,
  tenants: PackedMap.from([['acme', sampleTenant({ pool: { maxConnections: MAX } })]]),
};

let clock: ManualClock;
let bus: Bus;

beforeEach(() => {
  clock = new ManualClock();
  bus = createMemoryBus({ clock });
});

/** @param leads false: it is told to stop leading, and does not know it yet */
function controlPlane(
  on = bus,
  leads = () => true,
  past: 'none' | 'perhaps' = 'perhaps',
): FleetBudget {
  const budget = new FleetBudget({
    bus: on,
    clock,
    log: silentLogger,
    changedAt: () => 3,
    expectedProxies: undefined,
    proxyLostAfterMs: 2_000,
    leads,
  });
  budget.start({ termLeast: 1, past });
  budget.configPublished(CONFIG, undefined);
  return budget;
}

/** Tells and obeys once a second, and remembers what it was told. */
class ObedientProxy {
  readonly obedience: Obedience;
  readonly grants: BudgetGrant[] = [];
  readonly answers: GrantAnswer[] = [];
  readonly #id: ProxyId;
  readonly #buses: Bus[] = [];
  wanted = 0;

  constructor(id: string, on = bus) {
    this.#id = id as ProxyId;
    this.obedience = new Obedience({
      proxy: this.#id,
      life: 1,
      kept: NOTHING_KEPT,
      tenants: tenantsOf({ acme: MAX }),
      left: 'nothing',
      silentMs: 0,
      nowMs: 0,
    });
    this.connect(on);
    this.#tell();
  }

  connect(on: Bus): void {
    this.#buses.push(on);
    on.respond(SUBJECTS.budgetGrant(this.#id), (data) => {
      this.grants.push(decodeBudget(budgetGrantSchema, data));
      return Promise.resolve(encodeBudget(this.obey(this.grants.at(-1) as BudgetGrant)));
    });
  }

  obey(grant: BudgetGrant): GrantAnswer {
    const verdict = this.obedience.judge(grant);
    let answer: GrantAnswer;
    if (verdict.kind === 'refused') answer = verdict.answer;
    else {
      this.obedience.obey(grant, clock.nowMs());
      answer = this.obedience.answer(grant, { nowMs: clock.nowMs(), uses: [] });
    }
    this.answers.push(answer);
    return answer;
  }

  get cap(): number {
    return this.obedience.capOf('acme', clock.nowMs());
  }

  get refusals(): number {
    return this.answers.filter(({ outcome }) => outcome === 'refused').length;
  }

  #tell(): void {
    const uses = [
      { key: 'acme', tenant: 'acme' as TenantId, held: Math.min(this.cap, this.wanted) },
    ].map((use) => ({ ...use, wanted: this.wanted }));
    const needs = this.obedience.needs(
      { nowMs: clock.nowMs(), uses },
      { occasion: 'heartbeat', appliedPosition: 3, state: 'serving' },
    );
    for (const one of this.#buses) {
      one.publish(SUBJECTS.budgetNeedsOf(this.#id), encodeBudget(needs));
    }
    clock.after(BUDGET_LIMITS.heartbeatMs, () => this.#tell());
  }
}

/** Of a first control plane with nobody before it; the record of none is no record. */
async function settled(proxies: readonly ObedientProxy[]): Promise<void> {
  await clock.pass(20_000);
  for (const proxy of proxies) assert.ok(proxy.cap > 0, 'it has a part');
}

describe('a control plane that is killed and starts again', () => {
  it('begins a term above the one obeyed, and none of its grants is refused', async () => {
    const first = controlPlane();
    const proxy = new ObedientProxy('p-1');
    await settled([proxy]);
    const obeyed = proxy.grants.at(-1);
    assert.ok(obeyed !== undefined && obeyed.number > 5);
    first.stop();

    const before = proxy.grants.length;
    controlPlane();
    await clock.pass(3_000);
    const grants = proxy.grants.slice(before);
    assert.ok(grants.length > 2, `${grants.length} grants`);
    assert.ok(grants.every(({ term }) => term > obeyed.term));
    assert.equal(proxy.refusals, 0);
    assert.equal(proxy.cap, MAX);
  });

  it('takes nothing for obeyed that the one before sent: late, that is refused', async () => {
    const first = controlPlane();
    const [one, other] = [new ObedientProxy('p-1'), new ObedientProxy('p-2')];
    await settled([one, other]);
    const last = one.grants.at(-1) as BudgetGrant;
    first.stop();
    const second = controlPlane();
    await clock.pass(2_000);
    const inFlight = { ...last, number: last.number + 1, stampMs: clock.nowMs() };
    const late = { tenant: 'acme' as TenantId, floor: 0, limit: MAX };
    assert.deepEqual(one.obey({ ...inFlight, tenants: [late] }), {
      outcome: 'refused',
      reason: 'older_term',
      life: 1,
      term: second.allocator?.term,
    });
    assert.ok(one.cap + other.cap <= MAX);
  });

  it('counts a late grant of the one before that came first, and corrects it', async () => {
    const first = controlPlane();
    const [one, other] = [new ObedientProxy('p-1'), new ObedientProxy('p-2')];
    await settled([one, other]);
    const last = one.grants.at(-1) as BudgetGrant;
    first.stop();
    // It was decided when the other had nothing, and is obeyed before the new term is heard of.
    other.obey({ ...(other.grants.at(-1) as BudgetGrant), number: 999, ...explicit(0, 0) });
    one.obey({ ...last, number: last.number + 1, stampMs: clock.nowMs(), ...explicit(0, MAX - 1) });
    assert.equal(one.cap, MAX - 1);
    other.wanted = MAX;
    controlPlane();
    for (let ms = 0; ms < 3_000; ms += 20) {
      await clock.pass(20);
      assert.ok(one.cap + other.cap <= MAX, `${one.cap} and ${other.cap} after ${ms} ms`);
    }
    assert.equal(other.cap, MAX - 1);
  });
});

function explicit(floor: number, limit: number) {
  return { tenants: [{ tenant: 'acme' as TenantId, floor, limit }], released: [] };
}

describe('two control planes that deal out the budget at once', () => {
  it('the older stops at the first word of a proxy that obeys the newer one', async () => {
    let isTold = false;
    const older = controlPlane(bus, () => !isTold);
    const proxy = new ObedientProxy('p-1');
    await settled([proxy]);
    const newer = controlPlane();
    await clock.pass(3_000);
    assert.equal(older.allocator, undefined, 'it grants nothing');
    const { term } = newer.allocator ?? assert.fail('the newer one grants');
    assert.equal(proxy.obedience.term, term);
    isTold = true;
    await clock.pass(120_000);
    assert.equal(older.allocator, undefined, 'told that it does not lead, it begins no term');
    assert.equal(newer.allocator?.term, term);
  });

  it('what the older writes of members is not kept: its record is not the newest', async () => {
    let isTold = false;
    const older = controlPlane(bus, () => !isTold);
    await settled([new ObedientProxy('p-1')]);
    const key = bus.keys({ bucket: SUBJECTS.fleetBucket });
    // The newer one has begun, and nobody has heard of it yet.
    const found = await key.get(SUBJECTS.fleetKey);
    const record = JSON.parse(Buffer.from(found?.value ?? []).toString()) as { term: number };
    const newer = { ...record, term: record.term + 1, writer: 'another' };
    await key.put(SUBJECTS.fleetKey, Buffer.from(JSON.stringify(newer)));
    new ObedientProxy('p-2');
    await clock.pass(1_500);
    assert.equal(older.allocator, undefined);
    const now = Buffer.from((await key.get(SUBJECTS.fleetKey))?.value ?? []).toString();
    assert.equal(now, JSON.stringify(newer));
    isTold = true;
  });

  it('one that was told to lead again begins above the other, and needs 2 s for it', async () => {
    const older = controlPlane();
    const proxy = new ObedientProxy('p-1');
    await settled([proxy]);
    const newer = controlPlane();
    await clock.pass(1_500);
    const { term } = newer.allocator ?? assert.fail('the newer one grants');
    newer.stop();
    await clock.pass(4_000);
    assert.ok((older.allocator?.term ?? 0) > term);
    assert.equal(proxy.cap, MAX);
  });
});

describe('a bus that was emptied', () => {
  it('costs a control plane that goes on nothing: it knows the members still', async () => {
    const budget = controlPlane();
    const [one, other] = [new ObedientProxy('p-1'), new ObedientProxy('p-2')];
    await settled([one, other]);
    const key = bus.keys({ bucket: SUBJECTS.fleetBucket });
    await key.delete(SUBJECTS.fleetKey);
    new ObedientProxy('p-3');
    await clock.pass(1_500);
    assert.deepEqual([...(budget.allocator?.books.proxies.keys() ?? [])], ['p-1', 'p-2', 'p-3']);
    const found = Buffer.from((await key.get(SUBJECTS.fleetKey))?.value ?? []).toString();
    for (const id of ['p-1', 'p-2', 'p-3']) assert.match(found, new RegExp(id));
  });

  it('has one that begins anew give nothing for 5.6 s, in a higher term', async () => {
    const first = controlPlane();
    const [one, other] = [new ObedientProxy('p-1'), new ObedientProxy('p-2')];
    one.wanted = MAX;
    await settled([one, other]);
    const { term } = first.allocator ?? assert.fail('it grants');
    assert.equal(one.cap, MAX - 1);
    first.stop();
    // The one that has nearly everything is not heard for a while.
    const emptied = createMemoryBus({ clock });
    other.connect(emptied);
    other.wanted = MAX;
    const second = controlPlane(emptied);
    for (let ms = 0; ms < 5_500; ms += 50) {
      await clock.pass(50);
      assert.ok(one.cap + other.cap <= MAX, `${one.cap} and ${other.cap} after ${ms} ms`);
    }
    assert.ok((second.allocator?.term ?? 0) > term);
    await clock.pass(2_000);
    assert.equal(other.refusals, 0);
    assert.equal(other.cap, MAX);
  });

  it('of a fleet without a tenant is no reason to wait', async () => {
    controlPlane(bus, () => true, 'none');
    const proxy = new ObedientProxy('p-1');
    await clock.pass(1_000);
    assert.equal(proxy.cap, MAX);
  });
});
