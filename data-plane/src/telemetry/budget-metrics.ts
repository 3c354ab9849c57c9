/**
 * What the metrics page says of the fleet-wide budget; nothing where each proxy has a limit of its
 * own.
 * Leaves: the numbers to budget/, the page to metrics.ts.
 */
import type { Value } from './metric-values.ts';
import { plain } from './metric-values.ts';

/** `FleetBudget` has it all. */
export interface ReadBudget {
  tenants(): Iterable<{
    readonly tenant: string;
    readonly cap: number;
    readonly limit: number;
    readonly floor: number;
    readonly held: number;
  }>;
  readonly standing: 'leased' | 'not_yet' | 'cut_off';
  readonly leaseAgeMs: number | undefined;
  readonly floorOneTotal: number;
}

interface BudgetMetric {
  readonly type: 'counter' | 'gauge';
  readonly name: string;
  readonly help: string;
  readonly read: () => readonly Value[];
}

const OF_TENANTS = [
  ['cap', 'dbbouncer_budget_cap', 'Server connections this proxy may have of a tenant now'],
  ['limit', 'dbbouncer_budget_limit', 'The same while a control plane answers'],
  ['floor', 'dbbouncer_budget_floor', 'The same while none does'],
  ['held', 'dbbouncer_budget_held', 'What it has of them, opening and closing ones included'],
] as const;

export function budgetMetrics(budget: ReadBudget | undefined): readonly BudgetMetric[] {
  if (budget === undefined) return [];
  const ofTenants = OF_TENANTS.map(([field, name, help]) => ({
    type: 'gauge' as const,
    name,
    help,
    read: () =>
      Array.from(budget.tenants(), ({ tenant, [field]: value }) => ({
        labels: { tenant },
        value,
      })),
  }));
  const age: BudgetMetric = {
    type: 'gauge',
    name: 'dbbouncer_budget_lease_age_seconds',
    help: 'Age of what a control plane granted last, which holds for 5 seconds',
    read: () => {
      const { leaseAgeMs } = budget;
      return leaseAgeMs === undefined ? [] : plain(leaseAgeMs / 1_000);
    },
  };
  const cutOff: BudgetMetric = {
    type: 'gauge',
    name: 'dbbouncer_budget_cut_off',
    help: 'Whether no control plane deals out the budget: 1 while that is so, else 0',
    read: () => plain(budget.standing === 'cut_off' ? 1 : 0),
  };
  const floorOne: BudgetMetric = {
    type: 'counter',
    name: 'dbbouncer_budget_floor_one_total',
    help: 'How often a tenant was allowed one server connection beyond the budget',
    read: () => plain(budget.floorOneTotal),
  };
  return [...ofTenants, age, cutOff, floorOne];
}
