/**
 * Counts, on the database server itself, the connections of each tenant's role, ten times a second.
 * Owns: the counting and the most there was. Leaves: what may be to who asks.
 * Source: PostgreSQL manual, "pg_stat_activity".
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';

const EVERY_MS = 100;
const QUESTION = `SELECT usename, count(*)::int AS n FROM pg_stat_activity
  WHERE backend_type = 'client backend' AND usename LIKE 'app\\_%' GROUP BY usename`;

export class ConnectionSampler {
  readonly #cluster: PostgresCluster;
  readonly #over = new AbortController();
  readonly #sampling: Promise<void>;
  readonly #most = new Map<string, number>();
  #now: ReadonlyMap<string, number> = new Map();
  #samples = 0;

  constructor(cluster: PostgresCluster) {
    this.#cluster = cluster;
    this.#sampling = this.#sample();
  }

  /** How often it has counted. */
  get samples(): number {
    return this.#samples;
  }

  /** By role, as counted last. */
  get now(): ReadonlyMap<string, number> {
    return this.#now;
  }

  /** By role, the most at one moment since this was asked last. */
  takeMost(): ReadonlyMap<string, number> {
    const most = new Map(this.#most);
    this.#most.clear();
    return most;
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#sampling;
  }

  async #sample(): Promise<void> {
    while (!this.#over.signal.aborted) {
      // While the server is away there is nothing to count.
      await this.#sampleWhileUp().catch(() => {});
      await this.#rest(EVERY_MS);
    }
  }

  async #sampleWhileUp(): Promise<void> {
    const { host, port, superuser: user, password } = this.#cluster;
    const client = new Client({ host, port, user, password, database: 'postgres' });
    client.on('error', () => {});
    await client.connect();
    try {
      while (!this.#over.signal.aborted) {
        const beganMs = performance.now();
        const { rows } = await client.query<{ usename: string; n: number }>(QUESTION);
        this.#note(new Map(rows.map(({ usename, n }) => [usename, n])));
        await this.#rest(EVERY_MS - (performance.now() - beganMs));
      }
    } finally {
      await client.end().catch(() => {});
    }
  }

  #note(counts: ReadonlyMap<string, number>): void {
    this.#now = counts;
    this.#samples += 1;
    for (const [role, count] of counts) {
      this.#most.set(role, Math.max(count, this.#most.get(role) ?? 0));
    }
  }

  async #rest(forMs: number): Promise<void> {
    await pause(Math.max(0, forMs), undefined, { signal: this.#over.signal }).catch(() => {});
  }
}
