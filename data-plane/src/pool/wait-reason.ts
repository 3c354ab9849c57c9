/**
 * Why a client waits for a server connection, as a word for metrics and as a sentence for the
 * client itself. Both its notice and its error say it.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantTraffic } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { SlotCap } from './slot-cap.ts';

/** Closed, and the same in errors, notices and metrics. */
export type WaitReason =
  /** The tenant is paused. */
  | 'paused'
  /** The tenant has as many server connections as it may have. */
  | 'pool_full'
  /** It has as many as this proxy may have of them: max_connections holds over all proxies. */
  | 'budget'
  /** As pool_full, and some of them are of a former config and end with their transactions. */
  | 'draining'
  /** The database server cannot be reached or refuses the login. */
  | 'login_failing'
  /** Server connections are being opened or cleaned. */
  | 'connecting';

/** What of a pool the reason follows from; pool-core.ts has it all. */
export interface WaitBooks {
  readonly traffic: TenantTraffic;
  readonly backoff: { readonly error: AppError | undefined };
  readonly settings: PoolSettings;
  readonly occupied: number;
  readonly dialing: { readonly size: number };
}

export function whyWaiting(pool: WaitBooks, cap: SlotCap): WaitReason {
  if (pool.traffic === 'paused') return 'paused';
  const { dialing, backoff, occupied } = pool;
  const isTrying = dialing.size > 0 || cap.room > 0;
  if (isTrying && backoff.error !== undefined) return 'login_failing';
  const isConnecting = dialing.size > 0 && dialing.size === occupied;
  if (isConnecting || cap.room > 0) return 'connecting';
  if (cap.retiring > 0) return 'draining';
  return cap.shortage !== undefined && cap.occupied >= cap.limit ? 'budget' : 'pool_full';
}

/** The state of things behind `reason`, with its numbers. */
export function waitText(reason: WaitReason, pool: WaitBooks, cap: SlotCap): string {
  switch (reason) {
    case 'paused':
      return 'the tenant is paused';
    case 'pool_full':
      return `${inUse(cap)}${elsewhere(pool, cap)}${reserveText(cap)}`;
    case 'budget':
      return `${partInUse(cap)}${elsewhere(pool, cap)}${shortageText(cap)}`;
    case 'draining':
      return (
        `${inUse(cap)}, ${cap.retiring} of them by connections of a former configuration,` +
        ' which end with their transactions'
      );
    case 'login_failing':
    case 'connecting':
      return (
        `${cap.occupied} of ${cap.settingName} (${cap.limit}) are in use, ` +
        `${pool.dialing.size} of them still connecting`
      );
    default:
      return reason satisfies never;
  }
}

function partInUse({ limit, most, settingName, occupied }: SlotCap): string {
  const all = `${settingName} (${most}, over all proxies)`;
  if (limit === 0 && occupied === 0) return `this proxy may have none of ${all}`;
  return `this proxy may have ${limit} of ${all}, and ${occupied} are in use`;
}

function shortageText({ shortage }: SlotCap): string {
  return shortage === undefined ? '' : `: ${shortage.text}`;
}

function inUse(cap: SlotCap): string {
  return cap.occupied >= cap.limit
    ? `all ${cap.limit} of ${cap.settingName} are in use`
    : `${cap.occupied} of ${cap.settingName} (${cap.limit}) are in use`;
}

function elsewhere(pool: WaitBooks, cap: SlotCap): string {
  const others = cap.occupied - pool.occupied;
  return others > 0 ? `, ${others} of them for other databases or users of the tenant` : '';
}

function reserveText({ occupied, limit, reserve }: SlotCap): string {
  if (occupied >= limit) return '';
  const { connections, timeoutMs } = reserve;
  return (
    `, and reserve_connections (${connections}) are opened only for clients that have waited` +
    ` reserve_timeout (${timeoutMs} ms)`
  );
}
