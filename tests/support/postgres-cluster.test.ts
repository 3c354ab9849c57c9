/**
 * The PostgreSQL servers that the demo and other tests stand on: real logins, real crashes, nothing
 * left behind.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { Client } from 'pg';
import type {
  PostgresCluster,
  PostgresClusterOptions,
} from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';

const PASSWORD = "p'a ss";

async function loginUser(cluster: PostgresCluster, password: string): Promise<unknown> {
  const { host, port } = cluster;
  const client = new Client({ host, port, user: 'postgres', database: 'postgres', password });
  await client.connect();
  try {
    return (await client.query('SELECT current_user AS name')).rows[0];
  } finally {
    await client.end();
  }
}

describe('a PostgreSQL cluster', () => {
  let cluster: PostgresCluster;
  before(async () => {
    cluster = await startPostgresCluster({
      superuserPassword: PASSWORD,
      maxConnections: 17,
      settings: { application_name: "it's" },
    });
  });
  after(() => cluster.remove());

  it('lets the superuser in with the password and nobody with another one', async () => {
    assert.deepEqual(await loginUser(cluster, PASSWORD), { name: 'postgres' });
    await assert.rejects(loginUser(cluster, 'wrong'), { code: '28P01' });
  });

  it('returns the rows of the last of several statements', async () => {
    const rows = await cluster.sql('postgres', 'SELECT 1 AS a; SELECT 2 AS b');
    assert.deepEqual(rows, [{ b: 2 }]);
  });

  it('runs with the settings it was given', async () => {
    const [row] = await cluster.sql(
      'postgres',
      `SELECT current_setting('max_connections') AS connections`,
    );
    assert.deepEqual(row, { connections: '17' });
  });

  for (const how of ['fast', 'immediate', 'kill'] as const) {
    it(`keeps its port and its data over a ${how} stop and a start`, async () => {
      const { port, pid } = cluster;
      await cluster.sql('postgres', `CREATE TABLE kept_${how} AS SELECT 7 AS n`);
      if (how === 'kill') {
        await cluster.kill();
        assert.equal(cluster.pid, undefined);
        await cluster.start();
      } else {
        await cluster.restart(how);
      }
      assert.equal(cluster.port, port);
      assert.notEqual(cluster.pid, pid);
      assert.deepEqual(await cluster.sql('postgres', `SELECT n FROM kept_${how}`), [{ n: 7 }]);
    });
  }

  it('says what PostgreSQL said when a setting is wrong', async () => {
    const options = { superuserPassword: 'x', settings: { shared_buffers: 'plenty' } };
    await assert.rejects(startPostgresCluster(options), /shared_buffers/);
  });
});

describe('the password check of a cluster', () => {
  const stored: [NonNullable<PostgresClusterOptions['authMethod']>, RegExp][] = [
    ['scram-sha-256', /^SCRAM-SHA-256\$/],
    ['md5', /^md5/],
    ['password', /^SCRAM-SHA-256\$/],
  ];
  for (const [authMethod, verifier] of stored) {
    it(`accepts the right password alone with ${authMethod}`, async () => {
      const cluster = await startPostgresCluster({ superuserPassword: PASSWORD, authMethod });
      try {
        await loginUser(cluster, PASSWORD);
        await assert.rejects(loginUser(cluster, 'wrong'), { code: '28P01' });
        const [row] = await cluster.sql(
          'postgres',
          "SELECT rolpassword AS verifier FROM pg_authid WHERE rolname = 'postgres'",
        );
        assert.match(String(row?.['verifier']), verifier);
      } finally {
        await cluster.remove();
      }
    });
  }
});

describe('a process that is killed while its cluster runs', () => {
  it('leaves neither server nor folder behind', async () => {
    const script = `
      import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
      const cluster = await startPostgresCluster({ superuserPassword: 'x' });
      const [row] = await cluster.sql('postgres', "SELECT current_setting('data_directory') AS d");
      console.log(JSON.stringify({ pid: cluster.pid, folder: row.d }));
      setInterval(() => {}, 1000);
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
    const { pid, folder } = JSON.parse(said) as { pid: number; folder: string };
    await access(folder);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await goneWithin(5_000, () => access(folder));
    await goneWithin(5_000, () => serves(pid));
  });
});

/** Resolves while the process runs; one that init has not reaped yet does not. */
async function serves(pid: number): Promise<void> {
  await access(`/proc/${pid}/exe`);
}

async function goneWithin(timeoutMs: number, look: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    const there = await look().then(
      () => true,
      () => false,
    );
    if (!there) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`still there after ${timeoutMs} ms`);
}
