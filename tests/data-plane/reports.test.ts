/**
 * What a proxy reports, with a real server behind it: what its clients did and read, how busy it
 * is, and how dials go.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { MergedLatencies } from '@dbbouncer/shared/contract/latency-histogram.ts';
import type { ProxyReport, TenantActivity } from '@dbbouncer/shared/contract/proxy-report.ts';
import { eventually } from '../support/eventually.ts';
import { query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'reports secret';
let cluster: PostgresCluster;
let proxy: TestProxy;

const tenant = (id: string, pool = {}) => ({
  id,
  port: cluster.port,
  database: 'postgres',
  username: 'postgres',
  password: PASSWORD,
  pool: { poolMode: 'transaction', maxConnections: 1, minConnections: 0, ...pool } as const,
});

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const tenants = [tenant('acme'), tenant('tight')];
  proxy = await TestProxy.start({ tenants });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connect = (database: string) =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database });

async function ask(client: RawClient, sql: string): Promise<void> {
  client.send(query(sql));
  await client.until('Z');
}

const activityIn = ({ tenants = [] }: ProxyReport, id: string) =>
  tenants.find((activity) => activity.tenant === id);

/** The first that is told of it and fits. */
async function activity(id: string, fits: (told: TenantActivity) => boolean) {
  const report = await proxy.report((sent) => {
    const told = activityIn(sent, id);
    return told !== undefined && fits(told);
  });
  return activityIn(report, id) as TenantActivity;
}

const percentile = (counts: TenantActivity['queryTimes'], share: number) => {
  const merged = new MergedLatencies();
  merged.add(counts ?? []);
  return merged.percentileMs(share) ?? Number.NaN;
};

describe('a report', () => {
  it('counts queries, transactions, server errors and pins, and how long all took', async () => {
    const client = await connect('acme');
    for (let n = 0; n < 8; n++) await ask(client, `SELECT ${n}`);
    await ask(client, 'SELECT 1/0');
    await ask(client, 'SELECT pg_sleep(0.2)');
    await ask(client, 'CREATE TEMP TABLE held (a int)');
    const told = await activity('acme', ({ queries, pins }) => queries >= 11 && pins === 1);
    assert.deepEqual([told.queries, told.serverErrors, told.proxyErrors], [11, 1, 0]);
    assert.ok(told.transactions >= 11, `${told.transactions} transactions`);
    const [p50, slowest] = [percentile(told.queryTimes, 0.5), percentile(told.queryTimes, 1)];
    assert.ok(p50 < 100 && slowest > 175 && slowest < 600, `${p50} and ${slowest} ms`);
    assert.ok(percentile(told.acquireTimes, 0.5) < 200);
    client.end();
    await proxy.atRest();
  });

  it('counts what the proxy had to refuse', async () => {
    const [holder, late] = [await connect('tight'), await connect('tight')];
    await ask(holder, 'BEGIN; SELECT 1');
    // Only now: the first dial may take longer.
    await proxy.setPool('tight', { acquireTimeoutMs: 60 });
    late.send(query('SELECT 1'));
    await late.until('E');
    const told = await activity('tight', ({ proxyErrors }) => proxyErrors > 0);
    assert.deepEqual([told.proxyErrors, told.serverErrors], [1, 0]);
    holder.end();
    late.end();
    await proxy.atRest();
  });

  it('tells of the process, and sums what its tenants did', async () => {
    const { vitals, activity: sum, tenants = [] } = await proxy.report(() => true);
    assert.ok(vitals !== undefined && sum !== undefined);
    assert.ok(vitals.rssBytes > 2e7 && vitals.loopDelayMaxMs >= vitals.loopDelayP50Ms);
    assert.equal(
      sum.queries,
      tenants.reduce((all, { queries }) => all + queries, 0),
    );
  });

  it('tells how dials to a server go, when it is stopped and when it is back', async () => {
    const endpointIn = ({ endpoints = [] }: ProxyReport) =>
      endpoints.find(({ port }) => port === cluster.port);
    const connected = endpointIn(await proxy.report(() => true));
    assert.deepEqual([connected?.outcome, connected?.consecutiveFailures], ['connected', 0]);
    assert.ok((connected?.dialMs ?? 0) > 0);

    await cluster.stop();
    await proxy.setTenant(tenant('gone', { serverLoginRetryMs: 100 }));
    await assert.rejects(connect('gone'));
    const failed = endpointIn(await proxy.report((sent) => endpointIn(sent)?.outcome === 'failed'));
    assert.ok(failed?.failingSince !== undefined && failed.consecutiveFailures >= 1);
    assert.match(failed.error ?? '', /cannot be used/);
    const { proxyErrors } = await activity('gone', (told) => told.proxyErrors > 0);
    assert.equal(proxyErrors, 1);

    await cluster.start();
    const client = await eventually('the proxy has tried again', () =>
      connect('gone').catch(() => undefined),
    );
    const back = endpointIn(
      await proxy.report((sent) => endpointIn(sent)?.outcome === 'connected'),
    );
    assert.deepEqual([back?.consecutiveFailures, back?.failingSince], [0, undefined]);
    client.end();
    await proxy.atRest();
  });
});
