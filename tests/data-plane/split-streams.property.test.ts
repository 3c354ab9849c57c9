/**
 * A stream may be cut anywhere, on both sides of the proxy: whatever a client and a server say to
 * each other, from the login to a cancel, it reads as on a connection without proxy and cuts.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import fc from 'fast-check';
import { Authority } from '../support/certificates.ts';
import { CuttingRelay } from '../support/cutting-relay.ts';
import type { Cuts } from '../support/cutting-relay.ts';
import { fuzzing, isLongForm } from '../support/fuzzing.ts';
import { RawClient } from '../support/raw-client.ts';
import type { RawAddress, RawMessage } from '../support/raw-client.ts';
import { scratchOfTest } from '../support/scratch.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { requestTls } from '../support/tls-client.ts';
import { CONVERSATION_SCHEMA, PARTS } from './conversations.ts';
import type { Part, Step } from './conversations.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'split secret';
const SILENCE_MS = 20_000;
const GSS_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30]);
let cluster: PostgresCluster;
let proxy: TestProxy;
/** Between clients and the proxy, and between the proxy and the server. */
let front: CuttingRelay;
let back: CuttingRelay;
let direct: RawAddress;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', CONVERSATION_SCHEMA);
  direct = { host: '127.0.0.1', port: cluster.port };
  back = await CuttingRelay.start(cluster.port);
  const tenant = { port: back.port, database: 'postgres', username: 'postgres' };
  const tenantIn = (poolMode: 'transaction' | 'session') => ({
    ...tenant,
    id: poolMode,
    password: PASSWORD,
    pool: { poolMode, maxConnections: 2, minConnections: 0 },
  });
  proxy = await TestProxy.start({
    tenants: [tenantIn('transaction'), tenantIn('session')],
    env: await certificate(),
  });
  front = await CuttingRelay.start(proxy.port);
});
after(async () => {
  front.close();
  await proxy.stop();
  back.close();
  await cluster.remove();
});

async function certificate(): Promise<Record<string, string>> {
  const { path } = await scratchOfTest();
  const authority = await Authority.create('Test authority');
  const { cert, key } = await authority.issue({ commonName: 'proxy', ips: ['127.0.0.1'] });
  writeFileSync(join(path, 'proxy.crt'), cert);
  writeFileSync(join(path, 'proxy.key'), key);
  return {
    DBBOUNCER_TLS_CERT: join(path, 'proxy.crt'),
    DBBOUNCER_TLS_KEY: join(path, 'proxy.key'),
  };
}

// ---- one client's side of a conversation ----

type Way = 'clear' | 'gss_request_first' | 'tls';

interface Side {
  readonly address: RawAddress;
  readonly database: string;
  readonly way: Way;
}

/** What was said, but for what differs between any two sessions. */
interface Transcript {
  readonly greeting: readonly string[];
  readonly replies: readonly string[];
}

async function converse(side: Side, parts: readonly Part[]): Promise<Transcript> {
  const client = await open(side);
  const greeting = (await client.authenticate(loginTo(side.database))).map(shown).toSorted();
  const replies = await say(client, side.address, parts.flat());
  client.end();
  await withinLimit(client.closed());
  return { greeting, replies };
}

const loginTo = (database: string) => ({ user: 'postgres', password: PASSWORD, database });

/** @returns all that is answered */
async function say(client: RawClient, address: RawAddress, part: Part): Promise<string[]> {
  const replies: string[] = [];
  for (const step of part) {
    client.send(step.bytes);
    if (step.end === 'cancel') await cancelWhenRunning(client, address);
    replies.push(...(await withinLimit(answersTo(client, step))));
  }
  return replies;
}

async function open({ address, way }: Side): Promise<RawClient> {
  if (way === 'clear') return RawClient.connect(address);
  if (way === 'tls') {
    return RawClient.over(await requestTls(address, { rejectUnauthorized: false }));
  }
  const socket = connect({ host: address.host, port: address.port, noDelay: true });
  socket.write(GSS_REQUEST);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  assert.equal(answer.toString(), 'N');
  return RawClient.over(socket);
}

async function cancelWhenRunning(client: RawClient, address: RawAddress): Promise<void> {
  await untilRunning(cluster, 'pg_sleep(61)');
  const canceller = await RawClient.connect(address);
  canceller.cancel(client.key());
  await canceller.closed();
}

async function answersTo(client: RawClient, { awaits }: Step): Promise<string[]> {
  const missing = awaits.split('');
  const messages: string[] = [];
  const notifications: string[] = [];
  while (missing.length > 0) {
    const message = await client.next();
    if (message === undefined) throw new Error(`the connection ended before ${missing.join()}`);
    // Whether a notification comes before or behind the end of its own NOTIFY is not promised.
    (message.type === 'A' ? notifications : messages).push(shown(message));
    const found = missing.indexOf(message.type);
    if (found >= 0) missing.splice(found, 1);
  }
  return [...messages, ...notifications];
}

function shown({ type, body }: RawMessage): string {
  if (type === 'K') return `K of ${body.length} bytes`;
  const told = type === 'A' ? body.subarray(4) : body;
  return `${type} ${told.toString('latin1')}`;
}

async function withinLimit<Value>(answer: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${SILENCE_MS} ms`)), SILENCE_MS);
  });
  return Promise.race([answer, silence]).finally(() => clearTimeout(timer));
}

// ---- what is expected ----

const DIRECT = { database: 'postgres', way: 'clear' } as const;
const known = new Map<string, Promise<Transcript>>();

/** What the server itself says to a part; the parts do not depend on each other. */
async function expectedReplies(names: readonly string[]): Promise<string[]> {
  const replies: string[] = [];
  for (const name of names) {
    const own = known.get(name) ?? converse({ address: direct, ...DIRECT }, [partOf(name)]);
    known.set(name, own);
    replies.push(...(await own).replies);
  }
  return replies;
}

function partOf(name: string): Part {
  const part = PARTS[name];
  assert.ok(part !== undefined, `a part called "${name}"`);
  return part;
}

/** The greeting of the proxy when nothing is cut. */
async function uncutGreeting(database: string): Promise<readonly string[]> {
  const own = known.get(database) ?? converse({ address: proxy, database, way: 'clear' }, []);
  known.set(database, own);
  return (await own).greeting;
}

// ---- where it is cut ----

const sizes = fc.oneof(
  fc.constant<Cuts>([1]),
  fc.constant<Cuts>([5, 1]),
  fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 8 }),
  fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 5 }),
  fc.constant<Cuts>([]),
);
const cuts = fc.record({ toProxy: sizes, toServer: sizes, toProxyBack: sizes, toClient: sizes });

const STREAMS = ['toProxy', 'toServer', 'toProxyBack', 'toClient'] as const;
type Stream = (typeof STREAMS)[number];

function cut(where: Partial<Record<Stream, Cuts>>): void {
  front.toServer = where.toProxy ?? [];
  back.toServer = where.toServer ?? [];
  back.toClient = where.toProxyBack ?? [];
  front.toClient = where.toClient ?? [];
}

/** What is short, and said to an end in a millisecond or two. */
const SHORT_PARTS = [
  'a query',
  'an error between statements',
  'a failed transaction',
  'a parameter',
  'a named statement',
  'a pipeline with an error',
  'flushed steps',
  'COPY in',
  'COPY in, extended',
];
/** As many as a short part has, in either direction. */
const PART_BYTES = 180;
/** As many as a login has. */
const LOGIN_BYTES = 600;

describe('a conversation of which every stream is cut somewhere', () => {
  it('reads as it does without cuts and without proxy', async () => {
    const names = fc.array(fc.constantFrom(...Object.keys(PARTS)), { minLength: 1, maxLength: 5 });
    const database = fc.constantFrom('transaction', 'session');
    const way = fc.constantFrom<Way>('clear', 'clear', 'gss_request_first', 'tls');
    await fc.assert(
      fc.asyncProperty(names, database, way, cuts, async (chosen, pooled, by, where) => {
        cut({});
        const expected = await expectedReplies(chosen);
        const greeting = await uncutGreeting(pooled);
        cut(where);
        const side = { address: front, database: pooled, way: by };
        const told = await converse(side, chosen.map(partOf));
        assert.deepEqual(told.replies, expected);
        assert.deepEqual(told.greeting, greeting);
      }),
      fuzzing({ runs: 15, seed: 52_901 }),
    );
  });

  for (const database of ['transaction', 'session']) {
    it(`reads so in pieces of one byte, all parts of it, in ${database} mode`, async () => {
      const names = Object.keys(PARTS);
      cut({});
      const expected = await expectedReplies(names);
      cut({ toProxy: [1], toServer: [1], toProxyBack: [1], toClient: [1] });
      const side = { address: front, database, way: 'clear' } as const;
      assert.deepEqual((await converse(side, names.map(partOf))).replies, expected);
    });
  }

  for (const stream of STREAMS) {
    it(`reads so when ${stream} is cut in two, at each of ${PART_BYTES} bytes`, async () => {
      for (const name of isLongForm() ? SHORT_PARTS : SHORT_PARTS.slice(4, 5)) {
        cut({});
        const expected = await expectedReplies([name]);
        const client = await open({ address: front, database: 'transaction', way: 'clear' });
        await client.authenticate(loginTo('transaction'));
        for (let offset = 1; offset < PART_BYTES; offset++) {
          cut({ [stream]: [offset, Infinity] });
          assert.deepEqual(await say(client, front, partOf(name)), expected, `cut at ${offset}`);
        }
        client.end();
      }
    });
  }

  it('greets the same when the login is cut in two, at any of 600 bytes', async () => {
    cut({});
    const expected = await uncutGreeting('transaction');
    const side = { address: front, database: 'transaction', way: 'clear' } as const;
    for (const stream of STREAMS) {
      for (let offset = 1; offset < LOGIN_BYTES; offset += isLongForm() ? 1 : 23) {
        cut({ [stream]: [offset, Infinity] });
        const { greeting } = await converse(side, []);
        assert.deepEqual(greeting, expected, `${stream}, cut at ${offset}`);
      }
    }
  });

  it('leaves no client, no lease and nobody in line behind', async () => {
    await proxy.atRest();
  });
});
