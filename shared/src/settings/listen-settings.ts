/**
 * The settings of where processes listen, a part of setting-list.ts.
 */
import { parseCidr } from '../kernel/ip-address.ts';
import { duration, either, list, text, wholeNumber } from './setting-kinds.ts';
import { listenPort, setting } from './setting-spec.ts';

const HOST = /^[A-Za-z0-9:][A-Za-z0-9.:_%-]*$/;

export const LISTEN_SETTINGS = Object.freeze({
  host: setting<string>({
    flag: '--host',
    argument: 'ADDRESS',
    env: 'DBBOUNCER_HOST',
    yaml: 'listen.host',
    default: '0.0.0.0',
    description: 'Address that all ports listen on; "::" for IPv6 and IPv4',
    read: text(HOST, 'a host name or an address'),
  }),
  apiPort: listenPort('--api-port', 'DBBOUNCER_API_PORT', 'api_port', 8080, 'REST API'),
  postgresPort: listenPort(
    '--postgres-port',
    'DBBOUNCER_POSTGRES_PORT',
    'postgres_port',
    6432,
    'PostgreSQL clients',
  ),
  mysqlPort: listenPort(
    '--mysql-port',
    'DBBOUNCER_MYSQL_PORT',
    'mysql_port',
    3307,
    'MySQL clients',
  ),
  metricsPort: listenPort(
    '--metrics-port',
    'DBBOUNCER_METRICS_PORT',
    'metrics_port',
    9090,
    "the proxy's health and metrics",
  ),
  unixSocketDir: setting<string | undefined>({
    env: 'DBBOUNCER_UNIX_SOCKET_DIR',
    yaml: 'listen.unix_socket_dir',
    default: undefined,
    description: 'Folder of a socket file .s.PGSQL.<port> for clients of this machine',
    read: text(/\S/, 'not empty'),
  }),
  unixSocketMode: setting<string>({
    env: 'DBBOUNCER_UNIX_SOCKET_MODE',
    yaml: 'listen.unix_socket_mode',
    default: '0777',
    description: 'Permissions of that file; who may write to it may connect',
    read: text(/^0?[0-7]{3}$/, 'permissions such as 0777 or 0770'),
  }),
  proxyProtocolFrom: setting<readonly string[]>({
    env: 'DBBOUNCER_PROXY_PROTOCOL_FROM',
    yaml: 'listen.proxy_protocol_from',
    default: Object.freeze([]),
    defaultText: '',
    description:
      'Load balancers whose connections must begin with a PROXY protocol header, version 1 or 2;' +
      ' nobody else may send one',
    read: list(
      (item) => item === 'unix' || parseCidr(item) !== undefined,
      'addresses, blocks such as 10.0.0.0/8, or "unix"',
    ),
  }),
  backlog: setting<number>({
    env: 'DBBOUNCER_BACKLOG',
    yaml: 'listen.backlog',
    default: 4_096,
    description: 'Clients that may wait to be accepted; the system may allow fewer (somaxconn)',
    read: wholeNumber(1, 65_535),
  }),
  reusePort: setting<'on' | 'off'>({
    env: 'DBBOUNCER_REUSE_PORT',
    yaml: 'listen.reuse_port',
    default: 'off',
    defaultText: 'false',
    description:
      'Several proxies of this machine listen on one port for PostgreSQL clients (SO_REUSEPORT),' +
      ' and the kernel deals clients among them',
    read: either('on', 'off'),
  }),
  tcpKeepaliveIdleMs: setting<number>({
    env: 'DBBOUNCER_TCP_KEEPALIVE_IDLE',
    yaml: 'tcp_keepalive_idle',
    default: 30_000,
    defaultText: '30s',
    description:
      'Silence after which the system probes a client or a server, 10 times in 10 seconds; 0s:' +
      ' never',
    read: duration(0, 7_200_000),
  }),
  loginThrottleFailures: setting<number>({
    env: 'DBBOUNCER_LOGIN_THROTTLE_FAILURES',
    yaml: 'login_throttle.failures',
    default: 20,
    description:
      'Failed logins that an address has free within login_throttle.per, ten times as many a' +
      ' tenant; 0: no throttling',
    read: wholeNumber(0, 1_000_000),
  }),
  loginThrottlePerMs: setting<number>({
    env: 'DBBOUNCER_LOGIN_THROTTLE_PER',
    yaml: 'login_throttle.per',
    default: 60_000,
    defaultText: '1m',
    description: 'Within how long they are forgotten, one after the other',
    read: duration(1_000, 86_400_000),
  }),
  loginThrottleDelayMs: setting<number>({
    env: 'DBBOUNCER_LOGIN_THROTTLE_DELAY',
    yaml: 'login_throttle.delay',
    default: 500,
    defaultText: '500ms',
    description: 'How long the next login waits then; twice as long with each further failure',
    read: duration(1, 60_000),
  }),
  loginThrottleDelayMaxMs: setting<number>({
    env: 'DBBOUNCER_LOGIN_THROTTLE_DELAY_MAX',
    yaml: 'login_throttle.delay_max',
    default: 10_000,
    defaultText: '10s',
    description: 'How long it waits at most',
    read: duration(1, 60_000),
  }),
});
