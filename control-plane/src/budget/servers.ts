/**
 * Divides the cap of a declared server among its tenants while they want more than it has, by the
 * same rule by which a tenant is divided among proxies.
 */
import type { Books, ServerAccount } from './books.ts';
import { fairShares, TURN_MS } from './fair-shares.ts';
import type { Claim } from './fair-shares.ts';
import type { TenantAccount } from './tenant-account.ts';

/** It counts as contended for so long after it has refused somebody a slot. */
const CONTENDED_FOR_MS = 2_000;

interface TenantClaim extends Claim {
  readonly tenant: TenantAccount;
}

export function allot(server: ServerAccount, books: Books, nowMs: number): void {
  if (server.total > server.max) server.contendedMs = nowMs;
  if (server.contendedMs === undefined || nowMs - server.reckonedMs < TURN_MS / 2) return;
  server.reckonedMs = nowMs;
  if (nowMs - server.contendedMs > CONTENDED_FOR_MS) {
    server.contendedMs = undefined;
    for (const tenant of server.tenants) setAllotted(tenant, undefined, books, nowMs);
    return;
  }
  const claims = [...server.tenants].map(claimOf);
  const shares = fairShares(claims, server.max, nowMs);
  for (const [index, { tenant }] of claims.entries()) {
    setAllotted(tenant, shares[index], books, nowMs);
  }
}

/** What proxies of which nothing is known may occupy, it has to have. */
function claimOf(tenant: TenantAccount): TenantClaim {
  let wanted = 0;
  for (const entry of tenant.entries.values()) {
    wanted += entry.proxy.standing === 'known' ? entry.wanted : entry.liability;
  }
  return {
    tenant,
    wanted: Math.min(wanted, tenant.max),
    has: tenant.allotted ?? tenant.total,
    turnBeganMs: tenant.allotTurnBeganMs,
    turnEndedMs: tenant.allotTurnEndedMs,
  };
}

function setAllotted(
  tenant: TenantAccount,
  slots: number | undefined,
  books: Books,
  nowMs: number,
): void {
  const before = tenant.allotted;
  if (before === slots) return;
  if (slots !== undefined) {
    if (slots > (before ?? 0)) tenant.allotTurnBeganMs = nowMs;
    else tenant.allotTurnEndedMs = nowMs;
  }
  tenant.allotted = slots;
  books.dirty.add(tenant);
}
