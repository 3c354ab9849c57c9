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

export const CONNECTIONS_MAX = 10_000;

/** How many connections of a database there may be there. */
export function connectionsThere(sizes: PoolSizes, users: 'one' | 'several'): number {
  const { poolSize, reserve, databaseMax, userMax } = sizes;
  const limits: number[] = [];
  if (databaseMax > 0) limits.push(databaseMax);
  if (users === 'one' || databaseMax === 0) limits.push(poolSize + reserve);
  if (users === 'one' && userMax > 0) limits.push(userMax);
  return Math.min(...limits);
}

/**
 * At most `CONNECTIONS_MAX`.
 * @param users how many users the connections to the server have.
 */
export function ourSizes(sizes: PoolSizes, users: 'one' | 'several'): OurSizes {
  const { reserve, minimum } = sizes;
  const max = Math.max(1, Math.min(connectionsThere(sizes, users), CONNECTIONS_MAX));
  const reserved = Math.min(reserve, max - 1);
  return {
    max_connections: max,
    min_connections: Math.min(minimum, max - reserved),
    reserve_connections: reserved,
  };
}

/** What is to be said of it, when there may be more there than here. */
export function noteOfMost(there: number): string | undefined {
  if (there <= CONNECTIONS_MAX) return undefined;
  return `max_connections: ${CONNECTIONS_MAX} is the most here; ${there} might be there`;
}
