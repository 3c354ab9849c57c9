/** Declared servers as a table. Knows how to keep and find them, not what events mean. */
import { addressKey, serverKey } from '@dbbouncer/shared/contract/database-servers.ts';
import type { ServerAddress, ServerConfig } from '@dbbouncer/shared/contract/database-servers.ts';
import { asc, count, eq, sql } from './drizzle.ts';
import type { ServerModel, ServerView } from './servers.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { excluded, servers } from './tables.ts';

/** How the store's owner runs what touches the file: open, and with its failures named. */
type Run = <T>(work: () => T) => T;

export class SqliteServers implements ServerModel {
  readonly #orm: SqliteDatabase['orm'];
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #run: Run;

  constructor({ orm }: SqliteDatabase, run: Run) {
    this.#orm = orm;
    this.#statements = prepareStatements(orm);
    this.#run = run;
  }

  get(name: string): ServerView | undefined {
    const row = this.#run(() => this.#statements.get.get({ key: serverKey(name) }));
    return row === undefined ? undefined : viewOf(row);
  }

  at(server: ServerAddress): ServerView | undefined {
    const row = this.#run(() => this.#statements.at.get({ address: addressKey(server) }));
    return row === undefined ? undefined : viewOf(row);
  }

  list(): readonly ServerView[] {
    return this.#run(() => this.#statements.list.all()).map(viewOf);
  }

  count(): number {
    return this.#run(() => this.#statements.count.get()?.count ?? 0);
  }

  put({ server, ...facts }: ServerView): void {
    const key = serverKey(server.name);
    const address = addressKey(server);
    const data = JSON.stringify(server);
    this.#run(() => this.#statements.put.run({ ...facts, key, address, data }));
  }

  remove(name: string): void {
    this.#run(() => this.#statements.remove.run({ key: serverKey(name) }));
  }

  clear(): void {
    this.#run(() => this.#orm.delete(servers).run());
  }
}

function viewOf(row: typeof servers.$inferSelect): ServerView {
  const { origin, version, position, createdAt, updatedAt } = row;
  const server = JSON.parse(row.data) as ServerConfig;
  return { server, origin, version, position, createdAt, updatedAt };
}

function prepareStatements(orm: SqliteDatabase['orm']) {
  const given = sql.placeholder;
  return {
    get: orm
      .select()
      .from(servers)
      .where(eq(servers.key, given('key')))
      .prepare(),
    at: orm
      .select()
      .from(servers)
      .where(eq(servers.address, given('address')))
      .prepare(),
    list: orm.select().from(servers).orderBy(asc(servers.key)).prepare(),
    count: orm.select({ count: count() }).from(servers).prepare(),
    put: orm
      .insert(servers)
      .values({
        key: given('key'),
        address: given('address'),
        origin: given('origin'),
        version: given('version'),
        position: given('position'),
        createdAt: given('createdAt'),
        updatedAt: given('updatedAt'),
        data: given('data'),
      })
      .onConflictDoUpdate({ target: servers.key, set: excluded(servers) })
      .prepare(),
    remove: orm
      .delete(servers)
      .where(eq(servers.key, given('key')))
      .prepare(),
  };
}
