/** The server connection of a listener, got in line like any client's. */
import type { Pool } from '../../../pool/pool.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { leaseOnce } from '../lease-once.ts';

/** The tenant's pool is another one by now: ask there. */
export class PoolMoved extends Error {
  override readonly name = 'PoolMoved';
}

/** @throws AppError why there is none; PoolMoved */
export function leaseForListener(pool: Pool<PostgresBackend>): Promise<PostgresBackend> {
  return leaseOnce(pool, () => new PoolMoved('the pool was drained'));
}
