/** The memory that is read into: when it is used again, and when it must not be. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { BufferPool } from '../buffers/buffer-pool.ts';
import { BYTES_BEFORE_REST, REST_MS } from './read-pace.ts';
import { ServerReads } from './server-reads.ts';

const INITIAL = 1_024;
const MAX = 16 * 1_024;

interface Rig {
  readonly buffers: BufferPool;
  readonly reads: ServerReads;
  /** The memory that each read went to. */
  readonly memory: ArrayBufferLike[];
  /** Has one read of so many bytes happen. */
  readonly read: (bytes: number) => void;
}

/** Plays Node: asks for the buffer before each read. */
function rig(consume: (reads: ServerReads) => void = () => {}): Rig {
  const buffers = new BufferPool({ initialBytes: INITIAL, maxBytes: MAX });
  const reads = new ServerReads(buffers, new ManualClock());
  const memory: ArrayBufferLike[] = [];
  reads.consume((chunk) => {
    memory.push(chunk.buffer);
    consume(reads);
  });
  const next = reads.onread.buffer as () => Buffer;
  let buffer = next();
  const read = (bytes: number) => {
    reads.onread.callback(bytes, buffer);
    buffer = next();
  };
  return { buffers, reads, memory, read };
}

describe('ServerReads', () => {
  it('reads 1,000 times into one buffer', () => {
    const { memory, buffers, read } = rig();
    for (let i = 0; i < 1_000; i++) read(100);
    assert.equal(new Set(memory).size, 1);
    assert.deepEqual(buffers.counts, { gets: 1, misses: 1, returns: 0, discards: 0 });
  });

  it('grows fourfold with each read that fills the buffer, up to the largest', () => {
    const { memory, read } = rig();
    for (const bytes of [INITIAL, 4 * INITIAL, MAX, MAX]) read(bytes);
    read(1);
    assert.deepEqual(
      memory.map(({ byteLength }) => byteLength),
      [INITIAL, 4 * INITIAL, MAX, MAX, MAX],
    );
  });

  it('shrinks after 17 reads in a row that would have left room in a quarter of it', () => {
    const { memory, buffers, reads, read } = rig();
    for (const bytes of [INITIAL, 4 * INITIAL, MAX]) read(bytes);
    for (let i = 0; i < 16; i++) read(10);
    read(MAX / 2);
    for (let i = 0; i < 17; i++) read(10);
    assert.equal(memory.at(-1)?.byteLength, MAX);
    read(10);
    assert.equal(memory.at(-1)?.byteLength, INITIAL);
    reads.close();
    assert.equal(buffers.takenBytes, 0);
  });

  it('reads into other memory as long as somebody keeps what was read', () => {
    const { memory, buffers, read } = rig((reads) => reads.keep());
    for (let i = 0; i < 10; i++) read(100);
    assert.equal(new Set(memory).size, 10);
    assert.equal(buffers.counts.discards, 10);
    assert.equal(buffers.takenBytes, INITIAL);
  });

  it('gives its buffer back once it is closed, and hears nothing more', () => {
    const { memory, buffers, reads, read } = rig();
    reads.close();
    reads.close();
    read(1);
    assert.equal(memory.length, 0);
    assert.equal(buffers.freeBytes, INITIAL);
  });
});

describe('ServerReads, of a client that does not read', () => {
  let server: Server;
  let accepted: Socket;
  let client: Socket;

  before(async () => {
    server = createServer((socket) => (accepted = socket)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    client = connect((server.address() as { port: number }).port, '127.0.0.1').pause();
    await once(server, 'connection');
  });
  after(() => {
    client.destroy();
    accepted.destroy();
    server.close();
  });

  it('takes another buffer while one is lent, and uses it again once it was sent', async () => {
    // The kernel takes no more.
    const wall = Buffer.alloc(64 * 1_024 * 1_024, 'w');
    accepted.write(wall);
    let lent = true;
    const { buffers, memory, read } = rig((reads) => {
      if (lent) reads.lendTo(accepted);
    });
    read(100);
    read(100);
    assert.equal(new Set(memory).size, 2);
    assert.deepEqual(buffers.counts, { gets: 3, misses: 3, returns: 0, discards: 0 });
    lent = false;
    client.on('data', () => {}).resume();
    if (accepted.writableNeedDrain) await once(accepted, 'drain');
    await new Promise((resolve) => accepted.write('', resolve));
    assert.equal(buffers.counts.returns, 2);
    read(100);
    assert.equal(buffers.takenBytes, INITIAL);
  });

  it('keeps what is lent to two until both have sent it', async () => {
    const [first, second] = [new PassThrough(), new PassThrough()];
    for (const socket of [first, second]) socket.cork();
    const lend = (reads: ServerReads) => {
      for (const socket of [first, second]) reads.lendTo(socket as unknown as Socket);
    };
    const { buffers, read } = rig(lend);
    read(100);
    first.uncork();
    await new Promise(setImmediate);
    assert.equal(buffers.counts.returns, 0, 'the second has yet to send it');
    second.uncork();
    await new Promise(setImmediate);
    assert.equal(buffers.counts.returns, 1);
  });

  it('does not use again what somebody keeps beside a client', async () => {
    const socket = new PassThrough();
    const { buffers, read } = rig((reads) => {
      reads.lendTo(socket as unknown as Socket);
      reads.keep();
    });
    read(100);
    await new Promise(setImmediate);
    assert.deepEqual([buffers.counts.returns, buffers.counts.discards], [0, 1]);
  });

  it('gives up what a client has not taken that is gone', async () => {
    const wall = Buffer.alloc(64 * 1_024 * 1_024, 'w');
    client.pause();
    accepted.on('error', () => {}).write(wall);
    const { buffers, read } = rig((reads) => reads.lendTo(accepted));
    read(100);
    accepted.destroy();
    await once(accepted, 'close');
    assert.equal(buffers.counts.discards, 1);
    assert.equal(buffers.counts.returns, 0);
  });
});

describe('ServerReads, over a large result', () => {
  let clock: ManualClock;
  let server: Server;
  let sender: Socket;
  let receiver: Socket;
  let received: { bytes: number; readonly told: EventEmitter };

  beforeEach(async () => {
    clock = new ManualClock();
    const reads = new ServerReads(new BufferPool({ initialBytes: INITIAL, maxBytes: MAX }), clock);
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    receiver = connect({ port, host: '127.0.0.1', onread: reads.onread });
    reads.readFrom(receiver);
    [sender] = (await once(server, 'connection')) as [Socket];
    received = { bytes: 0, told: new EventEmitter() };
    reads.consume((chunk) => {
      received.bytes += chunk.length;
      received.told.emit('read');
    });
    // So much of the result has come that a read which finds no more is followed by a rest.
    reads.pace.after(BYTES_BEFORE_REST, BYTES_BEFORE_REST);
    await send(100);
    await heard(100);
  });
  afterEach(() => {
    receiver.destroy();
    sender.destroy();
    server.close();
  });

  /** The receiver's kernel has it; a socket that is read from would have told by now. */
  async function send(bytes: number): Promise<void> {
    await promisify<Buffer, void>(sender.write.bind(sender))(Buffer.alloc(bytes));
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  }

  async function heard(bytes: number): Promise<void> {
    while (received.bytes < bytes) await once(received.told, 'read');
    assert.equal(received.bytes, bytes);
  }

  it('reads nothing for a millisecond, then all that has come', async () => {
    for (let i = 0; i < 10; i++) await send(1_000);
    assert.equal(received.bytes, 100);
    await clock.pass(REST_MS);
    await heard(10_100);
  });

  it('leaves a socket paused that somebody has paused meanwhile', async () => {
    receiver.pause();
    await send(1_000);
    await clock.pass(REST_MS);
    await send(1_000);
    assert.equal(received.bytes, 100);
    receiver.resume();
    await heard(2_100);
  });

  it('forgets the rest when the connection ends', async () => {
    assert.equal(clock.pendingTimers, 1);
    receiver.destroy();
    await once(receiver, 'close');
    assert.equal(clock.pendingTimers, 0);
  });
});
