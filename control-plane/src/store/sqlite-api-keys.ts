/**
 * API keys as tables: the read model, and when each was used last. Knows how to keep and find, not
 * what events mean.
 */
import type { OtherKeys } from '../domain/api-key/decide.ts';
import type { ApiKey } from '../domain/api-key/events.ts';
import { and, asc, desc, eq, gt, isNull, ne, sql } from './drizzle.ts';
import { keyPageOf, nameKey } from './api-keys.ts';
import type { ApiKeyModel, ApiKeyPage, ApiKeyQuery, ApiKeyUses, ApiKeyView } from './api-keys.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { apiKeys, apiKeyUses, excluded } from './tables.ts';

/** How the store's owner runs what touches the file: open, and with its failures named. */
type Run = <T>(work: () => T) => T;

export class SqliteApiKeys implements ApiKeyModel, ApiKeyUses {
  readonly #orm: SqliteDatabase['orm'];
  readonly #statements: ReturnType<typeof prepareStatements>;
  readonly #run: Run;

  constructor({ orm }: SqliteDatabase, run: Run) {
    this.#orm = orm;
    this.#statements = prepareStatements(orm);
    this.#run = run;
  }

  get(id: string): ApiKeyView | undefined {
    const row = this.#run(() => this.#statements.get.get({ id }));
    return row === undefined ? undefined : viewOf(row);
  }

  list({ after = '', limit, include }: ApiKeyQuery): ApiKeyPage {
    const page = include === 'live' ? this.#statements.livePage : this.#statements.page;
    const rows = this.#run(() => page.all({ after, limit: limit + 1 }));
    return keyPageOf(rows.map(viewOf), limit);
  }

  withPrefix(prefix: string, limit: number): readonly ApiKeyView[] {
    return this.#run(() => this.#statements.withPrefix.all({ prefix, limit })).map(viewOf);
  }

  countOthers({ id, name, prefix }: Parameters<ApiKeyModel['countOthers']>[0]): OtherKeys {
    const given = { id, prefix, nameKey: nameKey(name) };
    const counted = this.#run(() => this.#statements.others.get(given));
    return counted ?? { live: 0, samePrefix: 0, sameName: 0 };
  }

  put({ key, ...facts }: ApiKeyView): void {
    this.#run(() =>
      this.#statements.put.run({
        ...facts,
        id: key.id,
        nameKey: nameKey(key.name),
        prefix: key.prefix,
        data: JSON.stringify(key),
      }),
    );
  }

  clear(): void {
    this.#run(() => this.#orm.delete(apiKeys).run());
  }

  lastUses(): ReadonlyMap<string, string> {
    const rows = this.#run(() => this.#orm.select().from(apiKeyUses).all());
    return new Map(rows.map(({ id, lastUsedAt }) => [id, lastUsedAt]));
  }

  saveUses(uses: ReadonlyMap<string, string>): void {
    this.#run(() =>
      this.#orm.transaction(() => {
        for (const [id, lastUsedAt] of uses) this.#statements.saveUse.run({ id, lastUsedAt });
      }),
    );
  }
}

function viewOf(row: typeof apiKeys.$inferSelect): ApiKeyView {
  const { version, position, createdAt, createdBy, updatedAt, revokedAt } = row;
  const key = JSON.parse(row.data) as ApiKey;
  return { key, version, position, createdAt, createdBy, updatedAt, revokedAt };
}

function prepareStatements(orm: SqliteDatabase['orm']) {
  const given = sql.placeholder;
  const live = isNull(apiKeys.revokedAt);
  const pageAfter = gt(apiKeys.id, given('after'));
  const order = [asc(apiKeys.id)] as const;
  const countOf = (fact: ReturnType<typeof eq>) => sql<number>`count(*) filter (where ${fact})`;
  return {
    get: orm
      .select()
      .from(apiKeys)
      .where(eq(apiKeys.id, given('id')))
      .prepare(),
    page: orm
      .select()
      .from(apiKeys)
      .where(pageAfter)
      .orderBy(...order)
      .limit(given('limit'))
      .prepare(),
    livePage: orm
      .select()
      .from(apiKeys)
      .where(and(pageAfter, live))
      .orderBy(...order)
      .limit(given('limit'))
      .prepare(),
    withPrefix: orm
      .select()
      .from(apiKeys)
      .where(eq(apiKeys.prefix, given('prefix')))
      .orderBy(sql`${apiKeys.revokedAt} is not null`, desc(apiKeys.position))
      .limit(given('limit'))
      .prepare(),
    others: orm
      .select({
        live: sql<number>`count(*)`,
        samePrefix: countOf(eq(apiKeys.prefix, given('prefix'))),
        sameName: countOf(eq(apiKeys.nameKey, given('nameKey'))),
      })
      .from(apiKeys)
      .where(and(live, ne(apiKeys.id, given('id'))))
      .prepare(),
    put: orm
      .insert(apiKeys)
      .values({
        id: given('id'),
        nameKey: given('nameKey'),
        prefix: given('prefix'),
        version: given('version'),
        position: given('position'),
        createdAt: given('createdAt'),
        createdBy: given('createdBy'),
        updatedAt: given('updatedAt'),
        revokedAt: given('revokedAt'),
        data: given('data'),
      })
      .onConflictDoUpdate({ target: apiKeys.id, set: excluded(apiKeys) })
      .prepare(),
    saveUse: orm
      .insert(apiKeyUses)
      .values({ id: given('id'), lastUsedAt: given('lastUsedAt') })
      .onConflictDoUpdate({ target: apiKeyUses.id, set: excluded(apiKeyUses) })
      .prepare(),
  };
}
