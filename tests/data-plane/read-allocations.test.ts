/**
 * What reading into memory that is used again saves, on real sockets: replies of several sizes are
 * relayed to clients of which some are slow, once as Node hands bytes out, once as the proxy reads.
 * Here's how it works: server and clients allocate nothing themselves, so what the process holds
 * outside of the JavaScript heap grows by what the relay has read; each growth is added up.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { BufferPool } from '@dbbouncer/data-plane/buffers/buffer-pool.ts';
import { relayRun } from '@dbbouncer/data-plane/session/postgres/relay-run.ts';
import { ServerReads } from '@dbbouncer/data-plane/upstream/server-reads.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { SETTINGS } from '@dbbouncer/shared/settings/setting-list.ts';

const CLIENTS = 8;
const REQUESTS = 24;
/** Bytes of the replies, in turn: mostly short ones, as a web application has. */
const REPLIES = [400, 400, 400, 6_000, 400, 3_000_000];
const FEWER_BYTES_MIN = 0.3;
const HITS_MIN = 0.8;

const reply = Buffer.alloc(Math.max(...REPLIES), 'r');
const servers: Server[] = [];

async function listen(serve: (socket: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true }, serve).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** Adds up by how much the memory outside of the heap grows from one look to the next. */
class Growth {
  bytes = 0;
  #last = process.memoryUsage().arrayBuffers;

  look(): void {
    const now = process.memoryUsage().arrayBuffers;
    this.bytes += Math.max(0, now - this.#last);
    this.#last = now;
  }
}

/** A client with memory of its own: asks, reads, asks again. Every other one is slow. */
function ask(port: number, isSlow: boolean): Promise<void> {
  const buffer = Buffer.alloc(64 * 1024);
  let [asked, owed] = [0, 0];
  return new Promise((resolve) => {
    const next = () => {
      owed = REPLIES[asked % REPLIES.length] as number;
      socket.write(String(asked % REPLIES.length));
      asked += 1;
    };
    const callback = (bytes: number) => {
      owed -= bytes;
      const rests = isSlow && owed > 0;
      if (rests) setTimeout(() => socket.resume(), 1);
      else if (owed === 0 && asked === REQUESTS) socket.end();
      else if (owed === 0) next();
      return !rests;
    };
    const socket = connect({ port, host: '127.0.0.1', onread: { buffer, callback } }, next);
    socket.once('close', () => resolve());
  });
}

async function load(port: number): Promise<void> {
  await Promise.all(Array.from({ length: CLIENTS }, (_, i) => ask(port, i % 2 === 1)));
}

/** Ties a client's socket to a server connection. */
function tie(client: Socket, upstream: Socket): void {
  client.on('data', (chunk: Buffer) => upstream.write(chunk));
  client.on('drain', () => upstream.resume());
  client.on('end', () => upstream.end());
  upstream.on('error', () => client.destroy());
}

describe('memory that server connections read into', () => {
  let port: number;
  before(async () => {
    port = await listen((socket) => {
      socket.on('data', (asked: Buffer) => {
        socket.write(reply.subarray(0, REPLIES[Number(asked.toString())]));
      });
    });
  });
  after(() => {
    for (const server of servers) server.close();
  });

  it("costs 30 % fewer bytes than Node's own, and 80 % of its buffers are used again", async () => {
    const usual = new Growth();
    const usualPort = await listen((client) => {
      const upstream = connect({ port, host: '127.0.0.1', noDelay: true });
      tie(client, upstream);
      upstream.on('data', (chunk: Buffer) => {
        usual.look();
        if (!client.write(chunk)) upstream.pause();
      });
    });
    await load(usualPort);
    usual.bytes = 0;
    await load(usualPort);

    const { bufferInitialSizeBytes, bufferMaxSizeBytes } = SETTINGS;
    const [initialBytes, maxBytes] = [bufferInitialSizeBytes.default, bufferMaxSizeBytes.default];
    const buffers = new BufferPool({ initialBytes, maxBytes });
    const ours = new Growth();
    const ourPort = await listen((client) => {
      const reads = new ServerReads(buffers, systemClock);
      const upstream = connect({ port, host: '127.0.0.1', noDelay: true, onread: reads.onread });
      reads.readFrom(upstream);
      tie(client, upstream);
      const from = { lendRun: (to: Socket) => reads.lendTo(to) };
      reads.consume((chunk) => {
        ours.look();
        if (!relayRun(chunk, from, client)) upstream.pause();
      });
    });
    await load(ourPort);

    const cold = { ...buffers.counts };
    ours.bytes = 0;
    await load(ourPort);
    const [gets, misses] = [buffers.counts.gets - cold.gets, buffers.counts.misses - cold.misses];
    const [hits, fewer] = [1 - misses / gets, 1 - ours.bytes / usual.bytes];
    assert.ok(fewer >= FEWER_BYTES_MIN, `${ours.bytes} bytes instead of ${usual.bytes}`);
    assert.ok(hits >= HITS_MIN, `${misses} of ${gets} buffers were allocated`);
    assert.ok(gets >= CLIENTS, 'each connection has one');
  });
});
