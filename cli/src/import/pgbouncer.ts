/**
 * A pgbouncer.ini with its userlist.txt as a config of ours. Owns: which section is what, and that
 * everything that is not taken over is told. Pure; how files are read is passed in.
 */
import { nearestName } from '@dbbouncer/shared/contract/explain.ts';
import { passwordReference } from '@dbbouncer/shared/secrets/password.ts';
import type { WrittenTenant } from '@dbbouncer/shared/contract/written-tenant.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Findings, Spot } from './findings.ts';
import type { Imported } from './imported.ts';
import { readIni } from './ini.ts';
import type { IniSetting } from './ini.ts';
import { tenantOf } from './pgbouncer-databases.ts';
import type { Globals, ImportedTenant } from './pgbouncer-databases.ts';
import { PGBOUNCER_SETTINGS } from './pgbouncer-settings.ts';
import type { SettingRow } from './pgbouncer-settings.ts';
import { LIKE_A_REFERENCE } from './pgbouncer-users.ts';
import type { Accounts } from './pgbouncer-users.ts';
import { connectionsThere, noteOfMost, ourSizes } from './pool-sizes.ts';
import { faultOfFile } from './read-text.ts';
import type { ReadText } from './read-text.ts';
import { readUserSettings } from './user-settings.ts';
import { readUserlist } from './userlist.ts';
import type { ListedUser } from './userlist.ts';

export interface PgbouncerFiles {
  readonly ini: string;
  /** In the place of the file that `auth_file` names. */
  readonly userlist?: string | undefined;
  readonly read: ReadText;
}

export function importPgbouncer(files: PgbouncerFiles, findings: Findings): Imported {
  const all = readIni(files.ini, files.read, findings);
  const section = (name: string) => all.filter((setting) => setting.section === name);
  const main = new MainSection(section('pgbouncer'), findings);
  const listed = usersIn(files, main, findings);
  const users = section('users').map(
    (setting) => [setting.name, readUserSettings(setting, findings)] as const,
  );
  const accounts: Accounts = {
    listed,
    settings: new Map(users),
    maxUserConnections: main.number('max_user_connections'),
    maxUserClientConnections: main.number('max_user_client_connections'),
  };
  const globals = globalsOf(main, accounts);
  const most = noteOfMost(connectionsThere({ ...globals.sizes, userMax: 0 }, 'one'));
  if (most !== undefined)
    findings.note('differs', main.setting('default_pool_size')?.spot, `default_pool_size: ${most}`);
  const tenants = tenantsIn(section('databases'), globals, findings);
  noteOtherSections(all, findings);
  return {
    source: files.ini,
    settings: main.settings,
    defaults: { ...main.pool, ...globals.defaultSizes },
    tenants,
  };
}

/** [pgbouncer], setting by setting. */
class MainSection {
  readonly settings: Record<string, unknown> = {};
  readonly pool: Record<string, unknown> = {};
  readonly #elsewhere = new Map<string, IniSetting>();
  readonly #findings: Findings;

  constructor(written: readonly IniSetting[], findings: Findings) {
    this.#findings = findings;
    // Of two alike the later one counts.
    const last = new Map(written.map((setting) => [setting.name, setting]));
    for (const setting of last.values()) this.#take(setting);
    for (const [name, row] of Object.entries(PGBOUNCER_SETTINGS)) {
      if (last.has(name) || row.to === 'nowhere' || row.initial === undefined) continue;
      if (row.to.kind !== 'elsewhere') this.#put(name, row.initial, row, undefined);
    }
  }

  setting(name: string): IniSetting | undefined {
    return this.#elsewhere.get(name);
  }

  text(name: string): string | undefined {
    return this.setting(name)?.value || undefined;
  }

  /** The one of the table where it is not set, else 0. */
  number(name: string): number {
    const row = PGBOUNCER_SETTINGS[name];
    const initial = row !== undefined && row.to !== 'nowhere' ? row.initial : undefined;
    const value = this.text(name) ?? initial ?? '0';
    if (/^\d{1,9}$/.test(value)) return Number(value);
    const setting = this.setting(name);
    if (setting !== undefined) this.#findings.fault(setting.spot, `${name} is no whole number`);
    return 0;
  }

  #take(setting: IniSetting): void {
    const { name, value, spot } = setting;
    const row = PGBOUNCER_SETTINGS[name];
    if (row === undefined) {
      const near = nearestName(name, Object.keys(PGBOUNCER_SETTINGS));
      const guess = near === undefined ? '' : `; did you mean ${near}?`;
      this.#findings.fault(spot, `${name} is no setting of PgBouncer${guess}`);
    } else if (row.to === 'nowhere') {
      const isOff = row.off?.toLowerCase() === value.toLowerCase();
      const kind = row.needs === 'a_look' && !isOff ? 'lost' : 'needless';
      this.#findings.note(kind, spot, `${name}: ${row.why}`);
    } else if (row.to.kind === 'elsewhere') {
      this.#elsewhere.set(name, setting);
    } else {
      this.#put(name, value, row, spot);
    }
  }

  #put(
    name: string,
    written: string,
    row: Exclude<SettingRow, { to: 'nowhere' }>,
    spot: Spot | undefined,
  ): void {
    const reading = row.read(written);
    if (reading.outcome === 'lost') this.#findings.note('lost', spot, `${name}: ${reading.why}`);
    if (reading.outcome !== 'value') return;
    if (reading.differs !== undefined) {
      this.#findings.note('differs', spot, `${name}: ${reading.differs}`);
    }
    if (row.to.kind === 'pool') this.pool[row.to.field] = reading.value;
    else if (row.to.kind === 'process') putAt(this.settings, row.to.path, reading.value);
  }
}

function putAt(settings: Record<string, unknown>, path: string, value: unknown): void {
  const [section = '', name] = path.split('.');
  if (name === undefined) settings[section] = value;
  else settings[section] = { ...(settings[section] as object | undefined), [name]: value };
}

function usersIn(
  { userlist, read }: PgbouncerFiles,
  main: MainSection,
  findings: Findings,
): ReadonlyMap<string, ListedUser> {
  const setting = main.setting('auth_file');
  const path = userlist ?? main.text('auth_file');
  if (path === undefined) return new Map();
  try {
    const found = read(path, userlist === undefined ? setting?.spot.file : undefined);
    const users = readUserlist(found.text, found.path, findings);
    for (const { name, password, spot } of users.values()) {
      if (passwordReference(password) === undefined) continue;
      findings.note('differs', spot, `the password of "${name}" ${LIKE_A_REFERENCE}`);
    }
    return users;
  } catch (error) {
    const spot = setting?.spot ?? { file: path, line: 1, column: 1 };
    faultOfFile(findings, error, path, spot);
    return new Map();
  }
}

const DEFAULT_SOCKET_FOLDER = '/tmp';

function globalsOf(main: MainSection, accounts: Accounts): Globals {
  const sizes = {
    poolSize: main.number('default_pool_size'),
    reserve: main.number('reserve_pool_size'),
    minimum: Number(main.pool['min_connections'] ?? 0),
    databaseMax: main.number('max_db_connections'),
  };
  const listen = main.settings['listen'] as Readonly<Record<string, string>> | undefined;
  return {
    sizes,
    defaultSizes: ourSizes({ ...sizes, userMax: 0 }, 'one'),
    authUser: main.text('auth_user'),
    authQuery: main.text('auth_query'),
    authDatabase: main.text('auth_dbname'),
    socketFolder: listen?.['unix_socket_dir'] ?? DEFAULT_SOCKET_FOLDER,
    serverTls: serverTlsOf(main),
    accounts,
  };
}

/** Only where the proxy shows a certificate of its own: the rest are settings of the process. */
function serverTlsOf(main: MainSection): WrittenTenant | undefined {
  const [cert, key] = [main.text('server_tls_cert_file'), main.text('server_tls_key_file')];
  if (cert === undefined || key === undefined) return undefined;
  const { server_tls_mode: mode = 'prefer', server_tls_ca: ca } = main.settings as {
    server_tls_mode?: string;
    server_tls_ca?: string;
  };
  const verifies = mode.startsWith('verify-') && ca !== undefined;
  return {
    mode,
    ...(verifies && { ca: `file:${ca}` }),
    cert: `file:${cert}`,
    key: `file:${key}`,
  };
}

/** PgBouncer's own console. */
const RESERVED = 'pgbouncer';

function tenantsIn(
  databases: readonly IniSetting[],
  globals: Globals,
  findings: Findings,
): Imported['tenants'] {
  const tenants = new Map<string, ImportedTenant>();
  // Of two entries for one database the later one counts.
  for (const setting of new Map(databases.map((one) => [one.name, one])).values()) {
    if (setting.name === '*') {
      const text = '* stands for every other database: register a tenant for each that there is';
      findings.note('lost', setting.spot, text);
    } else if (setting.name === RESERVED) {
      findings.fault(setting.spot, `${RESERVED} is the name of the console, and no database`);
    } else {
      const made = tenantOf(setting, globals, findings);
      if (made !== undefined) put(tenants, made, findings);
    }
  }
  noteSharedLimits([...tenants.values()], findings);
  return new Map([...tenants.values()].map((made) => [made.id, made]));
}

function noteSharedLimits(tenants: readonly ImportedTenant[], findings: Findings): void {
  const shared = tenants.filter(({ serverUsers }) => serverUsers === 'several').length;
  if (shared === 0) return;
  findings.note(
    'differs',
    undefined,
    `max_connections is for all users of a tenant together; there each user had a pool of its own` +
      ` in a database. It concerns ${shared} of the tenants: raise it where that is too few`,
  );
}

function put(tenants: Map<string, ImportedTenant>, made: ImportedTenant, findings: Findings): void {
  const twin = tenants.get(tenantKey(made.id));
  if (twin === undefined) tenants.set(tenantKey(made.id), made);
  else findings.fault(made.spot, `would be the same tenant as "${twin.id}": ids ignore case`);
}

const SECTIONS = new Set(['pgbouncer', 'databases', 'users']);

function noteOtherSections(all: readonly IniSetting[], findings: Findings): void {
  for (const { section, spot } of all.filter((setting) => !SECTIONS.has(setting.section))) {
    if (section === 'peers') {
      findings.note('needless', spot, 'peers: proxies need not know each other');
    } else {
      findings.fault(spot, `[${section}] is no section of PgBouncer`);
    }
  }
}
