/**
 * What an API key lets its holder do. Each scope may everything that those before it may.
 *
 * viewer reads; operator also operates the traffic of tenants and changes their settings; admin
 * also registers and removes tenants and manages defaults, keys and the whole config.
 */
export const SCOPES = Object.freeze(['viewer', 'operator', 'admin'] as const);
export type Scope = (typeof SCOPES)[number];

/** Whether who holds `held` may do what needs `needed`. */
export function covers(held: Scope, needed: Scope): boolean {
  return SCOPES.indexOf(held) >= SCOPES.indexOf(needed);
}
