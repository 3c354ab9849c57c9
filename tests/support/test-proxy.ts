/**
 * A real proxy in this process, fed over the in-process bus as a control plane would, for tests of
 * the data plane.
 * Owns: its config, its temporary folder, waiting for what it reports.
 * Leaves: databases to the caller.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProxy } from '@dbbouncer/data-plane/app.ts';
import type { RunningProxy } from '@dbbouncer/data-plane/app.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { applyDelta, encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigChange } from '@dbbouncer/shared/contract/config-delta.ts';
import { encodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import { proxyReportSchema } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ProxyReport } from '@dbbouncer/shared/contract/proxy-report.ts';
import { effectivePool, EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import type { AuthQuery } from '@dbbouncer/shared/contract/auth-query.ts';
import type { PoolOverrides } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { decodeProbeAnswer, encodeProbe } from '@dbbouncer/shared/contract/server-probe.ts';
import type { ProbeAnswer } from '@dbbouncer/shared/contract/server-probe.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import type { TenantUser } from '@dbbouncer/shared/contract/tenant-users.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { operated, operationsOf } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';

/** Passwords in clear here, references in the config. */
export type TestUser = Omit<TenantUser, 'password' | 'serverPassword'> & {
  readonly password?: string;
  readonly serverPassword?: string;
};
export type TestAuthQuery = Partial<Omit<AuthQuery, 'password'>> & { readonly password?: string };

/** A tenant as tests name it; its password is handed to the proxy as an environment variable. */
export interface TestTenant {
  readonly id: string;
  /** Default: 127.0.0.1. */
  readonly host?: string;
  readonly port: number;
  readonly database: string;
  readonly databases?: readonly string[];
  readonly username: string;
  readonly password: string;
  readonly pool?: PoolOverrides;
  readonly access?: TenantConfig['access'];
  readonly initSql?: string;
  readonly serverTls?: TenantConfig['serverTls'];
  readonly users?: readonly TestUser[];
  readonly authQuery?: TestAuthQuery;
}

export interface TestProxyOptions {
  readonly tenants: readonly TestTenant[];
  /** Settings as environment variables, such as DBBOUNCER_CLIENT_LOGIN_TIMEOUT. */
  readonly env?: Readonly<Record<string, string>>;
  /** Environment variables that secrets of tenants refer to, besides their passwords. */
  readonly secrets?: Readonly<Record<string, string>>;
  readonly log?: Logger;
  /** Its data folder, which outlives it; default: one of its own, which does not. */
  readonly dir?: string;
}

const REPORT_TIMEOUT_MS = 10_000;
/** Ten times as often as in service: what tests wait for is seen that much sooner. */
const REPORT_INTERVAL_MS = 100;

interface TestProxyParts {
  readonly bus: Bus;
  readonly ownDir: string | undefined;
  readonly passwords: Map<string, string>;
  readonly config: RoutingConfig;
}

export class TestProxy {
  readonly host = '127.0.0.1';
  readonly #passwords: Map<string, string>;
  readonly #bus: Bus;
  readonly #proxy: RunningProxy;
  readonly #ownDir: string | undefined;
  #config: RoutingConfig;

  private constructor(proxy: RunningProxy, parts: TestProxyParts) {
    this.#proxy = proxy;
    this.#bus = parts.bus;
    this.#ownDir = parts.ownDir;
    this.#passwords = parts.passwords;
    this.#config = parts.config;
  }

  static async start(options: TestProxyOptions): Promise<TestProxy> {
    const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'dbbouncer-test-proxy-')));
    const bus = createMemoryBus();
    const passwords = new Map<string, string>(Object.entries(options.secrets ?? {}));
    const log = options.log ?? silentLogger;
    const { settings } = resolveSettings({
      flags: { dataDir: dir, host: '127.0.0.1', postgresPort: '0', metricsPort: '0' },
      env: {
        DBBOUNCER_MASTER_KEY: 'a master key for tests only',
        // No control plane deals out a budget here, unless a test plays it.
        DBBOUNCER_FLEET_BUDGET: 'per_proxy',
        ...options.env,
      },
      cwd: dir,
    });
    // Before the proxy asks for it: it waits a second where there is none.
    const config = await publishFirst(bus, options.tenants, passwords);
    const proxy = await startProxy(settings, {
      bus,
      busReach: 'private',
      clock: systemClock,
      log,
      readEnv: (name) => passwords.get(name),
      version: 'test',
      reportIntervalMs: REPORT_INTERVAL_MS,
    });
    await proxy.whenReady;
    const ownDir = options.dir === undefined ? dir : undefined;
    return new TestProxy(proxy, { bus, ownDir, passwords, config });
  }

  get port(): number {
    return this.#proxy.postgresPort;
  }

  get proxyId(): ProxyId {
    return this.#proxy.proxyId;
  }

  /** On which the test is its control plane. */
  get bus(): Bus {
    return this.#bus;
  }

  get metricsUrl(): string {
    return `http://127.0.0.1:${this.#proxy.metricsPort}/metrics`;
  }

  /** Registers or replaces a tenant and waits until the proxy serves it. */
  async setTenant(tenant: TestTenant): Promise<void> {
    await this.#change([tenantSet(tenant, this.#passwords)]);
  }

  /** Does what an operator asks for, as the control plane would tell it. */
  async operate(id: string, operation: TenantOperation): Promise<void> {
    const tenant = this.#config.tenants.get(tenantKey(id));
    if (tenant === undefined) throw new Error(`there is no tenant "${id}"`);
    const operations = operated(operationsOf(tenant), operation);
    await this.#change([{ kind: 'tenant_set', tenant: { ...tenant, operations } }]);
  }

  /** Changes pool settings of a tenant that stays otherwise as it is, its pools included. */
  async setPool(id: string, pool: PoolOverrides): Promise<void> {
    const tenant = this.#config.tenants.get(tenantKey(id));
    if (tenant === undefined) throw new Error(`there is no tenant "${id}"`);
    const changed = { ...tenant, pool: { ...tenant.pool, ...pool } };
    await this.#change([{ kind: 'tenant_set', tenant: changed }]);
  }

  async removeTenant(id: string): Promise<void> {
    await this.#change([{ kind: 'tenant_removed', id: id as TenantId }]);
  }

  async #change(changes: readonly ConfigChange[]): Promise<void> {
    const { position } = this.#config;
    const delta = { epoch: 1, from: position, to: position + 1, changes: [...changes] };
    const config = applyDelta(this.#config, delta);
    if (typeof config === 'string') throw new Error(`a change does not apply: ${config}`);
    this.#config = config;
    const data = new TextEncoder().encode(encodeDelta(delta));
    const applied = this.report((report) => report.appliedPosition >= delta.to);
    await this.#bus.log(CONFIG_LOG).append(`test-${delta.to}`, data);
    await applied;
  }

  /** What the proxy says of connecting as `tenant`, which need not be one of its tenants. */
  async probe(
    tenant: TestTenant,
    asked: { readonly timeoutMs?: number; readonly protocol?: TenantConfig['protocol'] } = {},
  ): Promise<ProbeAnswer> {
    const { timeoutMs = 5_000, protocol = 'postgres' } = asked;
    const config = { ...tenantConfig(tenant, this.#passwords), protocol };
    const settings = effectivePool(this.#config, config);
    const request = encodeProbe({ tenant: config, settings, timeoutMs });
    const subject = SUBJECTS.probe(this.#proxy.proxyId);
    return decodeProbeAnswer(await this.#bus.request(subject, request, timeoutMs + 5_000));
  }

  /** The first report from now on that `fits`. @throws after `withinMs`, with the last report */
  report(
    fits: (report: ProxyReport) => boolean,
    withinMs = REPORT_TIMEOUT_MS,
  ): Promise<ProxyReport> {
    return new Promise((resolve, reject) => {
      let last: ProxyReport | undefined;
      const timer = setTimeout(() => {
        subscription.close();
        reject(new Error(`no report fits; the last one: ${JSON.stringify(last)}`));
      }, withinMs);
      const subscription = this.#bus.subscribe(SUBJECTS.reports, (data) => {
        last = proxyReportSchema.parse(JSON.parse(new TextDecoder().decode(data)));
        if (!fits(last)) return;
        clearTimeout(timer);
        subscription.close();
        resolve(last);
      });
    });
  }

  /** Waits until no client is connected, no lease is held and nobody is in line. */
  atRest(withinMs?: number): Promise<ProxyReport> {
    return this.report(
      ({ clients, pools }) =>
        clients === 0 && pools.every(({ active, waiting }) => active === 0 && waiting === 0),
      withinMs,
    );
  }

  /** What it has found on server connections that should have been clean, as lines of metrics. */
  async leaks(): Promise<readonly string[]> {
    const page = await (await fetch(this.metricsUrl)).text();
    return page.split('\n').filter((line) => line.startsWith('dbbouncer_state_leaks_total{'));
  }

  /** @throws AssertionError when a client has left something on a server connection. */
  async stop(leaks: 'forbidden' | 'expected' = 'forbidden'): Promise<void> {
    const found = leaks === 'forbidden' ? await this.leaks() : [];
    await this.#end();
    assert.deepEqual(found, [], 'clients have left something on server connections');
  }

  async #end(): Promise<void> {
    await this.#proxy.stop();
    await this.#bus.close();
    if (this.#ownDir !== undefined) await rm(this.#ownDir, { recursive: true, force: true });
  }
}

let passwordCount = 0;

/** Where a proxy that starts looks first. */
async function publishFirst(
  bus: Bus,
  tenants: readonly TestTenant[],
  passwords: Map<string, string>,
): Promise<RoutingConfig> {
  const changes = tenants.map((tenant) => tenantSet(tenant, passwords));
  const config = applyDelta(EMPTY_CONFIG, { epoch: 1, from: 0, to: 1, changes });
  if (typeof config === 'string') throw new Error(`the first config does not apply: ${config}`);
  const { createdAt } = await bus.log(CONFIG_LOG).state();
  const snapshot = encodeSnapshot({ logCreatedAt: createdAt, logSequence: 0, config });
  const data = new TextEncoder().encode(snapshot);
  await bus.objects(SUBJECTS.snapshotBucket).put(SUBJECTS.snapshotObject, data);
  return config;
}

function tenantSet(tenant: TestTenant, passwords: Map<string, string>): ConfigChange {
  return { kind: 'tenant_set', tenant: tenantConfig(tenant, passwords) };
}

function tenantConfig(tenant: TestTenant, passwords: Map<string, string>): TenantConfig {
  const secret = (password: string): Secret => {
    const name = `TEST_PASSWORD_${passwordCount++}`;
    passwords.set(name, password);
    return { kind: 'env', name };
  };
  const { users, authQuery } = tenant;
  return {
    id: tenant.id as TenantId,
    protocol: 'postgres',
    host: tenant.host ?? '127.0.0.1',
    port: tenant.port,
    database: tenant.database,
    databases: [...(tenant.databases ?? [])],
    username: tenant.username,
    password: secret(tenant.password),
    pool: { leakDetector: 'all', ...tenant.pool },
    access: tenant.access,
    initSql: tenant.initSql,
    serverTls: tenant.serverTls,
    ...(users && { users: users.map((user) => withSecrets(user, secret)) }),
    ...(authQuery && {
      authQuery: { cacheTtlMs: 60_000, negativeTtlMs: 5_000, ...withSecrets(authQuery, secret) },
    }),
  };
}

function withSecrets<T extends { readonly password?: string; readonly serverPassword?: string }>(
  { password, serverPassword, ...rest }: T,
  secret: (password: string) => Secret,
) {
  return {
    ...rest,
    ...(password !== undefined && { password: secret(password) }),
    ...(serverPassword !== undefined && { serverPassword: secret(serverPassword) }),
  };
}
