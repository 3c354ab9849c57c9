/**
 * Clients that break the protocol in any way, before and after their login: each reads an error or
 * is disconnected, and neither the proxy nor anybody else on it takes notice.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { LogFields, Logger } from '@dbbouncer/shared/kernel/log.ts';
import fc from 'fast-check';
import { fuzzing } from '../support/fuzzing.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { saslInitial, startup } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { SSL_REQUEST } from '../support/tls-client.ts';
import { anyBreak, broken, framesOf } from './broken-frames.ts';
import { CONVERSATION_SCHEMA, PARTS } from './conversations.ts';

const PASSWORD = 'garbage secret';
const LIMIT_MS = 15_000;
let cluster: PostgresCluster;
let proxy: TestProxy;
const faults: string[] = [];

const log: Logger = {
  ...silentLogger,
  error: (context: LogFields, message: string) => {
    faults.push(`${message}: ${String(context['error'])}`);
  },
};

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', CONVERSATION_SCHEMA);
  const tenantIn = (poolMode: 'transaction' | 'session') => ({
    id: poolMode,
    port: cluster.port,
    database: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool: { poolMode, maxConnections: 1, minConnections: 0 },
  });
  proxy = await TestProxy.start({
    tenants: [tenantIn('transaction'), tenantIn('session')],
    env: { DBBOUNCER_LOGIN_THROTTLE_FAILURES: '0' },
    log,
  });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

const loginTo = (database: string) => ({ user: 'postgres', password: PASSWORD, database });

/** Closes its own side, and reads what the proxy has said until it has closed the other. */
async function lastWords(client: RawClient): Promise<string[]> {
  client.socket.end();
  const words: string[] = [];
  const timer = setTimeout(() => client.destroy(), LIMIT_MS);
  for (let message = await client.next(); message !== undefined; message = await client.next()) {
    const { type } = message;
    assert.ok(BACKEND_LETTERS.includes(type), `a message "${type}" of a server`);
    const { S, C = '', M = '' } = type === 'E' ? fields(message) : {};
    if (type === 'E') assert.match(`${S} ${C} ${M}`, /^(ERROR|FATAL) [0-9A-Z]{5} ./);
    words.push(`${type}${C}`);
  }
  clearTimeout(timer);
  assert.ok(!client.socket.destroyed || client.socket.readableEnded, 'the proxy has closed');
  return words;
}

const BACKEND_LETTERS = 'RSKZTDCEN123tnsIGHWVAdcv';

/** A neighbour on the same server connections, who only ever reads its own. */
async function neighbourIsServed(neighbour: RawClient, run: number): Promise<void> {
  neighbour.send(query(`SELECT ${run}, pg_backend_pid() > 0`));
  const told = await neighbour.until('Z');
  assert.deepEqual(firstColumns(told), [String(run)], told.map(({ type }) => type).join());
}

/** A session holds its server connection: the next has it only when this one has let go. */
async function nextSessionIsServed(run: number): Promise<void> {
  const next = await RawClient.login(proxy, loginTo('session'));
  await neighbourIsServed(next, run);
  next.end();
  await next.closed();
}

const SAID = ['COPY in', 'a named statement', 'a pipeline with an error', 'a portal in pieces'];
const spoken = fc.array(
  fc.constantFrom(...SAID, 'a query', 'a failed transaction', 'COPY in, extended', 'COPY out'),
  { minLength: 1, maxLength: 3 },
);
const breaks = fc.array(anyBreak, { minLength: 1, maxLength: 3 });

describe('a client that breaks the protocol', () => {
  it("after its login reads an error or is disconnected, at nobody else's cost", async () => {
    const neighbour = await RawClient.login(proxy, loginTo('transaction'));
    const database = fc.constantFrom('transaction', 'transaction', 'session');
    let run = 0;
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(spoken, breaks, database, async (names, [first, ...more], pooled) => {
        assert.ok(first !== undefined);
        const whole = names.flatMap((name) => (PARTS[name] ?? []).map(({ bytes }) => bytes));
        let stream = broken(framesOf(Buffer.concat(whole)), first);
        for (const next of more) if (stream.length > 0) stream = broken([stream], next);
        const client = await RawClient.login(proxy, loginTo(pooled));
        client.send(stream);
        const words = await lastWords(client);
        if (words.includes('E08P01')) refused += 1;
        await neighbourIsServed(neighbour, ++run);
        if (pooled === 'session') await nextSessionIsServed(run);
      }),
      fuzzing({ runs: 150, seed: 60_413 }),
    );
    neighbour.end();
    assert.ok(refused > run / 10, `${refused} of ${run} have read 08P01`);
    assert.deepEqual(faults, []);
    await proxy.atRest();
  });

  it('before its login reads an error or is disconnected', async () => {
    const first = startup({ user: 'postgres', database: 'transaction' });
    const sasl = saslInitial('n,,n=,r=abcdefghijklmnopqrstuvwx');
    const answer = Buffer.concat([Buffer.from('p'), Buffer.from([0, 0, 0, 9]), Buffer.from('c=b')]);
    const frames = fc.constantFrom(
      [first],
      [first, sasl],
      [first, sasl, answer],
      [SSL_REQUEST, first],
    );
    await fc.assert(
      fc.asyncProperty(frames, breaks, async (whole, [one, ...more]) => {
        assert.ok(one !== undefined);
        let stream = broken(whole, one);
        for (const next of more) if (stream.length > 0) stream = broken([stream], next);
        const client = await RawClient.connect(proxy);
        client.send(stream);
        await lastWords(client);
      }),
      fuzzing({ runs: 200, seed: 60_414 }),
    );
    const client = await RawClient.login(proxy, loginTo('transaction'));
    await neighbourIsServed(client, 1);
    client.end();
    assert.deepEqual(faults, []);
    await proxy.atRest();
  });
});
