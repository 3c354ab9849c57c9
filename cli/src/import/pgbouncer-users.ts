/**
 * Who may log in to a database of PgBouncer, and as whom it connects to the server, as the users of
 * a tenant. There all users of the list may log in to every database; with `user=` all their
 * connections to the server are that user's.
 */
import type { WrittenTenant } from '@dbbouncer/shared/contract/written-tenant.ts';
import { passwordReference } from '@dbbouncer/shared/secrets/password.ts';
import { USERS_MAX } from '@dbbouncer/shared/contract/tenant-users.ts';
import type { Findings, Spot } from './findings.ts';
import type { ListedUser } from './userlist.ts';
import type { UserSettings } from './user-settings.ts';

/** What is there a password is here where one is. */
export const LIKE_A_REFERENCE = 'is taken for a reference: to a variable or file on the proxy';

export interface Accounts {
  readonly listed: ReadonlyMap<string, ListedUser>;
  /** By name; of [users]. */
  readonly settings: ReadonlyMap<string, UserSettings>;
  /** For users without a limit of their own; 0: none. */
  readonly maxUserConnections: number;
  readonly maxUserClientConnections: number;
}

export interface DatabaseUsers {
  readonly id: string;
  readonly spot: Spot;
  /** All connections to the server are of this user. */
  readonly forced: { readonly user: string; readonly password: string | undefined } | undefined;
  /** Who asks for users that are not listed. */
  readonly authUser: string | undefined;
  readonly authQuery: string | undefined;
  readonly authDatabase: string | undefined;
}

export interface TenantUsers {
  /** Its connections to the server. */
  readonly serverUsers: 'one' | 'several';
  readonly fields: WrittenTenant;
  readonly own: UserSettings | undefined;
}

/** Nothing when no user is known. */
export function usersFor(
  database: DatabaseUsers,
  accounts: Accounts,
  findings: Findings,
): TenantUsers | undefined {
  const { forced, authUser, spot } = database;
  const { listed, settings } = accounts;
  const username = forced?.user ?? authUser ?? firstWithPassword(listed);
  if (username === undefined) {
    findings.fault(spot, 'no user of it is known: name the userlist.txt with --userlist');
    return undefined;
  }
  const passwords = new Passwords(database, accounts, findings);
  if (passwordReference(forced?.password ?? '') !== undefined) {
    findings.note('differs', spot, `${database.id}: the password ${LIKE_A_REFERENCE}`);
  }
  const password = forced?.password ?? passwords.of(username);
  const asks = authUser === undefined ? undefined : authQueryOf(database, username, passwords);
  const others = [...listed.values()].filter(({ name }) => name !== username);
  const users = [
    ...others.flatMap((user) => clientUser(user, database, accounts, password)),
    ...lookedUp(database, accounts, username),
  ];
  if (users.length > USERS_MAX) {
    findings.fault(
      spot,
      `${users.length} users may log in to it; a tenant lists ${USERS_MAX}: use auth_query`,
    );
  }
  noteDifferences(database, accounts, findings);
  return {
    serverUsers: forced !== undefined || users.length === 0 ? 'one' : 'several',
    own: settings.get(username),
    fields: {
      username,
      password,
      ...(users.length > 0 && { users }),
      ...(asks !== undefined && { auth_query: asks }),
    },
  };
}

/** Those that are not there stand as variables, and are told. */
class Passwords {
  readonly #database: DatabaseUsers;
  readonly #accounts: Accounts;
  readonly #findings: Findings;

  constructor(database: DatabaseUsers, accounts: Accounts, findings: Findings) {
    this.#database = database;
    this.#accounts = accounts;
    this.#findings = findings;
  }

  of(user: string): string {
    const password = this.#accounts.listed.get(user)?.password ?? '';
    if (password !== '') return password;
    const { id, spot } = this.#database;
    const name = [id, user]
      .join('_')
      .toUpperCase()
      .replaceAll(/[^A-Z0-9]+/g, '_');
    const variable = `\${TENANT_${name}_PASSWORD}`;
    this.#findings.note(
      'lost',
      spot,
      `${id}: the password of user "${user}" is not known; set ${variable} on every proxy`,
    );
    return variable;
  }
}

function firstWithPassword(listed: ReadonlyMap<string, ListedUser>): string | undefined {
  return [...listed.values()].find(({ password }) => password !== '')?.name;
}

function authQueryOf(
  { authUser, authQuery, authDatabase }: DatabaseUsers,
  username: string,
  passwords: Passwords,
): WrittenTenant {
  const asksItself = authUser === undefined || authUser === username;
  return {
    ...(authQuery !== undefined && { query: authQuery }),
    ...(!asksItself && { user: authUser, password: passwords.of(authUser) }),
    ...(authDatabase !== undefined && { database: authDatabase }),
  };
}

function clientUser(
  { name, password }: ListedUser,
  { forced, authUser }: DatabaseUsers,
  accounts: Accounts,
  serverPassword: string,
): readonly WrittenTenant[] {
  // Without a password it is there for its settings, or to be looked up.
  if (password === '' && authUser === undefined) return [];
  return [
    {
      name,
      ...(password !== '' && { password }),
      ...(forced !== undefined && { server_user: forced.user, server_password: serverPassword }),
      ...limitsOf(name, accounts, forced === undefined ? 'own' : 'forced'),
    },
  ];
}

/** Users with settings of their own whom auth_query finds. */
function lookedUp(
  { authUser }: DatabaseUsers,
  accounts: Accounts,
  username: string,
): readonly WrittenTenant[] {
  if (authUser === undefined) return [];
  return [...accounts.settings.keys()]
    .filter((name) => name !== username && !accounts.listed.has(name))
    .map((name) => ({ name, ...limitsOf(name, accounts, 'own') }));
}

/** Of connections that are all of one user, the settings of that user hold there. */
function limitsOf(name: string, accounts: Accounts, on: 'own' | 'forced'): WrittenTenant {
  const own = accounts.settings.get(name);
  const max = own?.maxConnections ?? accounts.maxUserConnections;
  const maxClients = own?.maxClientConnections ?? accounts.maxUserClientConnections;
  return {
    ...(own?.poolMode !== undefined && on === 'own' && { pool_mode: own.poolMode }),
    ...(max > 0 && on === 'own' && { max_connections: max }),
    ...(maxClients > 0 && { max_client_connections: maxClients }),
  };
}

function noteDifferences(
  { id, forced, authUser, spot }: DatabaseUsers,
  { listed }: Accounts,
  findings: Findings,
): void {
  if (forced === undefined) return;
  if (!listed.has(forced.user)) {
    findings.note(
      'differs',
      spot,
      `${id}: user "${forced.user}" can log in as well, with the password it has on the server`,
    );
  }
  if (authUser === undefined) return;
  findings.note(
    'differs',
    spot,
    `${id}: whom auth_query finds is on the server who they are, and not "${forced.user}"`,
  );
}
