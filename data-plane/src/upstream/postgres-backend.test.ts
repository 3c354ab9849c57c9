/** What of a server's words is one large result, over which it is read from with rests. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { duplexPair } from 'node:stream';
import { describe, it } from 'node:test';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { frame } from '../../../tests/support/raw-client.ts';
import { BufferPool } from '../buffers/buffer-pool.ts';
import { FORWARD } from '../wire/postgres/frame-scanner.ts';
import type { LeakDetector } from './leaks/leak-detector.ts';
import { PostgresBackend } from './postgres-backend.ts';
import type { ReplySink } from './postgres-backend.ts';
import { BYTES_BEFORE_REST } from './read-pace.ts';
import { ServerReads } from './server-reads.ts';

const ROOM = 16 * 1_024;
const forwards: ReplySink = {
  runs: 'borrowed',
  needsBody: () => false,
  frame: () => FORWARD,
  forward: () => {},
  settled: () => {},
  drained: () => {},
  lost: (error) => assert.fail(error),
};

/** @returns has the backend read this, as Node does, and says whether it would read on */
function backendThatReads(): (bytes: Buffer) => boolean {
  const socket = duplexPair()[0] as unknown as Socket;
  const clock = new ManualClock();
  const reads = new ServerReads(new BufferPool({ initialBytes: ROOM, maxBytes: ROOM }), clock);
  reads.readFrom(socket);
  const backend = new PostgresBackend({
    socket,
    reads,
    sink: forwards,
    events: { closed: () => {} },
    address: { host: '127.0.0.1', port: 1 },
    initSql: undefined,
    leaks: undefined as unknown as LeakDetector,
    tls: undefined,
    clock,
    log: silentLogger,
  });
  assert.ok(backend.usable);
  const next = reads.onread.buffer as () => Buffer;
  return (bytes) => {
    const buffer = next();
    bytes.copy(buffer);
    return reads.onread.callback(bytes.length, buffer);
  };
}

const rows = Buffer.concat(Array.from({ length: 8 }, () => frame('D', Buffer.alloc(1_000))));
const end = Buffer.concat([frame('C', Buffer.from('SELECT 8\0')), frame('Z', Buffer.from('I'))]);
const readsOfLargeResult = Math.ceil(BYTES_BEFORE_REST / rows.length);

describe('PostgresBackend', () => {
  it('rests between reads once more than 4 MB of rows have come without another message', () => {
    const read = backendThatReads();
    for (let i = 1; i < readsOfLargeResult; i++) assert.equal(read(rows), true);
    assert.equal(read(rows), false);
  });

  it('does so over one row of 20 MB, and over COPY', () => {
    const read = backendThatReads();
    const header = frame('D', Buffer.alloc(20 * 1_024 * 1_024)).subarray(0, rows.length);
    read(header);
    for (let i = 2; i < readsOfLargeResult; i++) assert.equal(read(rows), true);
    assert.equal(read(rows), false);
    const readCopy = backendThatReads();
    const data = frame('d', Buffer.alloc(rows.length - 5));
    for (let i = 1; i < readsOfLargeResult; i++) assert.equal(readCopy(data), true);
    assert.equal(readCopy(data), false);
  });

  it('never does so over results of 4 MB and less, however many follow each other', () => {
    const read = backendThatReads();
    for (let result = 0; result < 10; result++) {
      for (let i = 2; i < readsOfLargeResult; i++) assert.equal(read(rows), true);
      assert.equal(read(end), true);
    }
  });
});
