/**
 * How the server connections of a tenant are shared out over the fleet: what proxies say they need,
 * what the control plane grants, and how one proxy looks for what another has left behind.
 * Owns: the three conversations and their limits. Leaves: who gets how much to the control plane,
 * obeying to the proxy.
 *
 * A proxy may occupy `limit` slots of a tenant while its lease holds, and `floor` without one. A
 * lease is counted from the moment at which the proxy sent the needs that the grant answers, on
 * the proxy's own clock: no two clocks are compared, and a grant that was long under way is born
 * old.
 */
import { z } from 'zod';
import { isProxyId, isTenantId } from '../kernel/ids.ts';
import type { ProxyId, TenantId } from '../kernel/ids.ts';

export const BUDGET_LIMITS = Object.freeze({
  /** Tenants that one message lists. */
  tenantsMax: 2_000,
  /** How long a lease holds, from the needs it answers. */
  leaseMs: 5_000,
  /** A proxy tells its needs so often, and the control plane renews leases so often. */
  heartbeatMs: 1_000,
  /** Between two needs of a proxy that are news. */
  needsGapMs: 20,
  /** For a proxy to answer a grant. */
  grantTimeoutMs: 1_000,
  /** For a proxy to look, and to end what it finds. */
  lookTimeoutMs: 5_000,
  /** A proxy that was cut off for so long has no floor any more. */
  floorTtlMs: 24 * 60 * 60 * 1_000,
});

const count = z.int().min(0);
const proxySchema = z.custom<ProxyId>((value) => typeof value === 'string' && isProxyId(value));
const tenantSchema = z.custom<TenantId>((value) => typeof value === 'string' && isTenantId(value));
/** Which start of a proxy it is, from 1. */
const lifeSchema = z.int().min(1);
const list = <T extends z.ZodType>(item: T) => z.array(item).max(BUDGET_LIMITS.tenantsMax);

/**
 * A proxy's part of every tenant of which nothing else was said: `max_connections` divided by
 * `divisor`, rounded down. Null: no part.
 */
export const budgetShareSchema = z.object({ divisor: z.int().min(1) }).nullable();
export type BudgetShare = Readonly<z.infer<typeof budgetShareSchema>>;

/** One tenant on one proxy, as it is at this moment. Slots, all of them. */
export const tenantNeedsSchema = z.object({
  tenant: tenantSchema,
  /** Whether its figures are its part of the tenant, or were granted and not released since. */
  follows: z.enum(['formula', 'grant']),
  /**
   * Without a lease, and with one; both as the proxy obeys them. A floor is never above the
   * formula.
   */
  floor: count,
  limit: count,
  /** Occupied, from before the dial until the server has closed. */
  held: count,
  /** What it could use: in use, kept, and clients in line; the most of the last second. */
  wanted: count,
  /**
   * `not_yet`: earlier lives of this proxy may have left connections on the server, beside `held`.
   * `cannot`: and it has no way to find out.
   */
  looked: z.enum(['yes', 'not_yet', 'cannot']),
});
export type TenantNeeds = Readonly<z.infer<typeof tenantNeedsSchema>>;

export const proxyNeedsSchema = z.object({
  proxy: proxySchema,
  life: lifeSchema,
  /** Rises with every needs of a life: what comes later with a lower one is old. */
  number: z.int().min(1),
  /** Monotonic milliseconds of the proxy when it sent this. */
  stampMs: z.number().min(0),
  /** The term it obeys, 0 before the first, and the number of the last grant in it. */
  term: count,
  obeyed: count,
  share: budgetShareSchema,
  appliedPosition: count,
  /** Whether earlier lives may have left connections of tenants that it does not name. */
  left: z.enum(['nothing', 'maybe']),
  /** `leaving`: all is closed, and the share is given back for good. */
  state: z.enum(['serving', 'leaving']),
  /** First those that hold more than they may, all of them; then others that hold or want. */
  tenants: list(tenantNeedsSchema),
  /** How many that hold more than they may did not fit: else what is not listed does not. */
  aboveOmitted: count,
});
export type ProxyNeeds = Readonly<z.infer<typeof proxyNeedsSchema>>;

export const grantedSchema = z.object({ tenant: tenantSchema, floor: count, limit: count });
export type Granted = Readonly<z.infer<typeof grantedSchema>>;

export const budgetGrantSchema = z.object({
  proxy: proxySchema,
  life: lifeSchema,
  term: z.int().min(1),
  /** Rises with every grant to a proxy in a term. */
  number: z.int().min(1),
  /**
   * Of the newest needs that were heard; the lease ends `leaseMs` after it, or later if it did so
   * already. What is granted is obeyed also where no lease follows from it.
   */
  stampMs: z.number().min(0),
  leaseMs: z.int().min(1),
  /** Absent: as it is. */
  share: budgetShareSchema.optional(),
  tenants: list(grantedSchema),
  /** Tenants that follow the formula again. */
  released: list(tenantSchema),
  /** Asks for what departs from the formula or is held, tenants after `after` in order of keys. */
  tell: z.object({ after: z.string() }).optional(),
});
export type BudgetGrant = Readonly<z.infer<typeof budgetGrantSchema>>;

export const grantAnswerSchema = z.discriminatedUnion('outcome', [
  z.object({
    outcome: z.literal('obeyed'),
    /** Tenants that hold more than they may now; they shrink as their leases end. */
    above: list(z.object({ tenant: tenantSchema, held: count })),
    /** How many of those did not fit: what this grant takes away is then not known to be free. */
    aboveOmitted: count,
    /**
     * Whether its lease is in force after this grant. One that is over has perhaps been counted as
     * over by a former term, and what it allowed given to others.
     */
    lease: z.enum(['in_force', 'over']),
    /** The page that `tell` asked for; `more`: another follows. */
    told: z.object({ tenants: list(tenantNeedsSchema), more: z.boolean() }).optional(),
  }),
  z.object({
    outcome: z.literal('refused'),
    reason: z.enum(['older_term', 'older_number', 'other_life', 'not_kept', 'unreadable']),
    life: lifeSchema,
    term: count,
  }),
]);
export type GrantAnswer = Readonly<z.infer<typeof grantAnswerSchema>>;

/** Looks for server connections that a lost proxy, or an earlier life, has left behind. */
export const lookRequestSchema = z.object({
  tenant: tenantSchema,
  left: z.object({
    proxy: proxySchema,
    /** This life and those before it. */
    upToLife: lifeSchema,
  }),
  /** `end_surplus`: those above `keep` are ended, idle ones first. */
  action: z.enum(['look', 'end_surplus']),
  keep: count,
});
export type LookRequest = Readonly<z.infer<typeof lookRequestSchema>>;

export const lookAnswerSchema = z.discriminatedUnion('outcome', [
  /** How many are there after all that was done, and how many were ended. */
  z.object({ outcome: z.literal('seen'), remaining: count, ended: count }),
  z.object({
    outcome: z.literal('cannot'),
    reason: z.enum(['no_slot', 'no_connection', 'not_permitted', 'unknown_tenant', 'unreadable']),
    message: z.string().max(1_000),
  }),
]);
export type LookAnswer = Readonly<z.infer<typeof lookAnswerSchema>>;

/** What `share` makes of a tenant's `max_connections` where nothing else was said. */
export function formulaSlots(maxConnections: number, share: BudgetShare): number {
  return share === null ? 0 : Math.floor(maxConnections / share.divisor);
}

type Message = ProxyNeeds | BudgetGrant | GrantAnswer | LookRequest | LookAnswer;

export function encodeBudget(message: Message): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** @throws ZodError or SyntaxError when it is no message of that schema. */
export function decodeBudget<T>(schema: z.ZodType<T>, data: Uint8Array): T {
  return schema.parse(JSON.parse(new TextDecoder().decode(data)));
}
