/**
 * What can stand between the proxy and a database server: a relay that notes how connections begin,
 * one that speaks TLS on both sides (a man in the middle), and servers that answer with set bytes.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { KeyAndCertificate } from './certificates.ts';
import { eventually } from './eventually.ts';
import { requestTls } from './tls-client.ts';

const HOST = '127.0.0.1';
/** Length and code of a packet without a type byte. */
const HEAD_BYTES = 8;

export interface Relay {
  readonly port: number;
  /** The codes with which connections have begun, such as 80877103 for an SSLRequest. */
  readonly codes: readonly number[];
  close(): void;
}

/** A server that accepts and does not answer, as long as somebody wants it so. */
export interface HeldRelay extends Relay {
  /** Connections that wait to be passed on. */
  readonly held: number;
  /** The most there have been at one moment. */
  readonly mostHeld: number;
  /** Passes on the one that is held the longest. */
  passOne(): void;
  /** Passes on all of them, and those that come later. */
  open(): void;
  /** From now on connections are held again; those passed on stay. */
  hold(): void;
}

/** Keeps connections to the server at `port` waiting until they are passed on. */
export async function holdBack(port: number): Promise<HeldRelay> {
  const held = new Set<Socket>();
  let state: 'holding' | 'open' = 'holding';
  let mostHeld = 0;
  const pass = (socket: Socket): void => {
    held.delete(socket);
    join(socket, connect({ host: HOST, port }));
  };
  const relay = await listen([], (socket) => {
    if (state === 'open') return pass(socket);
    held.add(socket);
    mostHeld = Math.max(mostHeld, held.size);
    socket.on('close', () => held.delete(socket));
  });
  return {
    ...relay,
    get held() {
      return held.size;
    },
    get mostHeld() {
      return mostHeld;
    },
    passOne: () => {
      for (const socket of held) return pass(socket);
    },
    open: () => {
      state = 'open';
      for (const socket of Array.from(held)) pass(socket);
    },
    hold: () => {
      state = 'holding';
    },
  };
}

/** Passes bytes on as they are. */
export function noteBeginnings(port: number): Promise<Relay> {
  const codes: number[] = [];
  return listen(codes, (socket) => {
    const server = connect({ host: HOST, port });
    socket.once('data', (chunk: Buffer) => {
      if (chunk.length >= HEAD_BYTES) codes.push(chunk.readInt32BE(4));
    });
    join(socket, server);
  });
}

/** Shows `certificate` to whoever connects, and speaks TLS with the server itself. */
export async function manInTheMiddle(port: number, certificate: KeyAndCertificate): Promise<Relay> {
  const tls = createTlsServer(certificate);
  tls.on('secureConnection', (secure) => {
    void requestTls({ host: HOST, port }, { rejectUnauthorized: false }).then((server) =>
      join(secure, server),
    );
  });
  const codes: number[] = [];
  return listen(codes, (socket) => {
    socket.once('data', (chunk: Buffer) => {
      codes.push(chunk.readInt32BE(4));
      socket.pause();
      socket.write('S');
      tls.emit('connection', socket);
    });
  });
}

export interface CancelGate extends Relay {
  /** Lets the cancel requests pass that have come, and those to come. */
  open(): void;
  /** Resolves when `count` cancel requests stand before the gate. */
  arrived(count: number): Promise<void>;
}

const CANCEL_REQUEST = 80877102;

/** Passes everything on but cancel requests, which wait until the gate is opened. */
export async function holdCancels(port: number): Promise<CancelGate> {
  const opened = Promise.withResolvers<void>();
  const codes: number[] = [];
  const relay = await listen(codes, (socket) => {
    socket.once('data', (first: Buffer) => {
      socket.pause();
      const code = first.length >= HEAD_BYTES ? first.readInt32BE(4) : 0;
      codes.push(code);
      const server = connect({ host: HOST, port });
      const begin = () => {
        server.write(first);
        join(socket, server);
      };
      if (code === CANCEL_REQUEST) void opened.promise.then(begin);
      else begin();
    });
  });
  const waiting = () => codes.filter((code) => code === CANCEL_REQUEST).length;
  const arrived = (count: number) =>
    eventually(`${count} cancel requests stand before the gate`, () => waiting() >= count);
  return {
    ...relay,
    open: () => opened.resolve(),
    arrived: async (count) => void (await arrived(count)),
  };
}

/** Answers whatever comes first with `bytes`, and says no more. */
export function answerWith(bytes: Buffer): Promise<Relay> {
  return listen([], (socket) => {
    socket.once('data', () => socket.write(bytes));
  });
}

function join(one: Socket, other: Socket): void {
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
  }
}

async function listen(codes: readonly number[], serve: (socket: Socket) => void): Promise<Relay> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    serve(socket);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = () => {
    server.close();
    for (const socket of open) socket.destroy();
  };
  return { port, codes, close };
}
