/**
 * PgBouncer's limits of connections as ours: it has one pool for each database and user, a reserve
 * beyond it and a limit of each database; we have one limit of a tenant, of which the reserve is a
 * part. Pure.
 */

export interface PoolSizes {
  readonly poolSize: number;
  readonly reserve: number;
  readonly minimum: number;
  /** 0: none. */
  readonly databaseMax: number;
  /** Of the one user that all its connections have; 0: none. */
  readonly userMax: number;
}

export interface OurSizes {
  readonly max_connections: number;
  readonly min_connections: number;
  readonly reserve_connections: number;
}

const CONNECTIONS_MAX = 10_000;

/** @param users how many users the connections to the server have. */
export function ourSizes(sizes: PoolSizes, users: 'one' | 'several'): OurSizes {
  const { poolSize, reserve, minimum, databaseMax, userMax } = sizes;
  const ofPool = poolSize + reserve;
  const limits = [CONNECTIONS_MAX];
  if (databaseMax > 0) limits.push(databaseMax);
  if (users === 'one' || databaseMax === 0) limits.push(ofPool);
  if (users === 'one' && userMax > 0) limits.push(userMax);
  const max = Math.max(1, Math.min(...limits));
  const reserved = Math.min(reserve, max - 1);
  return {
    max_connections: max,
    min_connections: Math.min(minimum, max - reserved),
    reserve_connections: reserved,
  };
}
