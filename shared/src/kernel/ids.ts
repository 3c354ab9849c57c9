/**
 * Names of things: branded so that a proxy id is never passed where a tenant id belongs.
 */

declare const brand: unique symbol;

/**
 * As the operator wrote it; compare with `tenantKey`, since ids are unique without regard to case.
 */
export type TenantId = string & { readonly [brand]: 'TenantId' };
export type ProxyId = string & { readonly [brand]: 'ProxyId' };
/** Global sequence number of an event, from 1; 0 is "before the first event". */
export type Position = number;

export const TENANT_ID_PATTERN = /^[a-zA-Z0-9](?!.*__)[a-zA-Z0-9_-]{0,62}$/;
export const TENANT_ID_RULE =
  '1 to 63 letters, digits, "_" or "-", beginning with a letter or digit and without "__"';

export function isTenantId(text: string): text is TenantId {
  return TENANT_ID_PATTERN.test(text);
}

/** The form under which tenants are indexed: "Acme" and "acme" are one tenant. */
export function tenantKey(id: string): string {
  return id.toLowerCase();
}

const PROXY_ID_PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,31}$/;

export function isProxyId(text: string): text is ProxyId {
  return PROXY_ID_PATTERN.test(text);
}
