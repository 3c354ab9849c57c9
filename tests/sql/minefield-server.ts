/**
 * A minefield on a real server: what the classifier says of a statement there, by the catalog as
 * the product loads it, and whether the statement leaves a trace when it is run.
 */
import { existsSync, globSync } from 'node:fs';
import { dirname } from 'node:path';
import { Client } from 'pg';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { sharingVerdict } from '@dbbouncer/data-plane/session/postgres/shared/harmless.ts';
import type { SharingVerdict } from '@dbbouncer/data-plane/session/postgres/shared/harmless.ts';
import { textEffects } from '@dbbouncer/data-plane/session/postgres/sql/effects.ts';
import { Catalog } from '@dbbouncer/data-plane/upstream/catalog/catalog.ts';
import { loadCatalogFacts } from '@dbbouncer/data-plane/upstream/catalog/load-catalog.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { followPromises, ManualClock } from '../support/manual-clock.ts';
import { GROUND } from './minefield.ts';
import type { Mine } from './minefield.ts';

const PASSWORD = 'mine secret';
const STANDARD = { standardConformingStrings: true };
const STATEMENT_TIMEOUT_MS = 3_000;

/** What any session can see of what another has left, and of transaction ids that were taken. */
const TRACES = `SELECT (SELECT last_value FROM trace), current_setting('mine.set', true),
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
  (SELECT count(*) FROM pg_largeobject_metadata), pg_snapshot_xmax(pg_current_snapshot())`;

/** Folders of server programs by what a test calls them; some version that Debian has, if any. */
export function serverPrograms(): readonly (readonly [name: string, folder: string | undefined])[] {
  const [installed] = globSync('/usr/lib/postgresql/*/bin/initdb');
  const system = installed === undefined ? [] : [['the system', dirname(installed)] as const];
  return [['npm', undefined] as const, ...system.filter(([, folder]) => existsSync(folder))];
}

export async function startMineServer(programs: string | undefined): Promise<PostgresCluster> {
  const cluster = await startPostgresCluster({
    superuserPassword: PASSWORD,
    ...(programs === undefined ? {} : { programs }),
    // Nobody else takes transaction ids.
    settings: { autovacuum: false },
  });
  await cluster.sql('postgres', `CREATE ROLE app LOGIN PASSWORD '${PASSWORD}'`);
  return cluster;
}

export class Minefield {
  readonly #client: Client;
  readonly #catalog: Catalog;

  private constructor(client: Client, catalog: Catalog) {
    this.#client = client;
    this.#catalog = catalog;
  }

  /** A database with these mines, and a session in it of a user who may do anything there. */
  static async lay(
    cluster: PostgresCluster,
    database: string,
    mines: readonly Mine[],
    { path }: { readonly path?: string } = {},
  ): Promise<Minefield> {
    await cluster.sql('postgres', `CREATE DATABASE ${database}`);
    for (const setup of [GROUND, ...mines.map((mine) => mine.setup)]) {
      await cluster.sql(database, setup.replaceAll('DATABASE current', `DATABASE ${database}`));
    }
    await cluster.sql(
      database,
      `SELECT nextval('trace');
      GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
      GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app; GRANT ALL ON SCHEMA public TO app;
      DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT nspname FROM pg_namespace WHERE oid >= 16384 LOOP
          EXECUTE format('GRANT ALL ON SCHEMA %I TO app', name);
          EXECUTE format('GRANT ALL ON ALL TABLES IN SCHEMA %I TO app', name);
        END LOOP; END $$;
      ${path === undefined ? '' : `ALTER DATABASE ${database} SET search_path TO ${path}`}`,
    );
    const { host, port } = cluster;
    const client = new Client({ host, port, user: 'app', password: PASSWORD, database });
    client.on('error', () => {});
    await client.connect();
    const facts = await loadCatalogFacts((sql) => rowsOf(client, sql));
    const load = () => Promise.resolve(facts);
    const catalog = new Catalog({ load, clock: new ManualClock(), log: silentLogger });
    catalog.refreshSoon();
    await followPromises();
    await client.query(`SET statement_timeout = ${STATEMENT_TIMEOUT_MS}`);
    return new Minefield(client, catalog);
  }

  verdict(sql: string): SharingVerdict {
    return sharingVerdict(textEffects(sql, STANDARD), this.#catalog);
  }

  /**
   * Runs a text as one simple Query; nothing of it stays in the session.
   * @returns whether it left a trace, and the server's error where there was one, else `ran`
   */
  async step(sql: string): Promise<{ trace: 'none' | 'left'; outcome: string }> {
    const before = await this.#traces();
    const outcome = await this.#client.query(sql).then(
      () => 'ran',
      (error: Error) => error.message,
    );
    const after = await this.#traces();
    if (after === before) return { trace: 'none', outcome };
    await this.#client.query('ROLLBACK; SELECT pg_advisory_unlock_all(); RESET ALL');
    await this.#client.query(`SET statement_timeout = ${STATEMENT_TIMEOUT_MS}`);
    return { trace: 'left', outcome };
  }

  async leave(): Promise<void> {
    await this.#client.end();
  }

  async #traces(): Promise<string> {
    return JSON.stringify(await rowsOf(this.#client, TRACES));
  }
}

/** The rows of all results of a simple Query, as the proxy's own conversation gives them. */
async function rowsOf(client: Client, text: string): Promise<(string | null)[][]> {
  const types = { getTypeParser: () => (value: string) => value };
  const result = await client.query({ text, rowMode: 'array', types });
  const results = (Array.isArray(result) ? result : [result]) as { rows: (string | null)[][] }[];
  return results.flatMap(({ rows }) => rows);
}
