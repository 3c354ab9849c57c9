/**
 * What a proxy keeps of the fleet-wide budget over its restarts, as plain data, and how a change
 * of it is folded in.
 * Owns: the form of both. Leaves: the disk to budget-file.ts.
 */
import { budgetShareSchema } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetShare } from '@dbbouncer/shared/contract/budget.ts';
import { isTenantId, tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { z } from 'zod';

export interface KeptFloor {
  readonly tenant: TenantId;
  readonly floor: number;
}

export interface KeptBudget {
  /** Which start of the proxy this is, from 1; 0: it never started. */
  readonly life: number;
  /** The highest term that was obeyed. */
  readonly term: number;
  readonly share: BudgetShare;
  /** What was said explicitly, by `tenantKey`: all else follows from the share. */
  readonly floors: ReadonlyMap<string, KeptFloor>;
  /** Wall time at which a control plane was last heard, or a little earlier. */
  readonly heardAt: string | undefined;
  /** `in_order`: every server connection of the last life had closed when it ended. */
  readonly ending: 'in_order' | 'unknown';
}

const count = z.int().min(0);
const tenantSchema = z.custom<TenantId>((value) => typeof value === 'string' && isTenantId(value));

/** What is absent is as it was. */
export const keptChangeSchema = z.object({
  life: count.exactOptional(),
  term: count.exactOptional(),
  share: budgetShareSchema.exactOptional(),
  /** Null: nothing is said of that tenant any more. */
  floors: z.array(z.object({ tenant: tenantSchema, floor: count.nullable() })).exactOptional(),
  /** Nothing is said of any tenant any more; before `floors`. */
  cleared: z.literal('all').exactOptional(),
  heardAt: z.string().exactOptional(),
  ending: z.enum(['in_order', 'unknown']).exactOptional(),
});
export type KeptChange = Readonly<z.infer<typeof keptChangeSchema>>;

export const NOTHING_KEPT: KeptBudget = Object.freeze({
  life: 0,
  term: 0,
  share: null,
  floors: new Map<string, KeptFloor>(),
  heardAt: undefined,
  ending: 'unknown',
});

export function keptAfter(kept: KeptBudget, change: KeptChange): KeptBudget {
  const { floors, cleared, ...rest } = change;
  if (floors === undefined && cleared === undefined) return { ...kept, ...rest };
  const next = new Map(cleared === undefined ? kept.floors : []);
  for (const { tenant, floor } of floors ?? []) {
    if (floor === null) next.delete(tenantKey(tenant));
    else next.set(tenantKey(tenant), { tenant, floor });
  }
  return { ...kept, ...rest, floors: next };
}

/** The change that makes `kept` of nothing. */
export function wholeOf(kept: KeptBudget): KeptChange {
  const { heardAt, floors, ...rest } = kept;
  return { ...rest, ...(heardAt !== undefined && { heardAt }), floors: [...floors.values()] };
}

/** One change that does what `first` and then `second` do. */
export function bothOf(first: KeptChange, second: KeptChange): KeptChange {
  if (second.cleared !== undefined) return { ...first, ...second };
  const floors = [...(first.floors ?? []), ...(second.floors ?? [])];
  return { ...first, ...second, ...(floors.length > 0 && { floors }) };
}
