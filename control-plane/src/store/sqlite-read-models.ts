/**
 * The read models as tables. Knows how to keep and find views, not what events mean.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { and, asc, count, eq, gt, sql } from './drizzle.ts';
import { INITIAL_DEFAULTS_VIEW, pageOf, searchTextOf } from './read-models.ts';
import type {
  DefaultsView,
  ReadModels,
  TenantPage,
  TenantQuery,
  TenantView,
} from './read-models.ts';
import type { SqliteApiKeys } from './sqlite-api-keys.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { defaults, excluded, tenants } from './tables.ts';

type TenantRow = typeof tenants.$inferSelect;

export class SqliteReadModels implements ReadModels {
  readonly apiKeys: SqliteApiKeys;
  readonly #orm: SqliteDatabase['orm'];
  readonly #statements: ReturnType<typeof prepareStatements>;

  constructor(database: SqliteDatabase, apiKeys: SqliteApiKeys) {
    this.apiKeys = apiKeys;
    this.#orm = database.orm;
    this.#statements = prepareStatements(database);
  }

  getTenant(id: string): TenantView | undefined {
    const row = this.#statements.tenant.get({ key: tenantKey(id) });
    return row === undefined ? undefined : viewOf(row);
  }

  listTenants(query: TenantQuery): TenantPage {
    const limit = query.limit + 1;
    const after = query.after ?? '';
    const { search, reach } = query;
    const statement = this.#statements;
    const rows =
      search === undefined && (reach ?? null) === null
        ? statement.page.all({ after, limit })
        : statement.search.all({
            after,
            limit,
            text: (search ?? '').toLowerCase(),
            glob: tenantKey(reach ?? '*'),
          });
    return pageOf(rows.map(viewOf), query.limit);
  }

  countTenants(): number {
    return this.#statements.count.get()?.count ?? 0;
  }

  getDefaults(): DefaultsView {
    const row = this.#statements.defaults.get();
    if (row === undefined) return INITIAL_DEFAULTS_VIEW;
    const { version, position, data } = row;
    return { defaults: JSON.parse(data) as PoolSettings, version, position };
  }

  findContradicted(pool: PoolSettings): TenantView | undefined {
    const row = this.#statements.contradicted.get({ max: pool.maxConnections });
    return row === undefined ? undefined : viewOf(row);
  }

  putTenant(view: TenantView): void {
    const { config, ...facts } = view;
    this.#statements.putTenant.run({
      ...facts,
      key: tenantKey(config.id),
      id: config.id,
      searchText: searchTextOf(config),
      data: JSON.stringify(config),
    });
  }

  removeTenant(id: string): void {
    this.#statements.removeTenant.run({ key: tenantKey(id) });
  }

  putDefaults(view: DefaultsView): void {
    const { version, position } = view;
    this.#statements.putDefaults.run({ version, position, data: JSON.stringify(view.defaults) });
  }

  clear(): void {
    this.apiKeys.clear();
    this.#orm.delete(tenants).run();
    this.#orm.delete(defaults).run();
  }
}

function viewOf(row: TenantRow): TenantView {
  const { origin, version, position, createdAt, updatedAt, data } = row;
  const config = JSON.parse(data) as TenantConfig;
  return { config, origin, version, position, createdAt, updatedAt };
}

/** Prepared once: preparing costs more than running. */
function prepareStatements({ orm }: SqliteDatabase) {
  const given = sql.placeholder;
  const pageAfter = gt(tenants.key, given('after'));
  const own = (setting: string) => sql`json_extract(${tenants.data}, ${`$.pool.${setting}`})`;
  return {
    tenant: orm
      .select()
      .from(tenants)
      .where(eq(tenants.key, given('key')))
      .prepare(),
    page: orm
      .select()
      .from(tenants)
      .where(pageAfter)
      .orderBy(asc(tenants.key))
      .limit(given('limit'))
      .prepare(),
    search: orm
      .select()
      .from(tenants)
      .where(
        and(
          pageAfter,
          // SQLite's GLOB reads * and ? as the patterns of API keys do, which hold no brackets.
          sql`${tenants.key} glob ${given('glob')}`,
          sql`instr(${tenants.searchText}, ${given('text')}) > 0`,
        ),
      )
      .orderBy(asc(tenants.key))
      .limit(given('limit'))
      .prepare(),
    count: orm.select({ count: count() }).from(tenants).prepare(),
    contradicted: orm
      .select()
      .from(tenants)
      .where(sql`${own('minConnections')} > coalesce(${own('maxConnections')}, ${given('max')})`)
      .limit(1)
      .prepare(),
    putTenant: orm
      .insert(tenants)
      .values({
        key: given('key'),
        id: given('id'),
        origin: given('origin'),
        version: given('version'),
        position: given('position'),
        createdAt: given('createdAt'),
        updatedAt: given('updatedAt'),
        searchText: given('searchText'),
        data: given('data'),
      })
      .onConflictDoUpdate({ target: tenants.key, set: excluded(tenants) })
      .prepare(),
    removeTenant: orm
      .delete(tenants)
      .where(eq(tenants.key, given('key')))
      .prepare(),
    defaults: orm.select().from(defaults).prepare(),
    putDefaults: orm
      .insert(defaults)
      .values({
        id: 1,
        version: given('version'),
        position: given('position'),
        data: given('data'),
      })
      .onConflictDoUpdate({ target: defaults.id, set: excluded(defaults) })
      .prepare(),
  };
}
