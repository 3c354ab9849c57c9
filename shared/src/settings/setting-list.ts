/**
 * Every setting of every process, once: its names on the command line, in the environment and in
 * YAML, its kind, its default and what it is for. `--help`, the documentation and the resolver all
 * read this list.
 */
import { DURATION_MS_MAX } from '../contract/duration.ts';
import { CLIENT_TLS_MODES, SERVER_TLS_MODES } from '../contract/tls-modes.ts';
import type { ClientTlsMode, ServerTlsMode } from '../contract/tls-modes.ts';
import { LOG_LEVELS } from '../kernel/log.ts';
import type { LogLevel } from '../kernel/log.ts';
import { API_SETTINGS } from './api-settings.ts';
import { LISTEN_SETTINGS } from './listen-settings.ts';
import { NATS_SETTINGS } from './nats-settings.ts';
import { SIGNATURE_SETTINGS } from './signature-settings.ts';
import { choice, duration, either, secretText, text, wholeNumber } from './setting-kinds.ts';
import { setting } from './setting-spec.ts';
import type { SettingSpec } from './setting-spec.ts';

const anyText = text(/\S/, 'not empty');
const SUFFIX = /^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/;

/** `name=user`, several separated by commas. */
const CERTIFICATE_USERS = /^\s*[^\s,=][^,=]*=\s*[^,=\s]+\s*(,\s*[^\s,=][^,=]*=\s*[^,=\s]+\s*)*$/;

export const SETTINGS = Object.freeze({
  dataDir: setting<string>({
    flag: '--data-dir',
    argument: 'DIR',
    env: 'DBBOUNCER_DATA_DIR',
    yaml: 'data_dir',
    default: './data',
    description: 'Folder for the database, generated keys and the last good config',
    read: anyText,
  }),
  ...LISTEN_SETTINGS,
  ...NATS_SETTINGS,
  workers: setting<number>({
    flag: '--workers',
    argument: 'N',
    env: 'DBBOUNCER_WORKERS',
    yaml: 'workers',
    default: 1,
    description: 'Processes that share the ports of a proxy; each is a proxy of the fleet',
    read: wholeNumber(1, 256),
  }),
  workerHeartbeatTimeoutMs: setting<number>({
    env: 'DBBOUNCER_WORKER_HEARTBEAT_TIMEOUT',
    yaml: 'worker_heartbeat_timeout',
    default: 15_000,
    defaultText: '15s',
    description: 'How long a worker process may give no sign of life before it is killed',
    read: duration(2_000, 600_000),
  }),
  logLevel: setting<LogLevel>({
    flag: '--log-level',
    argument: 'LEVEL',
    env: 'DBBOUNCER_LOG_LEVEL',
    yaml: 'log_level',
    default: 'info',
    description: `One of ${LOG_LEVELS.join(', ')}`,
    read: choice(LOG_LEVELS),
  }),
  proxyId: setting<string | undefined>({
    flag: '--proxy-id',
    argument: 'ID',
    env: 'DBBOUNCER_PROXY_ID',
    yaml: 'proxy_id',
    default: undefined,
    description:
      'Name of this proxy in the fleet; without it one is made and kept in the data folder',
    read: text(/^[a-zA-Z0-9][a-zA-Z0-9_-]{0,31}$/, '1 to 32 letters, digits, "_" or "-"'),
  }),
  proxyLostAfterMs: setting<number>({
    env: 'DBBOUNCER_PROXY_LOST_AFTER',
    yaml: 'proxy_lost_after',
    default: 5_000,
    defaultText: '5s',
    description:
      'A proxy that has not reported for so long counts as lost; proxies report every second',
    read: duration(2_000, 600_000),
  }),
  apiKey: setting<string | undefined>({
    env: 'DBBOUNCER_API_KEY',
    yaml: 'api_key',
    default: undefined,
    description: 'Key of the REST API; without it one is made and kept in the data folder',
    read: secretText(/^[\x21-\x7e]{1,512}$/, 'up to 512 printable ASCII characters without blanks'),
  }),
  ...API_SETTINGS,
  masterKey: setting<string | undefined>({
    env: 'DBBOUNCER_MASTER_KEY',
    default: undefined,
    description:
      'Key that seals passwords: base64 of 32 bytes or any text of at least 16 characters;' +
      ' several as id:key,id:key, the first one seals.' +
      ' Without it, master.key in the data folder is used',
    read: secretText(/\S/, 'not empty'),
  }),
  ...SIGNATURE_SETTINGS,
  tlsCertFile: setting<string | undefined>({
    env: 'DBBOUNCER_TLS_CERT',
    yaml: 'tls_cert',
    default: undefined,
    description: 'PEM file with the certificate chain of the listeners; needs tls_key',
    read: anyText,
  }),
  tlsKeyFile: setting<string | undefined>({
    env: 'DBBOUNCER_TLS_KEY',
    yaml: 'tls_key',
    default: undefined,
    description: 'PEM file with the private key for tls_cert',
    read: anyText,
  }),
  tlsMode: setting<ClientTlsMode>({
    env: 'DBBOUNCER_TLS_MODE',
    yaml: 'tls_mode',
    default: 'allow',
    description:
      'Clients of databases: disable: without TLS; allow: with it where they ask;' +
      ' require: with it alone;' +
      ' verify-ca: with a certificate from tls_client_ca too;' +
      ' verify-full: and it must name the user',
    read: choice(CLIENT_TLS_MODES),
  }),
  tlsMinVersion: setting<'TLSv1.2' | 'TLSv1.3'>({
    env: 'DBBOUNCER_TLS_MIN_VERSION',
    yaml: 'tls_min_version',
    default: 'TLSv1.2',
    description: 'The oldest version of TLS that clients of databases and of the API may use',
    read: choice(['TLSv1.2', 'TLSv1.3']),
  }),
  tlsClientCaFile: setting<string | undefined>({
    env: 'DBBOUNCER_TLS_CLIENT_CA',
    yaml: 'tls_client_ca',
    default: undefined,
    description:
      'PEM file with the authorities whose client certificates count; asks clients for one',
    read: anyText,
  }),
  tlsClientCertUsers: setting<string | undefined>({
    env: 'DBBOUNCER_TLS_CLIENT_CERT_USERS',
    yaml: 'tls_client_cert_users',
    default: undefined,
    description: 'Which users the name in a client certificate stands for, where not for itself',
    read: text(CERTIFICATE_USERS, 'pairs of name and user such as batch.internal=acme__app, ops=*'),
  }),
  tlsClientCertLogin: setting<'on' | 'off'>({
    env: 'DBBOUNCER_TLS_CLIENT_CERT_LOGIN',
    yaml: 'tls_client_cert_login',
    default: 'off',
    defaultText: 'false',
    description: 'A valid client certificate that names tenant and user replaces the password',
    read: either('on', 'off'),
  }),
  serverTlsMode: setting<ServerTlsMode>({
    env: 'DBBOUNCER_SERVER_TLS_MODE',
    yaml: 'server_tls_mode',
    default: 'prefer',
    description: 'TLS with the databases of tenants without server_tls, in the words of sslmode',
    read: choice(SERVER_TLS_MODES),
  }),
  serverTlsCaFile: setting<string | undefined>({
    env: 'DBBOUNCER_SERVER_TLS_CA',
    yaml: 'server_tls_ca',
    default: undefined,
    description:
      'PEM file with the authorities to verify databases by, where server_tls names none;' +
      ' without it those that Node.js brings along',
    read: anyText,
  }),
  durability: setting<'full' | 'normal' | 'replicated'>({
    flag: '--durability',
    argument: 'LEVEL',
    env: 'DBBOUNCER_DURABILITY',
    yaml: 'durability',
    default: 'full',
    description:
      'full: an acknowledged change survives power loss; normal: a crash of the process;' +
      ' replicated: it is on NATS too, and with whichever control plane takes over',
    read: choice(['full', 'normal', 'replicated']),
  }),
  leaderLeaseMs: setting<number>({
    env: 'DBBOUNCER_LEADER_LEASE',
    yaml: 'leader_lease',
    default: 5_000,
    defaultText: '5s',
    description:
      'Of control planes with durability replicated: how long the one that leads may be silent' +
      ' before another takes over; it says so five times as often',
    read: duration(500, 600_000),
  }),
  apiUrl: setting<string | undefined>({
    flag: '--api-url',
    argument: 'URL',
    env: 'DBBOUNCER_API_URL',
    yaml: 'api_url',
    default: undefined,
    description:
      'Where other control planes reach this API; without it the host name, or the address it' +
      ' listens on, and the port',
    read: text(/^https?:\/\/[^\s/?#]+\/?$/, 'a URL such as http://10.0.0.7:8080'),
  }),
  maxClientConnections: setting<number>({
    env: 'DBBOUNCER_MAX_CLIENT_CONNECTIONS',
    yaml: 'listen.max_client_connections',
    default: 10_000,
    description: 'Clients a proxy serves at once, over all tenants',
    read: wholeNumber(1, 1_000_000),
  }),
  maxServerDials: setting<number>({
    env: 'DBBOUNCER_MAX_SERVER_DIALS',
    yaml: 'pool.max_server_dials',
    default: 64,
    description:
      'Logins at database servers that a proxy has under way at once, over all tenants;' +
      ' the first one that a waiting client of a tenant needs is never held up',
    read: wholeNumber(1, 10_000),
  }),
  clientLoginTimeoutMs: setting<number>({
    env: 'DBBOUNCER_CLIENT_LOGIN_TIMEOUT',
    yaml: 'listen.client_login_timeout',
    default: 60_000,
    defaultText: '60s',
    description: 'How long a client may take to log in',
    read: duration(100, 3_600_000),
  }),
  shutdownTimeoutMs: setting<number>({
    env: 'DBBOUNCER_SHUTDOWN_TIMEOUT',
    yaml: 'shutdown_timeout',
    default: 60_000,
    defaultText: '60s',
    description: 'How long a proxy that stops lets transactions under way go on',
    read: duration(0, 3_600_000),
  }),
  fleetBudget: setting<'fleet' | 'per_proxy'>({
    env: 'DBBOUNCER_FLEET_BUDGET',
    yaml: 'fleet_budget',
    default: 'fleet',
    description:
      'fleet: max_connections of a tenant holds over all proxies together, which the control' +
      ' plane sees to; per_proxy: on each of them by itself',
    read: choice(['fleet', 'per_proxy']),
  }),
  expectedProxies: setting<number | undefined>({
    env: 'DBBOUNCER_EXPECTED_PROXIES',
    yaml: 'expected_proxies',
    default: undefined,
    description:
      'Proxies the fleet has when all are there: each may hold its even part of max_connections' +
      ' while it cannot reach the control plane; without it as many as are known',
    read: wholeNumber(1, 10_000),
  }),
  unknownTenant: setting<'disclosed' | 'hidden'>({
    env: 'DBBOUNCER_DISCLOSE_UNKNOWN_TENANT',
    yaml: 'listen.disclose_unknown_tenant',
    default: 'hidden',
    defaultText: 'false',
    description:
      'Tell clients that a tenant is unknown, for development; else it looks like a wrong password',
    read: either('disclosed', 'hidden'),
  }),
  sniSuffix: setting<string | undefined>({
    env: 'DBBOUNCER_SNI_SUFFIX',
    yaml: 'listen.sni_suffix',
    default: undefined,
    description: 'TLS server name X.<suffix> selects tenant X',
    read: text(SUFFIX, 'a domain name such as db.example.com'),
  }),
  usernameDot: setting<'on' | 'off'>({
    env: 'DBBOUNCER_USERNAME_DOT_SELECTOR',
    yaml: 'listen.username_dot_selector',
    default: 'off',
    defaultText: 'false',
    description: 'User name user.X selects tenant X',
    read: either('on', 'off'),
  }),
  healthCheckIntervalMs: setting<number>({
    env: 'DBBOUNCER_HEALTH_CHECK_INTERVAL',
    yaml: 'health_check.interval',
    default: 30_000,
    defaultText: '30s',
    description: 'Time between two checks of a tenant database',
    read: duration(100, DURATION_MS_MAX),
  }),
  healthCheckTimeoutMs: setting<number>({
    env: 'DBBOUNCER_HEALTH_CHECK_TIMEOUT',
    yaml: 'health_check.timeout',
    default: 5_000,
    defaultText: '5s',
    description: 'How long one check may take',
    read: duration(10, 600_000),
  }),
  healthCheckFailureThreshold: setting<number>({
    env: 'DBBOUNCER_HEALTH_CHECK_FAILURE_THRESHOLD',
    yaml: 'health_check.failure_threshold',
    default: 3,
    description: 'Failed checks in a row after which a database counts as down',
    read: wholeNumber(1, 1_000),
  }),
  healthCheckSuccessThreshold: setting<number>({
    env: 'DBBOUNCER_HEALTH_CHECK_SUCCESS_THRESHOLD',
    yaml: 'health_check.success_threshold',
    default: 1,
    description: 'Successful checks in a row after which it counts as up again',
    read: wholeNumber(1, 1_000),
  }),
  busyPollUs: setting<number>({
    env: 'DBBOUNCER_BUSY_POLL_US',
    yaml: 'busy_poll_us',
    default: 200,
    description:
      'Microseconds for which the proxy looks for the next bytes without sleeping, while one' +
      ' client at most is at work and that pays: a lone client waits less, the processor works' +
      ' more; 0: never',
    read: wholeNumber(0, 10_000),
  }),
  bufferInitialSizeBytes: setting<number>({
    env: 'DBBOUNCER_POOL_BUFFER_INITIAL_SIZE',
    yaml: 'pool.buffer_initial_size',
    default: 4_096,
    description: 'Bytes of the buffer that a server connection reads into, to begin with',
    read: wholeNumber(512, 16_777_216),
  }),
  bufferMaxSizeBytes: setting<number>({
    env: 'DBBOUNCER_POOL_BUFFER_MAX_SIZE',
    yaml: 'pool.buffer_max_size',
    default: 65_536,
    description: 'Bytes it grows to while large results come; such buffers are used again',
    read: wholeNumber(512, 16_777_216),
  }),
});

export type SettingName = keyof typeof SETTINGS;

type ValueOf<Spec> = Spec extends SettingSpec<infer Value> ? Value : never;

/** What a process runs with; frozen. Paths are absolute. */
export type Settings = {
  readonly [Name in SettingName]: ValueOf<(typeof SETTINGS)[Name]>;
} & {
  /** The config file that was read and is watched, or nothing. */
  readonly configFile: string | undefined;
};

/** One line of `--help` or of the documentation. */
export interface SettingDescription {
  /** The key of the value in `Settings`, and of the flag among the parsed flags. */
  readonly name: SettingName | 'config';
  readonly flag: `--${string}` | undefined;
  readonly argument: string | undefined;
  readonly env: string;
  readonly yaml: string | undefined;
  readonly default: string | undefined;
  readonly description: string;
}

export const DEFAULT_CONFIG_FILE = 'dbbouncer.yaml';

/** All settings in the order of the documentation, the config file first. */
export const settingsFlags: readonly SettingDescription[] = Object.freeze([
  Object.freeze({
    name: 'config',
    flag: '--config',
    argument: 'FILE',
    env: 'DBBOUNCER_CONFIG',
    yaml: undefined,
    default: `${DEFAULT_CONFIG_FILE} if it exists`,
    description: 'Config file; its tenants and defaults are watched and reloaded',
  } as const),
  ...(
    Object.entries(SETTINGS) as [
      SettingName,
      SettingSpec<string | number | readonly string[] | undefined>,
    ][]
  ).map(([name, spec]) =>
    Object.freeze({
      name,
      flag: spec.flag,
      argument: spec.argument,
      env: spec.env,
      yaml: spec.yaml,
      default: spec.defaultText ?? (spec.default === undefined ? undefined : String(spec.default)),
      description: spec.description,
    }),
  ),
]);
