/**
 * What a database server does at the moment, asked past the proxy.
 */
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';

/** Resolves when the server runs a statement with `fragment` in its text. */
export async function untilRunning(cluster: PostgresCluster, fragment: string): Promise<void> {
  const sql = `SELECT 1 FROM pg_stat_activity
    WHERE query LIKE '%${fragment}%' AND state = 'active' AND pid <> pg_backend_pid()`;
  await eventually(
    `a statement with "${fragment}" runs`,
    async () => (await cluster.sql('postgres', sql)).length > 0,
  );
}
