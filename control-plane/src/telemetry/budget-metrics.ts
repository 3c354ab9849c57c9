/**
 * What the fleet-wide budget tells Prometheus: what was granted and moved, how long demand was not
 * met, which slots are blocked. Counters begin anew with each term.
 */
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { Tally } from '../budget/books.ts';
import { blockedOf } from '../budget/view.ts';
import type { ControlPlaneCore } from '../core.ts';

type BudgetSource = Pick<ControlPlaneCore, 'budget'>;

const WAIT_BUCKETS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const COUNTERS = [
  [
    'grants',
    'dbbouncer_budget_grants_total',
    'Grants sent to proxies, renewals of leases included',
  ],
  [
    'grantsUnanswered',
    'dbbouncer_budget_grants_unanswered_total',
    'Grants that no proxy has answered in time',
  ],
  [
    'slotsMoved',
    'dbbouncer_budget_slots_granted_total',
    'Server connections that proxies may open beyond what they had',
  ],
  [
    'looks',
    'dbbouncer_budget_looks_total',
    'Times a proxy was asked to look for what another, or an earlier life, has left on a server',
  ],
  [
    'endedByLooks',
    'dbbouncer_budget_leftovers_ended_total',
    'Server connections of lost proxies and earlier lives that were ended',
  ],
] as const satisfies readonly (readonly [keyof Tally, string, string])[];

export function registerBudget(registry: Registry, { budget }: BudgetSource): void {
  for (const [key, name, help] of COUNTERS) {
    new Counter({
      name,
      help,
      registers: [registry],
      collect() {
        this.reset();
        this.inc(budget.allocator?.tally[key] ?? 0);
      },
    });
  }
  new Gauge({
    name: 'dbbouncer_budget_blocked_slots',
    help: 'Server connections that no proxy can be granted, by why; GET /fleet/budget has each',
    labelNames: ['reason'],
    registers: [registry],
    collect() {
      this.reset();
      const { allocator } = budget;
      if (allocator === undefined) return;
      for (const [reason, slots] of blockedOf(allocator)) this.set({ reason }, slots);
    },
  });
  new Histogram({
    name: 'dbbouncer_budget_wait_seconds',
    help: 'From demand of a proxy beyond what it may have to the grant that meets it',
    buckets: WAIT_BUCKETS_S,
    registers: [registry],
    collect() {
      for (const ms of budget.allocator?.tally.waitsMs.splice(0) ?? []) this.observe(ms / 1_000);
    },
  });
}
