/**
 * The memory of a proxy over a long load in which nothing comes twice: no text, no statement, no
 * client. What is kept of it is bounded, so the second half of the load adds nothing to the first.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { bind, close, execute, parse, query, RawClient, sync } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const PASSWORD = 'long load secret';
/** Small, so that a few thousand statements fill every cache. */
const POOL = {
  poolMode: 'transaction',
  maxConnections: 4,
  maxPreparedStatements: 50,
  maxClientPreparedStatements: 100,
  maxDistinctPreparedStatements: 200,
  leakDetector: 'off',
} as const;
const ROUNDS = 100;
const MIB = 1024 * 1024;
let cluster: PostgresCluster;
let proxy: TestProxy;
let rounds = 0;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const login = { database: 'postgres', username: 'postgres', password: PASSWORD };
  proxy = await TestProxy.start({
    tenants: [{ id: 'acme', port: cluster.port, ...login, pool: POOL }],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

/** A client's life: texts of forms that nobody has used, statements it prepares and gives up. */
async function round(): Promise<void> {
  rounds += 1;
  const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
  const client = await RawClient.login(proxy, login);
  for (let i = 0; i < 24; i++) {
    const column = `c_${rounds}_${i}`;
    client.send(query(`SELECT 1 AS ${column}`));
    await client.until('Z');
    const text = `SELECT $1::text AS p${column}`;
    client.send(
      Buffer.concat([
        parse(text, column),
        bind(['x'], column),
        execute(),
        close('S', column),
        sync(),
      ]),
    );
    await client.until('Z');
  }
  client.end();
}

async function heapAfter(count: number): Promise<number> {
  for (let i = 0; i < count; i++) await round();
  await proxy.atRest();
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

describe('a proxy under a load in which nothing comes twice', () => {
  it('has no more memory after 19,200 texts and statements, or some thousands more', async () => {
    await heapAfter(ROUNDS);
    const half = await heapAfter(ROUNDS);
    let grownMib = ((await heapAfter(2 * ROUNDS)) - half) / MIB;
    // Caches that are filled anew by and by have given all back after eight times as many at most;
    // what is kept by mistake never comes back.
    for (let more = 0; more < 8 && grownMib >= 2; more += 1) {
      grownMib = ((await heapAfter(ROUNDS)) - half) / MIB;
    }
    assert.ok(grownMib < 2, `${grownMib.toFixed(2)} MiB more`);
  });
});
