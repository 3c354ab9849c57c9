/**
 * A prepared statement whose table has changed since a server connection parsed it ("cached plan
 * must not change result type"): parsed anew and used once more where its client cannot tell, told
 * as on a private connection where it could.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { FRONTEND } from '@dbbouncer/data-plane/wire/postgres/message-types.ts';
import pg from 'pg';
import {
  bind,
  describe as describeMessage,
  execute,
  fields,
  frame,
  parse,
  query,
  RawClient,
  sync,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { eventually } from '../support/eventually.ts';
import { metric } from '../support/proxy-metrics.ts';
import { TestProxy } from '../support/test-proxy.ts';

const PASSWORD = 'outdated secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;
const TABLES = 20;
let tables = 0;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE DATABASE acme');
  const names = Array.from({ length: TABLES }, (_, i) => `changing_${i + 1}`);
  await cluster.sql(
    'acme',
    names.map((name) => `CREATE TABLE ${name} (a int); INSERT INTO ${name} VALUES (1);`).join(''),
  );
  const pool = { poolMode: 'transaction', maxConnections: 1, minConnections: 0 } as const;
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', database: 'acme', ...tenant }] });
  await untilStatementsStay();
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const flush = frame(String.fromCharCode(FRONTEND.Flush), Buffer.alloc(0));
/** As drivers do that ask for the description of each result. */
const use = (statement: string, values: string[] = []) => [
  bind(values, statement),
  describeMessage('P', ''),
  execute(),
];

async function ask(client: RawClient, ...messages: Buffer[]): Promise<RawMessage[]> {
  client.send(Buffer.concat(messages));
  return client.until('Z');
}

const types = (messages: readonly RawMessage[]) => messages.map(({ type }) => type).join('');
const codes = (messages: readonly RawMessage[]) =>
  messages.filter(({ type }) => type === 'E').map((message) => fields(message)['C']);
/** Of the columns that a RowDescription names. */
const columns = (messages: readonly RawMessage[]) =>
  messages.find(({ type }) => type === 'T')?.body.readInt16BE(0);

/** Resolves when the tables are known to be plain: a connection is not reset after their use. */
async function untilStatementsStay(): Promise<void> {
  const client = await RawClient.login(proxy, login);
  const resets = () => metric(proxy, 'dbbouncer_backend_resets_total');
  await eventually('the catalog is known', async () => {
    const before = await resets();
    await ask(client, query('SELECT * FROM changing_1'));
    await ask(client, query('SELECT 1'));
    return (await resets()) === before;
  });
  client.end();
}

/** A client with the statement `s` over a table that has one column more than when it was used. */
async function outdated(change = 'ADD b text'): Promise<RawClient> {
  const table = `changing_${++tables}`;
  const client = await RawClient.login(proxy, login);
  await ask(client, parse(`SELECT * FROM ${table} WHERE a = $1`, 's'), ...use('s', ['1']), sync());
  await cluster.sql('acme', `ALTER TABLE ${table} ${change}`);
  return client;
}

describe('an outdated plan', () => {
  it('is healed for a client that asks for the description of what it gets', async () => {
    const client = await outdated();
    const messages = await ask(client, ...use('s', ['1']), sync());
    assert.equal(types(messages), '2TDCZ');
    assert.equal(columns(messages), 2);
    assert.equal(types(await ask(client, ...use('s', ['1']), sync())), '2TDCZ');
    client.end();
  });

  it('is healed for a client whose own Parse was answered without asking the server', async () => {
    const first = await outdated();
    const second = await RawClient.login(proxy, login);
    const again = parse(`SELECT * FROM changing_${tables} WHERE a = $1`, 'mine');
    const messages = await ask(second, again, ...use('mine', ['1']), sync());
    assert.equal(types(messages), '12TDCZ');
    assert.equal(columns(messages), 2);
    for (const each of [first, second]) each.end();
  });

  it('is healed byte for byte when its batch arrives in pieces', async () => {
    for (const size of [1, 3, 7, 50]) {
      const client = await outdated();
      const batch = Buffer.concat([...use('s', ['1']), sync()]);
      for (let at = 0; at < batch.length; at += size) {
        client.send(batch.subarray(at, at + size));
        await new Promise(setImmediate);
      }
      const messages = await client.until('Z');
      // What came after the server's answer to the Bind is not repeated.
      if (codes(messages).length > 0) assert.deepEqual(codes(messages), ['0A000']);
      else assert.equal(types(messages), '2TDCZ');
      assert.equal(types(await ask(client, ...use('s', ['1']), sync())), '2TDCZ');
      client.end();
    }
  });

  it('is told to a client that does not ask, and parsed anew for its next use', async () => {
    const client = await outdated();
    assert.deepEqual(codes(await ask(client, bind(['1'], 's'), execute(), sync())), ['0A000']);
    assert.equal(types(await ask(client, bind(['1'], 's'), execute(), sync())), '2DCZ');
    client.end();
  });

  it('is told in a transaction, which fails, and parsed anew in the next', async () => {
    const client = await outdated();
    await ask(client, query('BEGIN'));
    assert.deepEqual(codes(await ask(client, ...use('s', ['1']), sync())), ['0A000']);
    assert.deepEqual(codes(await ask(client, query('SELECT 1'))), ['25P02']);
    await ask(client, query('ROLLBACK'));
    assert.equal(types(await ask(client, ...use('s', ['1']), sync())), '2TDCZ');
    client.end();
  });

  it('is told where the client has read something of the same batch', async () => {
    const client = await outdated();
    client.send(Buffer.concat([parse('SELECT 7', 'other'), ...use('other'), flush]));
    await client.until('C');
    const messages = await ask(client, ...use('s', ['1']), sync());
    assert.deepEqual(codes(messages), ['0A000']);
    client.end();
  });

  it('is told where another batch is under way behind it', async () => {
    const client = await outdated();
    client.send(Buffer.concat([...use('s', ['1']), sync(), query('SELECT 8')]));
    const first = await client.until('Z');
    assert.deepEqual(codes(first), ['0A000']);
    assert.equal(types(await client.until('Z')), 'TDCZ');
    client.end();
  });

  it('that cannot be parsed any more says why, and nothing else is harmed', async () => {
    const client = await outdated('RENAME a TO z');
    assert.deepEqual(codes(await ask(client, ...use('s', ['1']), sync())), ['42703']);
    assert.equal(types(await ask(client, query('SELECT 1'))), 'TDCZ');
    assert.deepEqual(codes(await ask(client, ...use('s', ['1']), sync())), ['42703']);
    client.end();
  });

  it('is not noticed by node-postgres', async () => {
    const client = new pg.Client({ host: proxy.host, port: proxy.port, ...login });
    await client.connect();
    const table = `changing_${++tables}`;
    const named = { name: 'n', text: `SELECT * FROM ${table}` };
    assert.deepEqual((await client.query(named)).rows, [{ a: 1 }]);
    await cluster.sql('acme', `ALTER TABLE ${table} ADD b text DEFAULT 'x'`);
    assert.deepEqual((await client.query(named)).rows, [{ a: 1, b: 'x' }]);
    await client.end();
  });
});
