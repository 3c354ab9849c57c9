/**
 * The proxy's metrics in Prometheus form. Nothing is kept here: every value is read where it is
 * counted, when asked.
 * Owns: the names, labels and help texts. Leaves: counting to the pools and tallies, HTTP to
 * http.ts.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text format 0.0.4, which
 * prom-client writes).
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { Gauge } from 'prom-client';
import { budgetMetrics } from './budget-metrics.ts';
import type { ReadBudget } from './budget-metrics.ts';
import { bufferMetrics } from './buffer-metrics.ts';
import type { ReadBuffers } from './buffer-metrics.ts';
import { byLabel, durationsOf, health, histogram, perTenant, plain, sum } from './metric-values.ts';
import type { Merge, MetricFamily, MetricType, Value } from './metric-values.ts';
import type { PoolTally, ReadPool } from './pool-tally.ts';
import type { SessionTally } from './session-tally.ts';

export interface MetricSources {
  readonly pools: PoolTally;
  readonly buffers: ReadBuffers;
  /** Undefined: there is none, each proxy has limits of its own. */
  readonly budget: ReadBudget | undefined;
  readonly sessions: SessionTally;
  /** Clients that are connected, those that still log in included. */
  readonly clients: () => number;
  readonly clientLimits: {
    readonly tenants: Iterable<{ readonly tenant: string; readonly count: number }>;
    readonly refused: ReadonlyMap<string, number>;
  };
  /** When the certificate shown to clients ends; nothing when there is none. */
  readonly certificateNotAfterMs: () => number | undefined;
  readonly feed: () => { readonly appliedPosition: number; readonly rejectedTotal: number };
}

export interface MetricsPage {
  readonly contentType: string;
  readonly text: string;
}

export class Metrics {
  readonly #sources: MetricSources;
  readonly #registry = new Registry();
  /** Pools are read once per page, so that its numbers fit together. */
  #pools: readonly ReadPool[] = [];

  constructor(sources: MetricSources) {
    this.#sources = sources;
    collectDefaultMetrics({ register: this.#registry });
    this.#registerPools();
    this.#registerSessions();
    this.#registerShared();
    this.#registerListening();
    this.#registerTls();
    const others = [...bufferMetrics(sources.buffers), ...budgetMetrics(sources.budget)];
    for (const { type, name, help, read } of others) {
      this.#add(type, name, help, read);
    }
    this.#registerProxy();
  }

  /** The page as of now. */
  async page(): Promise<MetricsPage> {
    this.#pools = this.#sources.pools.read();
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  /** What the page shows, to be merged with that of other workers: merged-metrics.ts. */
  async families(): Promise<readonly MetricFamily[]> {
    this.#pools = this.#sources.pools.read();
    return (await this.#registry.getMetricsAsJSON()) as unknown as readonly MetricFamily[];
  }

  /** Drops every series of a tenant that was removed. */
  forget(tenant: string): void {
    this.#sources.pools.forget(tenant);
    this.#sources.sessions.forget(tenant);
  }

  #registerPools(): void {
    const { pools } = this.#sources;
    for (const state of ['active', 'idle', 'kept', 'total', 'waiting'] as const) {
      const name = `dbbouncer_connections_${state}`;
      this.#add('gauge', name, CONNECTIONS_HELP[state], () =>
        perTenant(this.#pools, ({ reading }) => reading[state], sum),
      );
    }
    this.#add(
      'gauge',
      'dbbouncer_longest_wait_seconds',
      'How long the first client in line for a server connection has waited',
      () => perTenant(this.#pools, ({ reading }) => reading.longestWaitMs / 1_000, Math.max),
    );
    this.#add(
      'gauge',
      'dbbouncer_tenant_health',
      '0 while every pool of the tenant fails to connect, else 1; without a pool no value',
      () => health(this.#pools),
    );
    for (const [field, name, help] of TENANT_COUNTERS) {
      this.#add('counter', name, help, () =>
        Array.from(pools.tenants, (totals) => ({
          labels: { tenant: totals.tenant },
          value: totals[field],
        })),
      );
    }
    const waitsHelp = 'Clients that had to get in line for a server connection, by reason';
    this.#add('counter', 'dbbouncer_waits_total', waitsHelp, () => byLabel('reason', pools.waits));
    const closesHelp = 'Server connections that were closed, by reason';
    this.#add('counter', 'dbbouncer_server_closes_total', closesHelp, () =>
      byLabel('reason', pools.closes),
    );
  }

  #registerSessions(): void {
    const { sessions } = this.#sources;
    const durations = (name: string, help: string, of: 'queries' | 'acquires') =>
      this.#add('histogram', name, help, () =>
        Array.from(sessions.tenants).flatMap((tally) =>
          durationsOf(name, { tenant: tally.tenant, db_type: tally.protocol }, tally[of]),
        ),
      );
    durations('dbbouncer_query_duration_seconds', 'From query to its last reply', 'queries');
    durations(
      'dbbouncer_acquire_duration_seconds',
      'How long clients waited for a server connection',
      'acquires',
    );
    const pinsHelp = 'Sessions bound to their server connection in transaction mode, by reason';
    this.#add('counter', 'dbbouncer_session_pins_total', pinsHelp, () =>
      byLabel('reason', sessions.pins),
    );
    this.#registerClassifier();
    const resetsHelp = 'Server connections cleaned between clients, by outcome';
    this.#add('counter', 'dbbouncer_backend_resets_total', resetsHelp, () =>
      byLabel('status', sessions.resets),
    );
    this.#registerLeaks();
    const failuresHelp = 'Logins that failed, by reason';
    this.#add('counter', 'dbbouncer_auth_failures_total', failuresHelp, () =>
      byLabel('reason', sessions.authFailures),
    );
    const delaysHelp = 'Logins that had to wait because many had failed, by whose failures';
    this.#add('counter', 'dbbouncer_logins_delayed_total', delaysHelp, () =>
      byLabel('reason', sessions.loginDelays),
    );
    const cancelsHelp = 'Cancel requests of clients, by what became of them';
    this.#add('counter', 'dbbouncer_cancel_requests_total', cancelsHelp, () =>
      byLabel('outcome', sessions.cancelRequests),
    );
    const lookupsHelp = 'Users that were looked up by auth_query, by outcome';
    this.#add('counter', 'dbbouncer_auth_query_lookups_total', lookupsHelp, () =>
      byLabel('outcome', sessions.lookups),
    );
    const dirtyHelp = 'Clients that were gone with work under way';
    this.#add('counter', 'dbbouncer_dirty_disconnects_total', dirtyHelp, () =>
      plain(sessions.dirtyDisconnects),
    );
    const limitHelp = 'Clients that were ended, and statements that were cancelled, for their time';
    this.#add('counter', 'dbbouncer_time_limits_met_total', limitHelp, () =>
      byLabel('limit', sessions.timeLimits),
    );
  }

  #registerClassifier(): void {
    const { classifier } = this.#sources.sessions;
    const help = 'Batches by whether they may run beside those of other clients, and why not';
    this.#add('counter', 'dbbouncer_classifier_total', help, () =>
      Array.from(classifier.counts(), ([reason, value]) => {
        const verdict = reason === 'harmless' ? 'shared' : 'exclusive';
        return { labels: { verdict, reason }, value };
      }),
    );
  }

  #registerShared(): void {
    const { sessions } = this.#sources;
    const help = 'Batches that ran on a server connection beside those of other clients';
    this.#add('counter', 'dbbouncer_shared_batches_total', help, () =>
      Array.from(sessions.tenants, ({ tenant, sharedBatches }) => ({
        labels: { tenant },
        value: sharedBatches,
      })),
    );
    const depth = 'dbbouncer_shared_batch_depth';
    const depthHelp = 'Batches under way on their connection when one more was put there';
    this.#add('histogram', depth, depthHelp, () =>
      histogram(depth, {}, sessions.shared.cumulative(), sessions.shared.sum),
    );
    const resentHelp = 'Batches that were to be shared and were run by themselves, by reason';
    this.#add('counter', 'dbbouncer_shared_resent_total', resentHelp, () =>
      byLabel('reason', sessions.shared.returns),
    );
  }

  #registerListening(): void {
    const { sessions } = this.#sources;
    for (const [field, type, name, help] of LISTENING) {
      this.#add(type, name, help, () =>
        Array.from(sessions.tenants, ({ tenant, listening }) => ({
          labels: { tenant },
          value: listening[field],
        })),
      );
    }
    const endsHelp = 'Clients that were ended because they listened, by reason';
    this.#add('counter', 'dbbouncer_listening_clients_ended_total', endsHelp, () =>
      byLabel('reason', sessions.listeningEnds),
    );
  }

  #registerLeaks(): void {
    const { sessions } = this.#sources;
    const inspectionsHelp = 'Server connections looked at for what clients have left on them';
    this.#add('counter', 'dbbouncer_state_inspections_total', inspectionsHelp, () =>
      plain(sessions.inspections),
    );
    const leaksHelp = 'Those that counted as clean and were not, by what was there';
    this.#add('counter', 'dbbouncer_state_leaks_total', leaksHelp, () =>
      byLabel('kind', sessions.leaks),
    );
  }

  #registerTls(): void {
    const { sessions, certificateNotAfterMs } = this.#sources;
    this.#add(
      'gauge',
      'dbbouncer_tls_clients',
      'Connected clients whose connection is encrypted',
      () => plain(sessions.tlsClients),
    );
    this.#add('counter', 'dbbouncer_tls_handshakes_total', 'TLS handshakes with clients', () =>
      plain(sessions.tlsHandshakes),
    );
    const failuresHelp = 'TLS handshakes with clients that failed, by reason';
    this.#add('counter', 'dbbouncer_tls_handshake_failures_total', failuresHelp, () =>
      byLabel('reason', sessions.tlsFailures),
    );
    const endsHelp = 'When the certificate shown to clients ends, in seconds since 1970';
    this.#add('gauge', 'dbbouncer_tls_certificate_not_after_seconds', endsHelp, () => {
      const notAfterMs = certificateNotAfterMs();
      return notAfterMs === undefined ? [] : plain(notAfterMs / 1_000);
    });
  }

  #registerClientLimits(): void {
    const { clientLimits } = this.#sources;
    const clientsHelp = 'Clients that are logged in, by tenant';
    this.#add('gauge', 'dbbouncer_tenant_clients', clientsHelp, () =>
      Array.from(clientLimits.tenants, ({ tenant, count }) => ({
        labels: { tenant },
        value: count,
      })),
    );
    const refusedHelp = 'Clients refused because there were as many as allowed, by whose limit';
    this.#add('counter', 'dbbouncer_clients_refused_total', refusedHelp, () =>
      byLabel('limit', clientLimits.refused),
    );
  }

  #registerProxy(): void {
    const { clients, feed } = this.#sources;
    const add = (type: MetricType, name: string, help: string, read: () => number) =>
      this.#add(type, name, help, () => plain(read()));
    add('gauge', 'dbbouncer_clients', 'Connected clients', clients);
    this.#registerClientLimits();
    add(
      'gauge',
      'dbbouncer_applied_position',
      'The last event the served config contains',
      () => feed().appliedPosition,
    );
    add(
      'counter',
      'dbbouncer_rejected_total',
      'Config deltas and snapshots that were not applied',
      () => feed().rejectedTotal,
    );
  }

  /**
   * prom-client's own metrics keep values of their own; the registry asks no more of one than this.
   */
  #add(type: MetricType, name: string, help: string, read: () => readonly Value[]): void {
    const head = { name, help, type, aggregator: MERGES[name] ?? 'sum' };
    const metric = { ...head, get: async () => ({ ...head, values: read() }), reset: () => {} };
    this.#registry.registerMetric(metric as unknown as Gauge);
  }
}

/** Of what several workers have to say, where it is not the sum. */
const MERGES: Readonly<Record<string, Merge>> = Object.freeze({
  dbbouncer_longest_wait_seconds: 'max',
  dbbouncer_tenant_health: 'max',
  dbbouncer_applied_position: 'min',
  dbbouncer_tls_certificate_not_after_seconds: 'min',
});

const CONNECTIONS_HELP = Object.freeze({
  active: 'Server connections leased to clients',
  idle: 'Server connections that wait for a client',
  kept: 'Server connections that serve many clients together: they listen, or run shared reads',
  total: 'Server connections in any state, opening and closing ones included',
  waiting: 'Clients in line for a server connection',
});

const LISTENING = [
  [
    'clients',
    'gauge',
    'dbbouncer_listening_clients',
    'Clients that listen over a server connection they share',
  ],
  ['channels', 'gauge', 'dbbouncer_listening_channels', 'Different channels they listen on'],
  [
    'delivered',
    'counter',
    'dbbouncer_notifications_delivered_total',
    'Notifications passed on to clients that listen so',
  ],
  [
    'lost',
    'counter',
    'dbbouncer_listeners_lost_total',
    'Shared listener connections that were lost while clients listened',
  ],
] as const;

const TENANT_COUNTERS = [
  [
    'exhausted',
    'dbbouncer_pool_exhausted_total',
    'Clients that had to wait because the tenant had as many server connections as it may have',
  ],
  [
    'acquireTimeouts',
    'dbbouncer_acquire_timeouts_total',
    'Clients that got no server connection within acquire_timeout',
  ],
  ['queueFull', 'dbbouncer_queue_full_total', 'Clients refused because the line was full'],
  ['dialFailures', 'dbbouncer_dial_failures_total', 'Server connections that could not be opened'],
] as const;
