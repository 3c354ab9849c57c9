/**
 * What operators have done to the traffic of a tenant, as part of its config: every proxy obeys it,
 * the ones that start later too, whatever becomes of settings and files meanwhile.
 * Owns: the shape, its meaning, what each operation makes of it. Leaves: which operation is allowed
 * when to the control plane's decider, doing it to the proxies.
 */
import { z } from 'zod';

/**
 * - `active`: served
 * - `paused`: clients stay, no transaction begins; once those under way are over, no server
 *   connection is left
 * - `draining`: nobody logs in, sessions end between their transactions
 */
export const tenantStateSchema = z.enum(['active', 'paused', 'draining']);
export type TenantTraffic = z.infer<typeof tenantStateSchema>;

const generationSchema = z.int().min(0);

export const tenantOperationsSchema = z.strictObject({
  state: tenantStateSchema,
  /** Another one makes server connections of before useless for what begins from now on. */
  connectionsGeneration: generationSchema,
  /** Another one ends every client that was there before. */
  clientsGeneration: generationSchema,
});
export type TenantOperations = Readonly<z.infer<typeof tenantOperationsSchema>>;

/** Of a tenant nobody has operated on. */
export const UNTOUCHED: TenantOperations = Object.freeze({
  state: 'active',
  connectionsGeneration: 0,
  clientsGeneration: 0,
});

export const TENANT_OPERATIONS = ['pause', 'resume', 'drain', 'reconnect', 'kill'] as const;
export type TenantOperation = (typeof TENANT_OPERATIONS)[number];

/** What is so after `operation`; the same object when that changes nothing. */
export function operated(before: TenantOperations, operation: TenantOperation): TenantOperations {
  if (operation === 'reconnect') {
    return { ...before, connectionsGeneration: before.connectionsGeneration + 1 };
  }
  if (operation === 'kill') {
    return { ...before, clientsGeneration: before.clientsGeneration + 1 };
  }
  const state = STATE_AFTER[operation];
  return state === before.state ? before : { ...before, state };
}

const STATE_AFTER = Object.freeze({ pause: 'paused', resume: 'active', drain: 'draining' });

/** The operations that hold for a tenant. */
export function operationsOf(tenant: {
  readonly operations?: TenantOperations | undefined;
}): TenantOperations {
  return tenant.operations ?? UNTOUCHED;
}
