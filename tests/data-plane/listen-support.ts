/** What the tests of LISTEN have in common: a tenant, clients, and reading what they are told. */
import assert from 'node:assert/strict';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { fields, query, RawClient } from '../support/raw-client.ts';
import type { RawAddress, RawMessage } from '../support/raw-client.ts';
import type { TestTenant } from '../support/test-proxy.ts';

export const PASSWORD = 'listen secret';

export interface Notification {
  readonly processId: number;
  readonly channel: string;
  readonly payload: string;
}

export function listenTenant(
  id: string,
  port: number,
  pool: TestTenant['pool'] = {},
): TestTenant & { readonly id: string } {
  return {
    id,
    port,
    database: id,
    username: 'app',
    password: PASSWORD,
    pool: { poolMode: 'transaction', maxConnections: 4, minConnections: 0, ...pool },
  };
}

export async function makeDatabases(cluster: PostgresCluster, ...names: string[]): Promise<void> {
  await cluster.sql('postgres', `CREATE ROLE app LOGIN SUPERUSER PASSWORD '${PASSWORD}'`);
  for (const name of names) await cluster.sql('postgres', `CREATE DATABASE ${name}`);
}

/** Through the proxy, or to a server for a connection of its own. */
export function connectTo(
  address: RawAddress,
  database: string,
  parameters: Readonly<Record<string, string>> = {},
): Promise<RawClient> {
  return RawClient.login(address, { user: 'app', password: PASSWORD, database, parameters });
}

/** Notifications that came with answers, for `heard`. */
const inboxes = new WeakMap<RawClient, Notification[]>();

/** Sends and reads the answer, up to its ReadyForQuery. */
export async function ask(
  client: RawClient,
  ...messages: readonly (Buffer | string)[]
): Promise<RawMessage[]> {
  const bytes = messages.map((each) => (typeof each === 'string' ? query(each) : each));
  client.send(Buffer.concat(bytes));
  const answer = await client.until('Z');
  const inbox = inboxes.get(client);
  if (inbox === undefined) inboxes.set(client, heardIn(answer));
  else inbox.push(...heardIn(answer));
  return answer;
}

export function notification({ body }: RawMessage): Notification {
  const [channel = '', payload = ''] = body.toString('utf8', 4).split('\0');
  return { processId: body.readInt32BE(0), channel, payload };
}

export const heardIn = (messages: readonly RawMessage[]) =>
  messages.filter(({ type }) => type === 'A').map(notification);
export const payloadsIn = (messages: readonly RawMessage[]) =>
  heardIn(messages).map(({ payload }) => payload);
export const types = (messages: readonly RawMessage[]) => messages.map(({ type }) => type).join('');
export const codes = (messages: readonly RawMessage[]) =>
  messages.filter(({ type }) => type === 'E').map((message) => fields(message)['C']);
export const tags = (messages: readonly RawMessage[]) =>
  messages
    .filter(({ type }) => type === 'C')
    .map(({ body }) => body.toString('utf8', 0, body.length - 1));

/**
 * The next notification to this client, which is the next message that is not part of an answer
 * that `ask` has read.
 */
export async function heard(client: RawClient): Promise<Notification> {
  const early = inboxes.get(client)?.shift();
  if (early !== undefined) return early;
  const message = await client.next();
  assert.equal(message?.type, 'A', message === undefined ? 'the connection ended' : message.type);
  return notification(message);
}

/** What was heard up to now and is not read: a notification sent now is the last of it. */
export async function heardSoFar(client: RawClient, talker: RawClient): Promise<Notification[]> {
  const all: Notification[] = [];
  await ask(client, 'LISTEN last_word');
  await ask(talker, 'NOTIFY last_word');
  for (;;) {
    const next = await heard(client);
    if (next.channel === 'last_word') break;
    all.push(next);
  }
  await ask(client, 'UNLISTEN last_word');
  return all;
}

/** Server connections of the proxy to a database. */
export async function serverConnections(
  cluster: PostgresCluster,
  database: string,
): Promise<readonly number[]> {
  const rows = await cluster.sql(
    'postgres',
    `SELECT pid FROM pg_stat_activity
     WHERE datname = '${database}' AND application_name LIKE 'dbb:%'`,
  );
  return rows.map(({ pid }) => Number(pid));
}
