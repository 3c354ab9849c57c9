/** Many clients' batches on one server connection: who hears what, when, and only once. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../../../tests/support/manual-clock.ts';
import { frame, query } from '../../../../../tests/support/raw-client.ts';
import type { LeakDetector } from '../../../upstream/leaks/leak-detector.ts';
import { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { idleSink } from '../../../upstream/idle-sink.ts';
import { ServerCancels } from '../../../upstream/server-cancels.ts';
import { BackendStatements } from '../prepared/backend-statements.ts';
import { cancelled } from '../session-errors.ts';
import { FlushSoon } from './flush-soon.ts';
import { LaneBackend } from './lane-backend.ts';
import { ResendAllowance } from './resend-allowance.ts';
import { ServiceTimes } from './service-times.ts';
import { SharedBatch } from './shared-batch.ts';
import type { BatchClient, SharedBatchOptions, StatementUse, ClientParse } from './shared-batch.ts';

const STALL_MS = 10;
const turn = () => new Promise(setImmediate);

/** Writes down what it hears; `pendingBytes` is what it has yet to take. */
class Listener implements BatchClient {
  words = '';
  readonly ends: string[] = [];
  pendingBytes = 0;

  relay(run: Buffer): number {
    this.words += run.toString('latin1');
    return this.pendingBytes;
  }

  say(words: Buffer): void {
    this.words += words.toString('latin1');
  }

  answered(): void {
    this.ends.push('answered');
  }

  returned(reason: string): void {
    this.ends.push(reason);
  }

  failed({ code }: AppError): void {
    this.ends.push(code);
  }

  ownStatementName(): undefined {
    return undefined;
  }
}

interface Rig {
  readonly lane: LaneBackend;
  readonly clock: ManualClock;
  /** The server's side; each write arrives as one chunk. */
  readonly server: Duplex;
  readonly append: (client: Listener, more?: Partial<SharedBatchOptions>) => SharedBatch;
}

function rig(): Rig {
  const [near, server] = duplexPair();
  server.resume();
  const clock = new ManualClock();
  const backend = new PostgresBackend({
    socket: near as unknown as Socket,
    reads: undefined,
    sink: idleSink,
    events: { closed: () => {} },
    address: { host: '127.0.0.1', port: 1 },
    initSql: undefined,
    leaks: undefined as unknown as LeakDetector,
    tls: undefined,
    clock,
    log: silentLogger,
  });
  const lane = new LaneBackend({
    backend,
    statements: new BackendStatements(),
    clock,
    times: new ServiceTimes(),
    flushSoon: new FlushSoon(),
    cancels: new ServerCancels(clock),
    cancelOptions: () => ({ tenantKey: 'acme', limitMs: 1_000 }),
    onFinished: () => {},
    onEnd: () => backend.close('server_gone'),
    onRoom: () => {},
  });
  const append = (client: Listener, more: Partial<SharedBatchOptions> = {}) => {
    const plain = { bytes: query('SELECT'), effects: undefined, expectedUs: 10 };
    const rest = { injectedReplies: 0, statement: undefined };
    const batch = new SharedBatch({ client, ...plain, ...rest, ...more });
    lane.append(batch);
    return batch;
  };
  return { lane, clock, server, append };
}

function use(clientParse: ClientParse, failed: StatementUse['failed']): StatementUse {
  return { clientParse, isThere: true, parsed: () => {}, failed };
}

const ready = frame('Z', Buffer.from('I'));
const row = (text: string) => frame('D', Buffer.from(text));
const complete = frame('C', Buffer.from('SELECT 1\0'));
const failure = (code: string) => frame('E', Buffer.from(`SERROR\0VERROR\0C${code}\0Mno\0\0`));
const timeZone = frame('S', Buffer.from('TimeZone\0UTC\0'));
const reply = (text: string) => Buffer.concat([row(text), complete, ready]);

describe('LaneBackend', () => {
  it('deals each client its own reply, wherever the bytes of two are cut', async () => {
    const replies = [reply('first'), reply('the second')];
    const stream = Buffer.concat(replies);
    for (let cut = 1; cut < stream.length; cut++) {
      const { server, append } = rig();
      const clients = [new Listener(), new Listener()];
      for (const client of clients) append(client);
      server.write(stream.subarray(0, cut));
      await turn();
      server.write(stream.subarray(cut));
      await turn();
      assert.deepEqual(
        clients.map(({ words }) => words),
        replies.map((bytes) => bytes.toString('latin1')),
        `cut at ${cut}`,
      );
      for (const { ends } of clients) assert.deepEqual(ends, ['answered'], `cut at ${cut}`);
    }
  });

  it('does not wait for a slow reader whose reply has ended in the same breath', async () => {
    const { lane, server, append } = rig();
    const [slow, next] = [new Listener(), new Listener()];
    append(slow);
    slow.pendingBytes = 1_024 * 1_024;
    // An operator reloads the configuration meanwhile: what is dropped parts what is passed on.
    server.write(Buffer.concat([row('one'), timeZone, row('two'), complete, ready]));
    await turn();
    assert.deepEqual(slow.ends, ['answered']);
    assert.equal(lane.takesBatches, true);
    append(next);
    server.write(reply('next'));
    await turn();
    assert.deepEqual(next.ends, ['answered']);
  });

  it('waits for a slow reader in the midst of its reply, and gives the others back', async () => {
    const { lane, server, append } = rig();
    const [slow, next] = [new Listener(), new Listener()];
    slow.pendingBytes = 1_024 * 1_024;
    const batch = append(slow);
    append(next);
    const bytes = reply('x'.repeat(100));
    server.write(bytes.subarray(0, 20));
    await turn();
    assert.deepEqual([slow.ends, next.ends], [[], ['slow_reader']]);
    assert.equal(lane.takesBatches, false);
    slow.pendingBytes = 0;
    lane.resume(batch);
    server.write(Buffer.concat([bytes.subarray(20), reply('late')]));
    await turn();
    assert.deepEqual([slow.ends, next.words], [['answered'], '']);
    assert.equal(lane.takesBatches, true);
  });

  it('does not run a cancelled batch again when its connection is lost', async () => {
    const { lane, server, append } = rig();
    const [asking, other] = [new Listener(), new Listener()];
    const batch = append(asking);
    append(other);
    lane.cancel(batch, cancelled(), 'by_server');
    server.destroy();
    await turn();
    assert.deepEqual([asking.ends, other.ends], [['answered'], ['server_lost']]);
    assert.match(asking.words, /^E.+C57014.+Z.+I$/s);
    assert.equal(other.words, '');
  });

  it('does not run a cancelled batch again that ends in another error', async () => {
    const { lane, server, append } = rig();
    const asking = new Listener();
    lane.cancel(append(asking), cancelled(), 'by_server');
    server.write(Buffer.concat([failure('22012'), ready]));
    await turn();
    assert.deepEqual(asking.ends, ['answered']);
    assert.match(asking.words, /^E.+C57014.+Z.+I$/s);
  });

  it('gives a batch back that the cancel of its neighbour has hit', async () => {
    const { lane, server, append } = rig();
    const [asking, other] = [new Listener(), new Listener()];
    const batch = append(asking);
    append(other);
    lane.cancel(batch, cancelled(), 'by_server');
    server.write(Buffer.concat([reply('just in time'), failure('57014'), ready]));
    await turn();
    assert.equal(asking.words, reply('just in time').toString('latin1'));
    assert.deepEqual([asking.ends, other.ends], [['answered'], ['cancelled_for_another']]);
    assert.equal(lane.takesBatches, false, 'as long as the cancel may hit somebody');
  });

  it('puts nothing behind a batch that stands still, also where it is alone', async () => {
    const { lane, clock, server, append } = rig();
    const stuck = new Listener();
    append(stuck);
    await clock.pass(STALL_MS);
    const look = () => lane.look(clock.nowMs(), STALL_MS, new ResendAllowance());
    assert.equal(look(), 'suspect', 'its answer may have come and lie unread');
    assert.equal(lane.takesBatches, true);
    assert.equal(look(), 'busy');
    assert.equal(lane.takesBatches, false);
    server.write(reply('at last'));
    await turn();
    assert.deepEqual(stuck.ends, ['answered']);
    assert.equal(lane.takesBatches, true);
  });

  it('sends 128 batches again and no more where none may be, and answers the others', async () => {
    const { lane, clock, server, append } = rig();
    const allowance = new ResendAllowance();
    const clients = Array.from({ length: 201 }, () => new Listener());
    for (const client of clients) append(client);
    for (let looks = 0; looks < 3; looks += 1) {
      await clock.pass(STALL_MS);
      lane.look(clock.nowMs(), STALL_MS, allowance);
      for (let i = 0; i < 1_000; i++) allowance.earned(0);
    }
    const resent = clients.filter(({ ends }) => ends.includes('stalled'));
    assert.equal(resent.length, 128);
    server.write(Buffer.concat(clients.map((_, at) => reply(String(at)))));
    await turn();
    for (const [at, { ends, words }] of clients.entries()) {
      const isResent = at > 0 && at <= 128;
      assert.deepEqual(ends, [isResent ? 'stalled' : 'answered']);
      assert.equal(words, isResent ? '' : reply(String(at)).toString('latin1'));
    }
  });

  it('closes a prepared statement before its next use that is there unknown to it', async () => {
    const { server, append } = rig();
    const heard: string[] = [];
    const statement = use('none', (which) => void heard.push(which));
    for (const code of ['42P05', '42601']) {
      const client = new Listener();
      append(client, { injectedReplies: 1, statement });
      server.write(Buffer.concat([failure(code), ready]));
      await turn();
      assert.deepEqual(client.ends, ['refused']);
    }
    assert.deepEqual(heard, ['outdated', 'not_parsed']);
  });

  it('answers a Parse itself where the statement is there, else gives it back', async () => {
    for (const isThere of [true, false]) {
      const { server, append } = rig();
      const client = new Listener();
      append(client, { statement: { ...use('assumed', () => {}), isThere } });
      server.write(ready);
      await turn();
      const words = Buffer.concat([frame('1', Buffer.alloc(0)), ready]).toString('latin1');
      assert.deepEqual(client.ends, [isThere ? 'answered' : 'refused']);
      assert.equal(client.words, isThere ? words : '');
    }
  });

  it('forgets a statement that a client has parsed in vain', async () => {
    const { server, append } = rig();
    const client = new Listener();
    const heard: string[] = [];
    append(client, { statement: use('sent', (which) => void heard.push(which)) });
    server.write(Buffer.concat([failure('42P01'), ready]));
    await turn();
    assert.deepEqual([client.ends, heard], [['refused'], ['not_parsed']]);
  });

  it('tells nobody what nobody has asked for', async () => {
    const { server, append } = rig();
    const client = new Listener();
    const notification = frame('A', Buffer.from('\0\0\0\x01news\0secret\0'));
    server.write(Buffer.concat([timeZone, notification]));
    append(client);
    server.write(Buffer.concat([timeZone, row('own'), notification, complete, ready]));
    await turn();
    assert.equal(client.words, reply('own').toString('latin1'));
  });

  it('gives all back or tells them when the server says something that is no reply', async () => {
    const { server, append } = rig();
    const [begun, waiting] = [new Listener(), new Listener()];
    for (const client of [begun, waiting]) append(client);
    server.write(row('one'));
    await turn();
    server.write(frame('Z', Buffer.from('T')));
    await turn();
    assert.deepEqual([begun.ends, waiting.ends], [['UPSTREAM_LOST'], ['server_lost']]);
  });
});
