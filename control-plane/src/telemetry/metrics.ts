/**
 * The control plane's own metrics: the fleet's connections summed over its reports, the event log,
 * the API, the process. Values are read when they are scraped. Owns: names and labels. Leaves: the
 * route to api/.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { RELOAD_OUTCOMES } from '../config-file/status.ts';
import type { ConfigFileFollower } from '../config-file/status.ts';
import type { ControlPlaneCore } from '../core.ts';
import { timestampMs } from '@dbbouncer/shared/kernel/clock.ts';
import { registerBudget } from './budget-metrics.ts';
import type { ConnectionTotals } from '../fleet/fleet-state.ts';

export type MetricsSource = Pick<
  ControlPlaneCore,
  'fleet' | 'tenants' | 'canaries' | 'status' | 'budget'
>;

export interface RequestFacts {
  readonly method: string;
  /** The pattern, never the path: ids must not become labels. */
  readonly route: string;
  readonly status: number;
  readonly durationMs: number;
}

const REQUEST_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const CONNECTIONS: Readonly<Record<keyof ConnectionTotals, string>> = Object.freeze({
  active: 'Server connections that serve a client, over all live proxies',
  idle: 'Server connections that wait for a client, over all live proxies',
  total: 'Server connections, over all live proxies',
  waiting: 'Clients in line for a server connection, over all live proxies',
});

export class ControlMetrics {
  readonly #registry = new Registry();
  readonly #requests: Histogram<'method' | 'route' | 'status'>;
  readonly #denied: Counter<'reason'>;

  /** @param configFile nothing where there is none. */
  constructor(source: MetricsSource, configFile?: Pick<ConfigFileFollower, 'status'>) {
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Histogram({
      name: 'dbbouncer_api_request_duration_seconds',
      help: 'Time from the first byte of a request to the end of its answer',
      labelNames: ['method', 'route', 'status'],
      buckets: REQUEST_BUCKETS_S,
      registers: [this.#registry],
    });
    this.#denied = new Counter({
      name: 'dbbouncer_api_denied_total',
      help: 'Requests that were denied, by reason; the log has each of them',
      labelNames: ['reason'],
      registers: [this.#registry],
    });
    registerConnections(this.#registry, source);
    registerEvents(this.#registry, source);
    registerFleet(this.#registry, source);
    registerBudget(this.#registry, source);
    registerCanaries(this.#registry, source);
    if (configFile !== undefined) registerConfigFile(this.#registry, configFile);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  observeRequest({ method, route, status, durationMs }: RequestFacts): void {
    this.#requests.observe({ method, route, status: String(status) }, durationMs / 1_000);
  }

  /** @param reason a word of a closed union. */
  countDenied(reason: string): void {
    this.#denied.inc({ reason });
  }

  /** All metrics in the Prometheus text format. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }
}

function registerConnections(registry: Registry, { fleet, tenants }: MetricsSource): void {
  for (const [state, help] of Object.entries(CONNECTIONS)) {
    new Gauge({
      name: `dbbouncer_connections_${state}`,
      help,
      labelNames: ['tenant', 'db_type'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [key, totals] of fleet.totalsByTenant()) {
          const config = tenants.getTenant(key)?.config;
          if (config === undefined) continue;
          const labels = { tenant: config.id, db_type: config.protocol };
          this.set(labels, totals[state as keyof ConnectionTotals]);
        }
      },
    });
  }
}

function registerEvents(registry: Registry, source: MetricsSource): void {
  const before = source.status().position;
  new Counter({
    name: 'dbbouncer_events_appended_total',
    help: 'Events appended since this process started',
    registers: [registry],
    collect() {
      this.reset();
      this.inc(source.status().position - before);
    },
  });
  gauge(registry, 'dbbouncer_event_position', 'Position of the last event in the log', () => {
    return source.status().position;
  });
  const readOnly = 'Whether the event log takes no changes: 1 while writes are refused, else 0';
  gauge(registry, 'dbbouncer_event_log_read_only', readOnly, () => {
    return source.status().writing.mode === 'read_only' ? 1 : 0;
  });
  const leads = 'Whether this control plane takes writes: 0 while it stands beside one that leads';
  gauge(registry, 'dbbouncer_control_plane_leads', leads, () => {
    const { replica } = source.status();
    return replica === undefined || replica.role === 'leading' ? 1 : 0;
  });
  gauge(registry, 'dbbouncer_term', 'Term of the control plane that wrote last', () => {
    return source.status().epoch;
  });
  gauge(registry, 'dbbouncer_published_position', 'Last position that proxies were told', () => {
    return source.status().publishedPosition;
  });
}

function registerFleet(registry: Registry, { fleet, tenants, status }: MetricsSource): void {
  gauge(registry, 'dbbouncer_tenants', 'Registered tenants', () => tenants.countTenants());
  gauge(registry, 'dbbouncer_proxies_lagging', 'Live proxies behind the published position', () => {
    return fleet.lagging(status().publishedPosition).length;
  });
  new Gauge({
    name: 'dbbouncer_proxies',
    help: 'Proxies heard of lately, by status',
    labelNames: ['status'],
    registers: [registry],
    collect() {
      const views = fleet.proxies();
      for (const status of ['live', 'lost'] as const) {
        this.set({ status }, views.filter((view) => view.status === status).length);
      }
    },
  });
}

function registerCanaries(registry: Registry, { canaries }: MetricsSource): void {
  const running = 'Changes of tenants that some proxies try now';
  gauge(registry, 'dbbouncer_canaries_running', running, () => canaries.size);
  new Counter({
    name: 'dbbouncer_canaries_ended_total',
    help: 'Changes that some proxies tried, by how it ended, since this process started',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [outcome, count] of Object.entries(canaries.ended)) this.inc({ outcome }, count);
    },
  });
}

function registerConfigFile(
  registry: Registry,
  configFile: Pick<ConfigFileFollower, 'status'>,
): void {
  gauge(
    registry,
    'dbbouncer_config_last_reload_successful',
    'Whether the config file is in force; 0: it is rejected or missing',
    () => (configFile.status().state === 'applied' ? 1 : 0),
  );
  gauge(
    registry,
    'dbbouncer_config_last_reload_success_timestamp_seconds',
    'When the config file was last read and in force',
    () => timestampMs(configFile.status().appliedAt ?? EPOCH) / 1_000,
  );
  gauge(
    registry,
    'dbbouncer_config_kept_tenants',
    'Tenants that are not as the config file says, since they were changed elsewhere',
    () => configFile.status().kept.tenants.length,
  );
  new Counter({
    name: 'dbbouncer_config_reloads_total',
    help: 'Readings of the config file, by outcome',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      const { reloads } = configFile.status();
      for (const outcome of RELOAD_OUTCOMES) this.inc({ outcome }, reloads[outcome]);
    },
  });
}

const EPOCH = '1970-01-01T00:00:00.000Z';

function gauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}
