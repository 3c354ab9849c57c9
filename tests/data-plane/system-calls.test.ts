/**
 * What one query and one login cost in system calls, as the kernel counts them: a regression here
 * is slow on any machine. Client and proxy are in this process: of its three writes for a query one
 * is the client's own, and so of its three reads.
 * Source: proc(5), /proc/PID/io: syscr and syscw.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { bind, describe as describeMessage, execute } from '../support/raw-client.ts';
import { parse, query, RawClient, sync } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const IO = '/proc/self/io';
const PASSWORD = 'counted secret';
const LOGIN = { user: 'postgres', password: PASSWORD, database: 'acme' };
const QUERIES = 300;
const LOGINS = 100;
/** Until code is compiled: threads that compile wake the event loop with writes and reads too. */
const WARM_UP_QUERIES = 500;

let cluster: PostgresCluster;
let proxy: TestProxy;
let client: RawClient;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD };
  const pool = { poolMode: 'transaction', leakDetector: 'off' } as const;
  proxy = await TestProxy.start({
    tenants: [{ id: 'acme', database: 'postgres', ...tenant, pool }],
  });
  client = await RawClient.login(proxy, LOGIN);
});
after(async () => {
  client.end();
  await proxy.stop();
  await cluster.stop();
});

function calls(): { readonly reads: number; readonly writes: number } {
  const text = readFileSync(IO, 'utf8');
  const count = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(text)?.[1]);
  return { reads: count('syscr'), writes: count('syscw') };
}

interface Rounds {
  readonly warmUp: number;
  readonly counted: number;
}

/** One after the other. @returns reads and writes for each; reports and timers are few */
async function callsForEach(round: () => Promise<unknown>, { warmUp, counted }: Rounds) {
  for (let i = 0; i < warmUp; i++) await round();
  const earlier = calls();
  for (let i = 0; i < counted; i++) await round();
  const later = calls();
  return {
    reads: Math.round((later.reads - earlier.reads) / counted),
    writes: Math.round((later.writes - earlier.writes) / counted),
  };
}

function ask(message: Buffer): Promise<unknown> {
  client.send(message);
  return client.until('Z');
}

async function transact(): Promise<void> {
  for (const text of TRANSACTION) await ask(text);
}

async function comeAndGo(): Promise<void> {
  const visitor = await RawClient.login(proxy, LOGIN);
  visitor.end();
  await visitor.closed();
}

const extended = Buffer.concat([
  parse('SELECT $1::text'),
  bind(['x']),
  describeMessage('P'),
  execute(),
  sync(),
]);
const TRANSACTION = [query('BEGIN'), query('SHOW work_mem'), query('COMMIT')];
const CASES = {
  'a query that may be shared': query('SELECT 1'),
  'a query that runs alone': query('SHOW work_mem'),
  'a batch of the extended protocol': extended,
};

describe('system calls', { skip: !existsSync(IO) && 'no kernel that counts them' }, () => {
  for (const [what, message] of Object.entries(CASES)) {
    it(`are 2 reads and 2 writes of the proxy for ${what}`, async () => {
      const rounds = { warmUp: WARM_UP_QUERIES, counted: QUERIES };
      assert.deepEqual(await callsForEach(() => ask(message), rounds), { reads: 3, writes: 3 });
    });
  }

  it('are 5 reads and 5 writes of the proxy for a transaction of one statement', async () => {
    const rounds = { warmUp: WARM_UP_QUERIES, counted: QUERIES };
    // The server hears of BEGIN with the statement.
    const [proxys, clients] = [5, TRANSACTION.length];
    const expected = { reads: proxys + clients, writes: proxys + clients };
    assert.deepEqual(await callsForEach(transact, rounds), expected);
  });

  it('are 4 reads and 3 writes of the proxy for a SCRAM login and its end', async () => {
    const rounds = { warmUp: LOGINS, counted: LOGINS };
    // The client writes each time before the proxy does, and Terminate; it reads all, and the end.
    assert.deepEqual(await callsForEach(comeAndGo, rounds), { reads: 4 + 4, writes: 3 + 4 });
  });
});
