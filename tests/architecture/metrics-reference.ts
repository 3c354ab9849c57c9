/**
 * The tables of docs/metrics.md, read off the registries of both planes after something of each
 * kind has been counted, and the words of their labels.
 */
import { Allocator } from '@dbbouncer/control-plane/budget/allocator.ts';
import { CommandQueue } from '@dbbouncer/control-plane/commands/command-queue.ts';
import { LocalKeeping } from '@dbbouncer/control-plane/commands/local-keeping.ts';
import { WriteGate } from '@dbbouncer/control-plane/commands/write-gate.ts';
import type { ConfigFileStatus } from '@dbbouncer/control-plane/config-file/status.ts';
import { sampleTenant } from '@dbbouncer/control-plane/domain/given-when-then.ts';
import { FleetState } from '@dbbouncer/control-plane/fleet/fleet-state.ts';
import { projectViews } from '@dbbouncer/control-plane/projections/tenant-views.ts';
import { createMemoryEventStore } from '@dbbouncer/control-plane/store/memory-event-store.ts';
import { ControlMetrics } from '@dbbouncer/control-plane/telemetry/metrics.ts';
import type { ClientLimit } from '@dbbouncer/data-plane/session/client-limits.ts';
import type {
  AuthFailure,
  CancelOutcome,
  HandshakeFailure,
  ListeningEnd,
  LookupOutcome,
  LeakKind,
  PinReason,
  ResetStatus,
  ThrottleReason,
  TimeLimit,
} from '@dbbouncer/data-plane/session/meter.ts';
import { Metrics } from '@dbbouncer/data-plane/telemetry/metrics.ts';
import { MergedMetrics } from '@dbbouncer/data-plane/telemetry/merged-metrics.ts';
import { SupervisorMetrics } from '@dbbouncer/data-plane/telemetry/supervisor-metrics.ts';
import type { WorkerEnd } from '@dbbouncer/data-plane/workers/worker-life.ts';
import { PoolTally } from '@dbbouncer/data-plane/telemetry/pool-tally.ts';
import { SessionTally } from '@dbbouncer/data-plane/telemetry/session-tally.ts';
import { FakePool } from '@dbbouncer/data-plane/telemetry/testing.ts';
import type { WaitReason } from '@dbbouncer/data-plane/pool/wait-reason.ts';
import type { CloseReason } from '@dbbouncer/data-plane/upstream/upstream.ts';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { code, markdownTable } from './document-parts.ts';

export interface MetricLine {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}

/** The project's own metrics on a page in the Prometheus text format. */
export function ownMetrics(page: string): readonly MetricLine[] {
  const heads = page.matchAll(/^# HELP (dbbouncer_\w+) (.*)\n# TYPE \1 (\w+)$/gm);
  return Array.from(heads, ([, name = '', help = '', type = '']) => {
    const series = new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} `, 'm').exec(page);
    const labels = Array.from((series?.[1] ?? '').matchAll(/(\w+)="/g), ([, label = '']) => label);
    return { name, help, type, labels: labels.filter((label) => label !== 'le') };
  });
}

/** What a proxy exports that has one tenant, and has seen every kind of event once. */
export async function proxyPage(): Promise<string> {
  const sessions = new SessionTally();
  const tenant = sessions.tenant('acme', 'postgres');
  tenant.queryFinished(0.001);
  tenant.acquired(0);
  tenant.pinned('set');
  tenant.authFailed('wrong_password');
  tenant.userLookedUp('found');
  tenant.backendReset('clean');
  tenant.timeLimitMet('query');
  tenant.stateLeaked('parameter');
  sessions.loginDelayed('address');
  sessions.cancelRequested('found');
  tenant.listeningEnded('backlog');
  sessions.tlsBegan();
  sessions.tlsFailed('malformed');
  const pool = new FakePool('acme', {
    counters: { waits: { pool_full: 1 }, closes: { idle_timeout: 1 } },
  });
  const metrics = new Metrics({
    pools: new PoolTally(() => [pool]),
    buffers: {
      counts: { gets: 1, misses: 1, returns: 0, discards: 0 },
      freeBytes: 0,
      takenBytes: 1,
    },
    budget: {
      tenants: () => [{ tenant: 'acme', cap: 2, limit: 2, floor: 1, held: 1 }],
      standing: 'leased',
      leaseAgeMs: 500,
      floorOneTotal: 0,
    },
    sessions,
    clients: () => 1,
    clientLimits: { tenants: [{ tenant: 'acme', count: 1 }], refused: new Map([['tenant', 1]]) },
    certificateNotAfterMs: () => 0,
    feed: () => ({ appliedPosition: 1, rejectedTotal: 0 }),
  });
  return (await metrics.page()).text;
}

/** What a supervisor adds that has one worker, and has seen the end of one. */
export async function supervisorPage(): Promise<string> {
  const metrics = new SupervisorMetrics({
    workers: () => [{ state: 'serving', proxyId: 'p-1', condition: { clients: 1 } }],
    delaysMs: () => [0],
  });
  metrics.ended('crashed');
  const families = metrics.own();
  return (await new MergedMetrics(systemClock).page([{ worker: 'supervisor', families }])).text;
}

/** What a control plane exports that has one tenant and one proxy, and has answered a request. */
export async function controlPage(): Promise<string> {
  const store = createMemoryEventStore({ clock: systemClock, project: projectViews });
  const config = sampleTenant();
  const meta = { actor: 'api', requestId: '1' };
  const tryWriting = () => store.tryWriting();
  const gate = new WriteGate({ tryWriting, clock: systemClock, log: silentLogger });
  await new CommandQueue(store, new LocalKeeping(store, gate)).handle(
    { kind: 'register_tenant', origin: 'api', tenant: config },
    meta,
  );
  const fleet = new FleetState(() => systemClock.nowMs());
  fleet.receive(reportOn(config.id));
  const status = () => ({
    position: store.head(),
    epoch: store.epoch,
    writing: gate.state,
    busStatus: 'connected' as const,
    publishedPosition: store.head(),
    deltas: { phase: 'tailing' as const, position: store.head() },
    events: { phase: 'off' as const, position: 0 },
    snapshotPosition: undefined,
    replica: undefined,
  });
  const canaries = {
    size: 0,
    ended: { promoted: 1, rolled_back: 1 },
    evidence: () => undefined,
  };
  const budget = { allocator: blockedBudget(config.id), forget: () => 'unknown' as const };
  const source = { fleet, tenants: store, canaries, budget, status };
  const metrics = new ControlMetrics(source, { status: configFile });
  metrics.observeRequest({ method: 'GET', route: '/tenants', status: 200, durationMs: 1 });
  return metrics.render();
}

/** A member has not been heard, and a tenant waits for it. */
function blockedBudget(tenant: TenantId): Allocator {
  const budget = { id: tenant, maxConnections: 5, base: 5, changedAt: 1, server: undefined };
  const allocator = new Allocator({
    term: 1,
    config: { position: 1, get: () => budget, onServers: () => [] },
    fleet: {
      members: [{ proxy: 'p-1' as ProxyId, life: 1, divisor: 1, appliedPosition: 1 }],
      areAll: 'surely',
    },
    expectedProxies: undefined,
    proxyLostAfterMs: 5_000,
    nowMs: 0,
  });
  allocator.books.tenant(tenant);
  return allocator;
}

function configFile(): ConfigFileStatus {
  return {
    path: 'dbbouncer.yaml',
    state: 'applied',
    checkedAt: systemClock.timestamp(),
    appliedAt: undefined,
    appliedContent: undefined,
    problems: [],
    kept: { tenants: [], servers: [], defaults: false },
    waitingSettings: [],
    reloads: { applied: 1, unchanged: 0, rejected: 0, missing: 0 },
  };
}

function reportOn(tenant: string): ProxyReport {
  const timestamp = systemClock.timestamp();
  const identity = { tenant, protocol: 'postgres', database: 'shop', user: 'app' } as const;
  return {
    proxy: 'p-1' as ProxyId,
    version: '1.0.0',
    startedAt: timestamp,
    sentAt: timestamp,
    epoch: 1,
    appliedPosition: 1,
    clients: 0,
    pools: [{ ...identity, active: 0, idle: 1, total: 1, waiting: 0, longestWaitMs: 0 }],
  };
}

export function metricsTable(page: string): string {
  const rows = ownMetrics(page).map(({ name, type, labels, help }) => [
    code(name),
    type,
    labels.map(code).join(' '),
    help,
  ]);
  return markdownTable(['Metric', 'Type', 'Labels', 'What it says'], rows);
}

/** Why a session keeps its server connection in transaction mode. */
const PINS: Readonly<Record<PinReason, string>> = Object.freeze({
  named_statement: 'a prepared statement with a name (Parse)',
  sql_prepare: 'PREPARE',
  set: 'more parameters are set than are carried over',
  random_seed: 'setseed, SET seed',
  set_unparsable: 'a parameter was set, and which is not certain (set_config)',
  session_authorization: 'SET SESSION AUTHORIZATION',
  temp_object: 'a temporary table, view or sequence',
  hold_cursor: 'DECLARE … WITH HOLD',
  advisory_lock: 'a session advisory lock',
  listen: 'LISTEN where clients do not share a connection for it',
  load: 'LOAD',
  unparsable: 'a text that is not understood, or longer than is read',
  unnamed_statement: 'not in this version',
  replication: 'not in this version: replication connections are refused',
});

const LEAKS: Readonly<Record<LeakKind, string>> = Object.freeze({
  parameter: 'a parameter with another value than its login gave, or its client had set',
  custom_parameter: 'the same of a parameter with a dot in its name, if any text has named it',
  role: 'SET ROLE',
  session_authorization: 'SET SESSION AUTHORIZATION',
  temp_object: 'a temporary table, view, sequence, function or type',
  hold_cursor: 'a cursor WITH HOLD',
  prepared_statement: 'a prepared statement that the proxy does not know of',
  advisory_lock: 'a session advisory lock',
  listen: 'a channel',
  sequence: 'a last value of a sequence (`lastval`)',
});

const CLOSES: Readonly<Record<CloseReason, string>> = Object.freeze({
  idle_timeout: 'not used for `idle_timeout`',
  reserve_unused: 'it was opened from `reserve_connections`, and not used for `reserve_timeout`',
  max_lifetime: 'older than `max_lifetime`',
  max_queries: 'it has answered `max_queries` queries',
  over_limit: 'more than `max_connections` after the limit was lowered',
  evicted: 'another database of the tenant needed the slot',
  pool_drained: 'the tenant was changed or removed',
  reset_failed: 'it could not be cleaned or given the session parameters of its client',
  check_failed: 'its server did not answer when asked after `server_check_delay`',
  server_gone: 'the server closed it',
  protocol_error: 'the server sent what the protocol does not allow',
  client_gone: 'its client vanished and the statement could not be brought to an end',
  suspect_state: 'its replies could no longer be counted with certainty',
  paused: 'its tenant was paused',
  shutdown: 'the proxy ended',
});

const AUTH_FAILURES: Readonly<Record<AuthFailure, string>> = Object.freeze({
  throttled: 'many logins have failed, and too many more wait for their turn already',
  proxy_header: 'a trusted load balancer sent no PROXY protocol header, or a broken one',
  access_refused: "the tenant's access rules do not let in an authenticated user from there",
  wrong_password: 'right tenant and user, wrong password',
  unknown_user: 'the tenant has no such user',
  lookup_failed: "the tenant's database could not be asked for the user (`auth_query`)",
  unknown_tenant: 'no tenant of that id on this protocol',
  no_selector: 'nothing in the login names a tenant',
  selector_conflict: 'two selectors name different tenants',
  database_not_listed: 'the tenant has no such database',
  secret_unavailable: "the tenant's password cannot be opened on this proxy",
  method_refused: 'what is stored of the password does not allow `client_auth`',
  tls_required: 'without TLS, and `tls_mode` demands it',
  certificate_missing: 'without a client certificate, and `tls_mode` demands one',
  certificate_invalid: 'the client certificate has expired or is of another authority',
  certificate_user: 'the client certificate does not stand for the user',
  timeout: 'not logged in within `client_login_timeout`',
  malformed: 'bytes that are no login',
});

const DELAYS: Readonly<Record<ThrottleReason, string>> = Object.freeze({
  address: 'of its address, at any tenant',
  tenant: 'at its tenant, from any address',
  known_client: 'of its address at this tenant, where somebody from there has logged in before',
});

const CANCEL_REQUESTS: Readonly<Record<CancelOutcome, string>> = Object.freeze({
  found: 'its session was told',
  forwarded: 'its session is at another proxy, and was told there',
  unknown_key: 'no session has the key: it has ended, or the key was guessed',
  throttled:
    'not looked at: its address has shown too many keys that nobody has, or other proxies' +
    ' are being asked for 100 at once',
});

const RESETS: Readonly<Record<ResetStatus, string>> = Object.freeze({
  clean: 'DISCARD ALL succeeded, after a ROLLBACK where a transaction was open',
  failed: 'it did not, and the connection was closed',
});

const HANDSHAKE_FAILURES: Readonly<Record<HandshakeFailure, string>> = Object.freeze({
  client_gone: 'the client closed the connection, or took too long',
  refused_by_client: 'the client did not accept the certificate, or something else of ours',
  version: 'no version of TLS in common (`tls_min_version`)',
  cipher: 'no cipher in common',
  protocol: 'the client named other protocols than `postgresql` by ALPN',
  malformed: 'the bytes are not TLS',
});

const CLIENT_LIMITS: Readonly<Record<ClientLimit, string>> = Object.freeze({
  proxy: '`listen.max_client_connections`, over all tenants and logins under way',
  tenant: '`max_client_connections` of the tenant',
  user: '`max_client_connections` of the user',
});

const WAITS: Readonly<Record<WaitReason, string>> = Object.freeze({
  pool_full: 'the tenant has `max_connections`, or all of them but the reserve',
  budget: 'this proxy has its part of `max_connections`, which holds over all proxies',
  draining:
    'as `pool_full`; some of them are of a former configuration and end with their transactions',
  connecting: 'server connections are being opened or cleaned',
  login_failing: 'the database server cannot be reached or refuses the login',
  paused: 'the tenant is paused',
});

const TIME_LIMITS: Readonly<Record<TimeLimit, string>> = Object.freeze({
  client_idle: 'client_idle_timeout: the client was ended',
  idle_in_transaction: 'idle_in_transaction_timeout: the client was ended',
  transaction: 'transaction_timeout: the client was ended',
  query: 'query_timeout: the statement was cancelled',
  cancel_wait: 'cancel_wait_timeout after that: the client was ended, its connection closed',
  slow_client: 'slow_client_timeout: the client was ended',
});

const LOOKUPS: Readonly<Record<LookupOutcome, string>> = Object.freeze({
  cached: 'an earlier answer still holds',
  found: 'the database was asked, and has the user',
  missing: 'the database was asked, and has no such user, or one without a valid password',
  failed: 'the database could not be asked, or its answer was not usable',
});

const LISTENING_ENDS: Readonly<Record<ListeningEnd, string>> = Object.freeze({
  listener_lost:
    'the connection on which notifications are heard was lost, or could not move along',
  backlog: 'as many notifications waited for it as may',
});

const WORKER_ENDS: Readonly<Record<WorkerEnd, string>> = Object.freeze({
  replaced: 'told to, because another has taken its place (SIGUSR2)',
  shutdown: 'told to, because all end',
  overdue: 'told to, not gone 8 s after `shutdown_timeout`, and killed',
  unresponsive: 'no sign of life for `worker_heartbeat_timeout`, and killed',
  not_started: 'it could not start, or did not serve in time; its log says why',
  left: 'in order, by itself: somebody sent it SIGTERM',
  crashed: 'anything else: an error nobody caught, a signal, no memory',
});

/** Label values by metric. */
const REASONS: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['dbbouncer_session_pins_total', PINS],
  ['dbbouncer_waits_total', WAITS],
  ['dbbouncer_server_closes_total', CLOSES],
  ['dbbouncer_auth_failures_total', AUTH_FAILURES],
  ['dbbouncer_auth_query_lookups_total', LOOKUPS],
  ['dbbouncer_tls_handshake_failures_total', HANDSHAKE_FAILURES],
  ['dbbouncer_logins_delayed_total', DELAYS],
  ['dbbouncer_cancel_requests_total', CANCEL_REQUESTS],
  ['dbbouncer_backend_resets_total', RESETS],
  ['dbbouncer_time_limits_met_total', TIME_LIMITS],
  ['dbbouncer_clients_refused_total', CLIENT_LIMITS],
  ['dbbouncer_listening_clients_ended_total', LISTENING_ENDS],
  ['dbbouncer_state_leaks_total', LEAKS],
  ['dbbouncer_worker_ends_total', WORKER_ENDS],
];

export function reasonTables(): string {
  return REASONS.map(([metric, reasons]) => {
    const rows = Object.entries(reasons).map(([reason, text]) => [code(reason), text]);
    return `### \`${metric}\`\n\n${markdownTable(['Label', 'When'], rows)}`;
  }).join('\n\n');
}
