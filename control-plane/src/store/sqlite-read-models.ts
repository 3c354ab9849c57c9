/**
 * The read models as tables. Knows how to keep and find views, not what events mean.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { and, asc, count, eq, gt, sql } from './drizzle.ts';
import { compiledChange, compiledSelection } from './compiled.ts';
import { parsed } from './failures.ts';
import { INITIAL_DEFAULTS_VIEW, pageOf, searchTextOf } from './read-models.ts';
import type {
  DefaultsView,
  ReadModels,
  ServerBudget,
  ServerQuery,
  TenantPage,
  TenantQuery,
  TenantView,
} from './read-models.ts';
import type { SqliteApiKeys } from './sqlite-api-keys.ts';
import type { SqliteServers } from './sqlite-servers.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { defaults, excluded, tenants } from './tables.ts';

type TenantRow = typeof tenants.$inferSelect;

/** Views of one transaction; more than it has commands are those of a long import. */
const REMEMBERED_MAX = 1_000;

interface Known {
  readonly tenants: Map<string, TenantView>;
  defaults: DefaultsView | undefined;
}

export class SqliteReadModels implements ReadModels {
  readonly apiKeys: SqliteApiKeys;
  readonly servers: SqliteServers;
  readonly #orm: SqliteDatabase['orm'];
  readonly #statements: ReturnType<typeof prepareStatements>;
  #known: Known | undefined;

  constructor(database: SqliteDatabase, apiKeys: SqliteApiKeys, servers: SqliteServers) {
    this.apiKeys = apiKeys;
    this.servers = servers;
    this.#orm = database.orm;
    this.#statements = prepareStatements(database);
  }

  getTenant(id: string): TenantView | undefined {
    const key = tenantKey(id);
    const known = this.#known?.tenants.get(key);
    if (known !== undefined) return known;
    const row = this.#statements.tenant.get({ key });
    return row === undefined ? undefined : this.#noted(viewOf(row));
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

  budgetOf({ host, port, reach }: ServerQuery): ServerBudget {
    const { maxConnections: most } = this.getDefaults().defaults;
    const glob = tenantKey(reach ?? '*');
    const row = this.#statements.budget.get({ text: host.toLowerCase(), port, glob, most });
    return { tenants: row?.tenants ?? 0, maxConnections: row?.maxConnections ?? 0 };
  }

  getDefaults(): DefaultsView {
    const view = this.#known?.defaults ?? this.#readDefaults();
    if (this.#known !== undefined) this.#known.defaults = view;
    return view;
  }

  #readDefaults(): DefaultsView {
    const row = this.#statements.defaults.get();
    if (row === undefined) return INITIAL_DEFAULTS_VIEW;
    const { version, position, data } = row;
    return { defaults: parsed(data, 'the defaults') as PoolSettings, version, position };
  }

  findContradicted(pool: PoolSettings): TenantView | undefined {
    const row = this.#statements.contradicted.get({ max: pool.maxConnections });
    return row === undefined ? undefined : viewOf(row);
  }

  putTenant(view: TenantView): void {
    const { config, ...facts } = view;
    const data = JSON.stringify(config);
    const key = tenantKey(config.id);
    const searchText = searchTextOf(config);
    this.#statements.putTenant.run({ ...facts, key, id: config.id, searchText, data });
    // As a reader gets it: JSON leaves out what is undefined.
    if (this.#known !== undefined)
      this.#noted({ ...view, config: JSON.parse(data) as TenantConfig });
  }

  removeTenant(id: string): void {
    const key = tenantKey(id);
    this.#statements.removeTenant.run({ key });
    this.#known?.tenants.delete(key);
  }

  putDefaults(view: DefaultsView): void {
    const { version, position } = view;
    this.#statements.putDefaults.run({ version, position, data: JSON.stringify(view.defaults) });
    if (this.#known !== undefined) this.#known.defaults = undefined;
  }

  clear(): void {
    this.apiKeys.clear();
    this.servers.clear();
    this.#orm.delete(tenants).run();
    this.#orm.delete(defaults).run();
    this.forget();
  }

  /**
   * From now on what is read or put is remembered, or nothing any more. Only within a transaction:
   * a command looks at its tenant several times, and nobody else can write meanwhile.
   */
  remember(what: 'views' | 'nothing' = 'views'): void {
    this.#known = what === 'views' ? { tenants: new Map(), defaults: undefined } : undefined;
  }

  /** Forgets what was remembered: a part of the transaction was undone. */
  forget(): void {
    if (this.#known !== undefined) this.remember();
  }

  #noted(view: TenantView): TenantView {
    const tenants = this.#known?.tenants;
    if (tenants === undefined) return view;
    if (tenants.size >= REMEMBERED_MAX) tenants.clear();
    tenants.set(tenantKey(view.config.id), view);
    return view;
  }
}

function viewOf(row: TenantRow): TenantView {
  const { origin, version, position, createdAt, updatedAt, data } = row;
  const config = parsed(data, `tenant "${row.id}"`) as TenantConfig;
  return { config, origin, version, position, createdAt, updatedAt };
}

/** Prepared once: preparing costs more than running. */
function prepareStatements(database: SqliteDatabase) {
  const { client, orm } = database;
  const given = sql.placeholder;
  const pageAfter = gt(tenants.key, given('after'));
  return {
    tenant: compiledSelection(
      client,
      orm
        .select()
        .from(tenants)
        .where(eq(tenants.key, given('key'))),
    ),
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
    putTenant: compiledChange(
      client,
      orm
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
        .onConflictDoUpdate({ target: tenants.key, set: excluded(tenants) }),
    ),
    removeTenant: orm
      .delete(tenants)
      .where(eq(tenants.key, given('key')))
      .prepare(),
    ...prepareLooksAtAll(database),
    ...prepareDefaults(database),
  };
}

/** What is asked of all tenants at once. */
function prepareLooksAtAll({ orm }: SqliteDatabase) {
  const given = sql.placeholder;
  const own = (setting: string) => sql`json_extract(${tenants.data}, ${`$.pool.${setting}`})`;
  return {
    count: orm.select({ count: count() }).from(tenants).prepare(),
    budget: orm
      .select({
        tenants: count(),
        maxConnections: sql<
          number | null
        >`sum(coalesce(${own('maxConnections')}, ${given('most')}))`,
      })
      .from(tenants)
      .where(
        and(
          sql`${tenants.key} glob ${given('glob')}`,
          // Cheap, and true of few: what follows reads the JSON.
          sql`instr(${tenants.searchText}, ${given('text')}) > 0`,
          sql`json_extract(${tenants.data}, '$.port') = ${given('port')}`,
          sql`lower(json_extract(${tenants.data}, '$.host')) = ${given('text')}`,
        ),
      )
      .prepare(),
    contradicted: orm
      .select()
      .from(tenants)
      .where(sql`${own('minConnections')} > coalesce(${own('maxConnections')}, ${given('max')})`)
      .limit(1)
      .prepare(),
  };
}

function prepareDefaults({ client, orm }: SqliteDatabase) {
  const given = sql.placeholder;
  return {
    defaults: compiledSelection(client, orm.select().from(defaults)),
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
