/**
 * Every setting of PgBouncer's [pgbouncer] section, and what becomes of it. Owns: the table.
 * Leaves: values to values.ts, databases and users to their own files.
 * Source: PgBouncer 1.25, doc/config.md and src/main.c; the defaults are from there, and stand here
 * where ours are others, so that what nobody has set stays as it was.
 */
import { POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { anyText, lost, NOTHING, onOff, seconds, value, whole, word } from './values.ts';
import type { ReadValue, ValueReading } from './values.ts';

export type Destination =
  /** A setting of the process, by its place in the config file. */
  | { readonly kind: 'process'; readonly path: string }
  /** A pool setting, in `defaults`. */
  | { readonly kind: 'pool'; readonly field: string }
  /** databases.ts makes something of it. */
  | { readonly kind: 'elsewhere' };

export type SettingRow =
  | {
      readonly to: Destination;
      readonly read: ReadValue;
      /** What holds where it is not set, if that is to be written down. */
      readonly initial?: string;
    }
  /** There is nothing like it here; `off` is the value with which it does nothing there either. */
  | {
      readonly to: 'nowhere';
      readonly needs: 'nothing' | 'a_look';
      readonly why: string;
      readonly off?: string;
    };

const DAY_MS = 86_400_000;

function pool(field: keyof typeof BY_NAME, read: ReadValue, initial?: string): SettingRow {
  return { to: { kind: 'pool', field }, read, ...(initial !== undefined && { initial }) };
}

const BY_NAME = Object.fromEntries(Object.values(POOL_SETTINGS).map((row) => [row.name, row])) as {
  readonly [Row in (typeof POOL_SETTINGS)[keyof typeof POOL_SETTINGS] as Row['name']]: Row;
};

/** A time limit that our `0s` switches off as PgBouncer's 0 does. */
const limit = seconds({ minMs: 0, maxMs: 24 * DAY_MS });

function process(path: string, read: ReadValue, initial?: string): SettingRow {
  return { to: { kind: 'process', path }, read, ...(initial !== undefined && { initial }) };
}

const ELSEWHERE: SettingRow = { to: { kind: 'elsewhere' }, read: anyText };

function needless(why: string): SettingRow {
  return { to: 'nowhere', needs: 'nothing', why };
}

function look(why: string, off?: string): SettingRow {
  return { to: 'nowhere', needs: 'a_look', why, ...(off !== undefined && { off }) };
}

const LOGS = needless('the log goes to standard error, as lines of JSON; see log_level');
const NAMES = needless('names are resolved by the system at each new connection');
const FASTER = needless('buffers grow with what passes through them');
const SEVERAL = needless('run as many proxies as you like; they need not know each other');
const KEEPALIVE = look(
  'the number and distance of probes are those of Node.js, 10 in 10 seconds',
  '0',
);
const CIPHERS = look('ciphers and curves are those of Node.js and OpenSSL');

const AUTH_TYPES: Readonly<Record<string, string | ValueReading>> = {
  'scram-sha-256': 'scram-sha-256',
  md5: 'md5',
  plain: value('cleartext_without_tls'),
  cert: lost('logins by certificate are tls_client_cert_login: true, with tls_client_ca'),
  hba: value('md5', 'auth_hba_file is not read: write its rules as "access" of the tenants'),
  trust: lost('nobody is let in without a password: give each user one'),
  any: lost('nobody is let in without a password: give each user one'),
  ldap: lost('passwords are those of users, auth_query or the tenant'),
  pam: lost('passwords are those of users, auth_query or the tenant'),
};

const CLIENT_TLS: Readonly<Record<string, string | ValueReading>> = {
  disable: 'disable',
  allow: 'allow',
  prefer: 'allow',
  require: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

const SERVER_TLS: Readonly<Record<string, string>> = {
  disable: 'disable',
  allow: 'allow',
  prefer: 'prefer',
  require: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

const POOL_MODES: Readonly<Record<string, string | ValueReading>> = {
  session: 'session',
  transaction: 'transaction',
  statement: value(
    'transaction',
    'statement pooling is refused here: it breaks every transaction of a client',
  ),
};

export const readPoolMode = word(POOL_MODES);
/** How long a client waits; 0 was for ever. */
export const readWait = seconds({ minMs: 1, maxMs: 3_600_000, never: '1h' });
/** 0 closed each connection after its first use. */
export function readLifetime(written: string): ValueReading {
  return Number(written) === 0
    ? value('1s', '0 means "use once" there, which is max_queries: 1 here')
    : limit(written);
}

export const PGBOUNCER_SETTINGS: Readonly<Record<string, SettingRow>> = Object.freeze({
  // Where clients come in.
  listen_addr: process('listen.host', readAddress, ''),
  listen_port: process('listen.postgres_port', whole, '6432'),
  listen_backlog: process('listen.backlog', whole),
  unix_socket_dir: process('listen.unix_socket_dir', readSocketFolder),
  unix_socket_mode: process('listen.unix_socket_mode', (mode) =>
    /^0?[0-7]{3}$/.test(mode) ? value(mode) : lost('is no mode such as 0777'),
  ),
  unix_socket_group: look('set the group of the folder instead', ''),
  proxy_protocol: look('name the load balancers in listen.proxy_protocol_from', '0'),
  max_client_conn: process('listen.max_client_connections', whole, '100'),
  client_login_timeout: process(
    'listen.client_login_timeout',
    seconds({ minMs: 100, maxMs: 3_600_000, never: '1h' }),
  ),
  client_tls_sslmode: process('tls_mode', word(CLIENT_TLS)),
  client_tls_key_file: process('tls_key', anyText),
  client_tls_cert_file: process('tls_cert', anyText),
  client_tls_ca_file: process('tls_client_ca', anyText),
  client_tls_protocols: process('tls_min_version', readProtocols),
  client_tls_ciphers: CIPHERS,
  client_tls13_ciphers: CIPHERS,
  client_tls_ecdhcurve: CIPHERS,
  client_tls_dheparams: CIPHERS,
  tcp_keepalive: process('tcp_keepalive_idle', onOff(NOTHING, value('0s'))),
  tcp_keepidle: process('tcp_keepalive_idle', (written) =>
    written === '0' ? NOTHING : seconds({ minMs: 1_000, maxMs: 7_200_000 })(written),
  ),
  tcp_keepcnt: KEEPALIVE,
  tcp_keepintvl: KEEPALIVE,
  tcp_user_timeout: look('set net.ipv4.tcp_retries2 on the machine', '0'),
  tcp_defer_accept: needless('a client that sends nothing ends with listen.client_login_timeout'),
  tcp_socket_buffer: FASTER,
  so_reuseport: SEVERAL,

  // Pools.
  pool_mode: pool('pool_mode', readPoolMode, 'session'),
  default_pool_size: { ...ELSEWHERE, read: whole, initial: '20' },
  min_pool_size: pool('min_connections', whole, '0'),
  reserve_pool_size: { ...ELSEWHERE, read: whole },
  reserve_pool_timeout: pool('reserve_timeout', seconds({ minMs: 0, maxMs: 3_600_000 })),
  max_db_connections: { ...ELSEWHERE, read: whole },
  max_db_client_connections: pool('max_client_connections', whole),
  max_user_connections: { ...ELSEWHERE, read: whole },
  max_user_client_connections: { ...ELSEWHERE, read: whole },
  server_lifetime: pool('max_lifetime', readLifetime, '3600'),
  server_idle_timeout: pool('idle_timeout', limit, '600'),
  server_connect_timeout: pool(
    'server_connect_timeout',
    seconds({ minMs: 10, maxMs: 600_000, never: '10m' }),
    '15',
  ),
  server_login_retry: pool(
    'server_login_retry',
    seconds({ minMs: 100, maxMs: 3_600_000, never: '100ms' }),
    '15',
  ),
  server_check_delay: pool('server_check_delay', limit),
  server_check_query: look('connections are asked in a way of their own', 'select 1'),
  server_reset_query: look('connections that may not be clean get DISCARD ALL', 'DISCARD ALL'),
  server_reset_query_always: pool('server_reset', onOff(value('always'), NOTHING)),
  server_round_robin: look('the connection that was used last is used first', '0'),
  server_fast_close: needless('connections of a changed tenant end with their transaction'),
  pool_idle_timeout: needless('a pool without clients and connections costs nothing'),
  query_wait_timeout: pool('acquire_timeout', readWait, '120'),
  query_wait_notify: pool('query_wait_notify', seconds({ minMs: 0, maxMs: 3_600_000 })),
  cancel_wait_timeout: pool(
    'cancel_wait_timeout',
    seconds({ minMs: 10, maxMs: 600_000, never: '10m' }),
  ),
  query_timeout: pool('query_timeout', limit),
  client_idle_timeout: pool('client_idle_timeout', limit),
  idle_transaction_timeout: pool('idle_in_transaction_timeout', limit),
  transaction_timeout: pool('transaction_timeout', limit),
  max_prepared_statements: pool('max_prepared_statements', (written) =>
    written === '0' ? value(200, 'prepared statements always work here') : whole(written),
  ),
  track_extra_parameters: needless('whatever a client sets is carried along'),
  ignore_startup_parameters: needless('startup parameters are set on the server connection'),
  disable_pqexec: look('several statements in one text are allowed', '0'),
  application_name_add_host: look('application_name: exact shows the name of the client', '0'),
  server_tls_sslmode: process('server_tls_mode', word(SERVER_TLS)),
  server_tls_ca_file: process('server_tls_ca', anyText),
  server_tls_cert_file: ELSEWHERE,
  server_tls_key_file: ELSEWHERE,
  server_tls_protocols: look('TLS 1.2 and 1.3 are spoken with servers', 'secure'),
  server_tls_ciphers: CIPHERS,
  server_tls13_ciphers: CIPHERS,

  // Who may.
  auth_type: pool('client_auth', word(AUTH_TYPES), 'md5'),
  auth_file: ELSEWHERE,
  auth_query: ELSEWHERE,
  auth_user: ELSEWHERE,
  auth_dbname: ELSEWHERE,
  auth_hba_file: look('write its rules as "access" of the tenants', ''),
  auth_ident_file: look('names of certificates are tls_client_cert_users'),
  auth_ldap_options: look('passwords are those of users, auth_query or the tenant'),
  scram_iterations: needless('verifiers are those of the servers'),
  admin_users: look('operators have API keys: POST /api-keys, scope admin or operator', ''),
  stats_users: look('those who only read have API keys of scope viewer', ''),
  login_notify_message: look('clients are told nothing at login', ''),

  // Around it.
  autodb_idle_timeout: needless('tenants are registered, and stay'),
  dns_max_ttl: NAMES,
  dns_nxdomain_ttl: NAMES,
  dns_zone_check_period: NAMES,
  resolv_conf: NAMES,
  log_connections: LOGS,
  log_disconnections: LOGS,
  log_pooler_errors: LOGS,
  log_stats: LOGS,
  logfile: LOGS,
  stats_period: LOGS,
  syslog: LOGS,
  syslog_facility: LOGS,
  syslog_ident: LOGS,
  verbose: LOGS,
  job_name: needless('see proxy_id'),
  service_name: needless('see proxy_id'),
  conffile: needless('see --config'),
  pidfile: needless('whoever starts the process knows its id'),
  user: needless('start it as the user that it is to run as'),
  peer_id: SEVERAL,
  max_packet_size: look('messages are passed on whatever their size', '2147483647'),
  pkt_buf: FASTER,
  sbuf_loopcnt: FASTER,
  suspend_timeout: look('POST /tenants/{id}/drain is what comes near SUSPEND', '10'),
});

function readAddress(written: string): ValueReading {
  const [first = '', ...others] = written.split(',').map((address) => address.trim());
  if (first === '') {
    return value('127.0.0.1', 'is empty: there clients come by the socket file alone');
  }
  const address = first === '*' ? '0.0.0.0' : first;
  return others.length === 0
    ? value(address)
    : value(address, `a process listens on one address: start others for ${others.join(', ')}`);
}

function readSocketFolder(written: string): ValueReading {
  if (written === '') return NOTHING;
  return written.startsWith('/') ? value(written) : lost('is no folder; there is no other place');
}

function readProtocols(written: string): ValueReading {
  const versions = new Set(written.toLowerCase().split(/[\s,:]+/));
  if (versions.has('secure') || versions.has('tlsv1.2')) return NOTHING;
  if (versions.has('tlsv1.3')) return value('TLSv1.3');
  return value('TLSv1.2', 'older versions than TLS 1.2 are not spoken');
}
