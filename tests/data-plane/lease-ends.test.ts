/**
 * When a client's server connection becomes another client's: never before the last reply that is
 * owed, never within a transaction, and always after them.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { eventually } from '../support/eventually.ts';
import { metric, untilAtRest } from '../support/proxy-metrics.ts';
import {
  bind,
  execute,
  fields,
  firstColumns,
  flush,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'lease secret';
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const pool = { poolMode: 'transaction', maxConnections: 1, minConnections: 0 } as const;
  const login = { port: cluster.port, username: 'postgres', password: PASSWORD };
  proxy = await TestProxy.start({
    tenants: [{ id: 'acme', database: 'postgres', ...login, pool }],
  });
  await cluster.sql('postgres', 'CREATE TABLE kept (a int)');
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connect = () =>
  RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database: 'acme' });

/** Two clients of the one server connection; `other` waits for it until `lease` lets go. */
async function withTwo(
  lease: (client: RawClient, other: RawClient) => Promise<void>,
): Promise<void> {
  const [client, other] = [await connect(), await connect()];
  await lease(client, other);
  for (const each of [client, other]) each.end();
  await untilAtRest(proxy);
}

/** The proxy's own questions to the catalog may stand in line as well. */
const untilInLine = () =>
  eventually(
    'somebody waits',
    async () => (await metric(proxy, 'dbbouncer_connections_waiting')) >= 1,
  );

async function answers(client: RawClient, readies: number): Promise<RawMessage[]> {
  const messages: RawMessage[] = [];
  for (let i = 0; i < readies; i++) messages.push(...(await client.until('Z')));
  return messages;
}

const statuses = (messages: readonly RawMessage[]) =>
  messages.filter(({ type }) => type === 'Z').map(({ body }) => body.toString());

describe('a server connection', () => {
  it('stays with a client whose pipeline passes an idle ReadyForQuery and begins anew', () =>
    withTwo(async (client, other) => {
      const pipeline = ['BEGIN', 'SELECT 1', 'COMMIT', 'BEGIN', 'INSERT INTO kept VALUES (1)'];
      client.send(Buffer.concat(pipeline.map(query)));
      other.send(query('SELECT count(*) FROM kept'));
      assert.deepEqual(statuses(await answers(client, 5)), ['T', 'T', 'I', 'T', 'T']);
      await untilInLine();
      client.send(query('ROLLBACK'));
      await client.until('Z');
      assert.deepEqual(firstColumns(await other.until('Z')), ['0']);
    }));

  it('stays with a client whose one text leaves a transaction open', () =>
    withTwo(async (client, other) => {
      client.send(query('SELECT 1; BEGIN; INSERT INTO kept VALUES (2); SELECT 2'));
      const messages = await client.until('Z');
      assert.deepEqual(firstColumns(messages), ['1', '2']);
      assert.deepEqual(statuses(messages), ['T']);
      other.send(query('SELECT count(*) FROM kept'));
      await untilInLine();
      client.send(query('ROLLBACK'));
      await client.until('Z');
      assert.deepEqual(firstColumns(await other.until('Z')), ['0']);
    }));

  it('stays with a client that a reply of 50 pipelined batches is still owed', () =>
    withTwo(async (client, other) => {
      const batch = (value: number) =>
        Buffer.concat([parse(`SELECT ${value}, pg_sleep(0.002)`), bind(), execute(), sync()]);
      const values = Array.from({ length: 50 }, (_, i) => i);
      client.send(Buffer.concat(values.map(batch)));
      other.send(query('SELECT 1000'));
      assert.deepEqual(firstColumns(await answers(client, 50)), values.map(String));
      assert.deepEqual(firstColumns(await other.until('Z')), ['1000']);
    }));

  it('is not waited for by a ReadyForQuery that an error without Sync does not bring', () =>
    withTwo(async (client, other) => {
      client.send(Buffer.concat([parse('SELECT nonsense'), flush()]));
      const error = (await client.until('E')).at(-1);
      assert.equal(error && fields(error)['C'], '42703');
      other.send(query('SELECT 1'));
      await untilInLine();
      client.send(sync());
      assert.deepEqual(statuses(await client.until('Z')), ['I']);
      assert.deepEqual(firstColumns(await other.until('Z')), ['1']);
    }));

  it('goes to the next client behind a transaction that ends within one text', () =>
    withTwo(async (client, other) => {
      client.send(query('BEGIN; SELECT 1'));
      await client.until('Z');
      other.send(query('SELECT 3'));
      await untilInLine();
      client.send(query('SELECT 1; COMMIT'));
      assert.deepEqual(statuses(await client.until('Z')), ['I']);
      assert.deepEqual(firstColumns(await other.until('Z')), ['3']);
    }));
});
