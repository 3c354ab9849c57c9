/**
 * What the API says of the fleet-wide budget wherever it does: which slots nobody can be given, and
 * why. Schemas and what fills them. Leaves: the routes to budget-routes.ts.
 */
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { z } from 'zod';
import type { FleetBudget } from '../budget/fleet-budget.ts';
import { blockedOf, tenantOf } from '../budget/view.ts';
import type { BlockedReason, TenantBudgetView } from '../budget/view.ts';

type Allocator = NonNullable<FleetBudget['allocator']>;

const REASONS = [
  'not_heard',
  'left_by_lost',
  'left_by_earlier',
  'no_slot',
  'no_connection',
  'not_permitted',
  'unknown_tenant',
  'unreadable',
  'no_answer',
] as const satisfies readonly BlockedReason[];

const reasonSchema = z.enum(REASONS).meta({
  description:
    'not_heard: the proxy has not spoken since this control plane leads, and what it was granted' +
    ' before may hold; left_by_lost, left_by_earlier: nobody has looked yet what a lost proxy, or' +
    ' a proxy before its restart, has left on the server; all others: why nobody can look.',
});

export const blockedSumsSchema = z.partialRecord(z.enum(REASONS), z.int()).meta({
  description: 'Slots over all tenants that nobody can be given, by reason.',
});

export const blockedSchema = z.array(
  z.strictObject({
    proxy: z.string(),
    slots: z.int(),
    reason: reasonSchema,
    message: z.string().nullable(),
  }),
);

export const fleetBudgetShape = {
  budget: z.strictObject({ term: z.int(), blocked: blockedSumsSchema }).nullable().meta({
    description: 'Of the fleet-wide budget; null: this control plane does not deal it out.',
  }),
};

export const tenantBudgetShape = {
  budget: z
    .strictObject({
      unmet: z.int().meta({ description: 'Server connections that are wanted and not granted.' }),
      blocked: blockedSchema.meta({
        description: 'What of max_connections nobody can be given now, because of whom.',
      }),
    })
    .nullable()
    .meta({ description: 'null: this control plane does not deal out the budget of the fleet.' }),
};

export function blockedSumsOf(allocator: Allocator): z.infer<typeof blockedSumsSchema> {
  return Object.fromEntries(blockedOf(allocator));
}

export function toFleetBudget({ allocator }: Pick<FleetBudget, 'allocator'>) {
  if (allocator === undefined) return null;
  return { term: allocator.term, blocked: blockedSumsOf(allocator) };
}

export function toTenantBudget({ allocator }: Pick<FleetBudget, 'allocator'>, id: string) {
  const view = allocator && tenantOf(allocator, tenantKey(id));
  return view === undefined ? null : { unmet: view.unmet, blocked: toBlocked(view) };
}

export function toBlocked({ blocked }: TenantBudgetView): z.infer<typeof blockedSchema> {
  return blocked.map((one) => ({ ...one, message: one.message === '' ? null : one.message }));
}
