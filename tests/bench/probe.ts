/** One short conversation with a contender: whether it serves, and what the server sees of it. */
import { Client } from 'pg';
import type { Contender } from './contender.ts';

const CONNECT_TIMEOUT_MS = 5_000;

export async function answers({
  host,
  port,
  login,
}: Pick<Contender, 'host' | 'port' | 'login'>): Promise<boolean> {
  const settings = { host, port, ...login };
  const client = new Client({ ...settings, connectionTimeoutMillis: CONNECT_TIMEOUT_MS });
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
