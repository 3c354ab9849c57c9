/**
 * An entry of PgBouncer's [databases] as a tenant. Leaves: who may log in to pgbouncer-users.ts.
 * Source: PgBouncer 1.25, doc/config.md, "Section [databases]"; src/loader.c for its defaults.
 */
import { DEFAULT_PORTS } from '@dbbouncer/shared/contract/tenant-conversion.ts';
import type { WrittenTenant } from '@dbbouncer/shared/contract/written-tenant.ts';
import type { Findings, Spot } from './findings.ts';
import type { IniSetting } from './ini.ts';
import { readPairs } from './pairs.ts';
import type { Pair } from './pairs.ts';
import { readLifetime, readPoolMode, readWait } from './pgbouncer-settings.ts';
import { usersFor } from './pgbouncer-users.ts';
import type { Accounts } from './pgbouncer-users.ts';
import { connectionsThere, noteOfMost, ourSizes } from './pool-sizes.ts';
import type { OurSizes, PoolSizes } from './pool-sizes.ts';
import { tenantIdFor } from './tenant-id.ts';
import { anyText, whole } from './values.ts';
import type { ReadValue, Value } from './values.ts';

/** What holds for every database that does not say otherwise. */
export interface Globals {
  readonly sizes: Omit<PoolSizes, 'userMax'>;
  /** As they stand in `defaults`. */
  readonly defaultSizes: OurSizes;
  readonly authUser: string | undefined;
  readonly authQuery: string | undefined;
  readonly authDatabase: string | undefined;
  /** Where a server without a host is. */
  readonly socketFolder: string;
  readonly serverTls: WrittenTenant | undefined;
  readonly accounts: Accounts;
}

export interface ImportedTenant {
  readonly id: string;
  readonly spot: Spot;
  readonly tenant: WrittenTenant;
  /** Of its connections; with several, one limit stands for what were as many. */
  readonly serverUsers: 'one' | 'several';
}

/** Nothing when it is wrong; why is among the findings then. */
export function tenantOf(
  setting: IniSetting,
  globals: Globals,
  findings: Findings,
): ImportedTenant | undefined {
  const { name, spot } = setting;
  const entry = new Entry(setting, findings);
  const id = idFor(name, spot, findings);
  if (id === undefined) return undefined;
  const user = entry.text('user');
  const users = usersFor(
    {
      id,
      spot,
      forced: user === undefined ? undefined : { user, password: entry.text('password') },
      authUser: entry.text('auth_user') ?? globals.authUser,
      authQuery: entry.text('auth_query') ?? globals.authQuery,
      authDatabase: entry.text('auth_dbname') ?? globals.authDatabase,
    },
    globals.accounts,
    findings,
  );
  if (users === undefined) return undefined;
  const { username, password, ...more } = users.fields;
  const there = sizesThere(entry, globals, users.own?.maxConnections);
  const sizes = ourSizes(there, users.serverUsers);
  noteMost(id, spot, connectionsThere(there, users.serverUsers), globals, findings);
  const port = entry.number('port') ?? DEFAULT_PORTS.postgres;
  return {
    id,
    spot,
    serverUsers: users.serverUsers,
    tenant: withoutUndefined({
      db_type: 'postgres',
      host: hostOf(entry, id, globals, findings),
      port: port === DEFAULT_PORTS.postgres ? undefined : port,
      dbname: entry.text('dbname') ?? name,
      username,
      password,
      pool_mode: users.own?.poolMode ?? entry.read('pool_mode', readPoolMode),
      ...differing(sizes, globals.defaultSizes),
      max_client_connections:
        entry.number('max_db_client_connections') ?? users.own?.maxClientConnections,
      acquire_timeout: entry.read('query_wait_timeout', readWait),
      max_lifetime: entry.read('server_lifetime', readLifetime),
      init_sql: initSqlOf(entry),
      server_tls: globals.serverTls,
      ...more,
    }),
  };
}

function idFor(name: string, spot: Spot, findings: Findings): string | undefined {
  const id = tenantIdFor(name);
  if (id === undefined) {
    findings.fault(spot, `"${name}" cannot be made the id of a tenant: rename it`);
  } else if (id !== name) {
    const text = `"${name}" is no id of a tenant: it is ${id}, and clients must name that database`;
    findings.note('differs', spot, text);
  }
  return id;
}

function hostOf(entry: Entry, id: string, globals: Globals, findings: Findings): string {
  const host = entry.text('host');
  if (host === undefined) {
    const text = `${id} has no host: its server is the one behind the socket file there`;
    findings.note('differs', entry.spot, `${text}, ${globals.socketFolder}`);
    return globals.socketFolder;
  }
  const [first = host, ...others] = host.split(',').map((one) => one.trim());
  if (others.length > 0) {
    const text = `${id} has several hosts: a tenant has one, ${first}`;
    findings.note('lost', entry.spot, `${text}; ${others.join(', ')} are left out`);
  }
  return first;
}

function sizesThere(entry: Entry, { sizes }: Globals, userMax: number | undefined): PoolSizes {
  const reserve = entry.number('reserve_pool_size') ?? entry.number('reserve_pool');
  return {
    poolSize: entry.number('pool_size') ?? sizes.poolSize,
    reserve: reserve ?? sizes.reserve,
    minimum: entry.number('min_pool_size') ?? sizes.minimum,
    databaseMax: entry.number('max_db_connections') ?? sizes.databaseMax,
    userMax: userMax ?? 0,
  };
}

/** What is so for every database is told of none. */
function noteMost(
  id: string,
  spot: Spot,
  there: number,
  { sizes }: Globals,
  findings: Findings,
): void {
  const note = noteOfMost(there);
  if (note === undefined || there === connectionsThere({ ...sizes, userMax: 0 }, 'one')) return;
  findings.note('differs', spot, `${id}: ${note}`);
}

function differing(sizes: OurSizes, defaults: OurSizes): Partial<OurSizes> {
  return Object.fromEntries(
    Object.entries(sizes).filter(([name, size]) => size !== defaults[name as keyof OurSizes]),
  );
}

const PARAMETERS = ['client_encoding', 'datestyle', 'timezone'] as const;

/** Parameters that every connection to the server had from its start. */
function initSqlOf(entry: Entry): string | undefined {
  const statements = PARAMETERS.flatMap((name) => {
    const value = entry.text(name);
    return value === undefined ? [] : [`SET ${name} TO '${value.replaceAll("'", "''")}'`];
  });
  const own = entry.text('connect_query')?.replace(/[;\s]+$/, '');
  const all = own === undefined ? statements : [...statements, own];
  return all.length === 0 ? undefined : all.join('; ');
}

const KNOWN: ReadonlySet<string> = new Set(
  (
    'host port dbname user password auth_user auth_query auth_dbname pool_size min_pool_size' +
    ' reserve_pool reserve_pool_size pool_mode max_db_connections max_db_client_connections' +
    ' query_wait_timeout server_lifetime connect_query client_encoding datestyle timezone' +
    ' application_name load_balance_hosts'
  ).split(' '),
);

/** Its key=value pairs; of two alike the later one counts. */
class Entry {
  readonly spot: Spot;
  readonly #setting: IniSetting;
  readonly #pairs = new Map<string, Pair>();
  readonly #findings: Findings;

  constructor(setting: IniSetting, findings: Findings) {
    this.spot = setting.spot;
    this.#setting = setting;
    this.#findings = findings;
    const reading = readPairs(setting.value);
    if (reading.outcome === 'refused') {
      findings.fault(this.#at(reading.column), reading.message);
      return;
    }
    for (const pair of reading.pairs) {
      if (!KNOWN.has(pair.key)) findings.fault(this.#at(pair.column), `${pair.key} is not known`);
      this.#pairs.set(pair.key, pair);
    }
    if (this.#pairs.has('application_name')) {
      const text = `${setting.name}: application_name: connections are called dbb:<proxy>:<life>`;
      findings.note('differs', this.spot, text);
    }
  }

  text(key: string): string | undefined {
    return this.read(key, anyText) as string | undefined;
  }

  number(key: string): number | undefined {
    return this.read(key, whole) as number | undefined;
  }

  /** Nothing when it is not given, or wrong. */
  read(key: string, read: ReadValue): Value | undefined {
    const pair = this.#pairs.get(key);
    if (pair === undefined) return undefined;
    const reading = read(pair.value);
    if (reading.outcome === 'lost') {
      this.#findings.fault(this.#at(pair.column), `${key} ${reading.why}`);
    }
    if (reading.outcome !== 'value') return undefined;
    if (reading.differs !== undefined) {
      const text = `${this.#setting.name}: ${key}: ${reading.differs}`;
      this.#findings.note('differs', this.spot, text);
    }
    return reading.value;
  }

  #at(column: number): Spot {
    return { ...this.spot, column: this.#setting.valueColumn + column - 1 };
  }
}

function withoutUndefined(fields: Readonly<Record<string, unknown>>): WrittenTenant {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
