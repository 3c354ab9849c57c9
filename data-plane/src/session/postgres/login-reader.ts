/**
 * Reads a client's messages one by one until it is logged in, then hands the socket on with what
 * came behind.
 * Owns: the bound on what an unauthenticated client may make us keep. Leaves: the conversation to
 * login.ts.
 */
import type { Socket } from 'node:net';
import type { ClientTlsPort, SecureChannel } from '../../tls/client-tls.ts';
import { FirstPacketReader } from '../../wire/postgres/startup-message.ts';
import type { FirstPacket } from '../../wire/postgres/startup-message.ts';
import { AUTH_MESSAGE_BYTES_MAX } from '../../wire/postgres/limits.ts';
import { FRONTEND } from '../../wire/postgres/message-types.ts';
import { WireError } from '../../wire/wire-error.ts';
import { listenTo, NOBODY, stopListening } from './client-socket.ts';
import type { SocketOwner } from './client-socket.ts';

/** The client closed its side or said Terminate, or its time ran out, before it was logged in. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

const HEADER_BYTES = 5;
const EMPTY = Buffer.alloc(0);
/**
 * What a driver sends first that is told to end while it connects; its startup may still follow.
 * Servers say nothing to it, and the driver expects nothing.
 */
const TERMINATE = Buffer.from([FRONTEND.Terminate, 0, 0, 0, 4]);

/**
 * - `clear`: bytes go as they are
 * - `handshake`: they belong to TLS; nobody may write any
 * - `encrypted`: they go through TLS
 */
export type Transport = 'clear' | 'handshake' | 'encrypted';

export class LoginReader implements SocketOwner {
  #socket: Socket;
  #transport: Transport = 'clear';
  #channel: SecureChannel | undefined;
  #buffer: Buffer = EMPTY;
  /** Said already, and not sent yet. */
  #first: Buffer | undefined;
  readonly #leave: () => void;
  #gone = false;
  /** For the one who waits for bytes. */
  #waiting: PromiseWithResolvers<void> | undefined;

  /** @param leave the client is gone, or given up; called once or more */
  constructor(socket: Socket, leave: () => void) {
    this.#socket = socket;
    this.#leave = leave;
    listenTo(socket, this);
  }

  /** Of the moment: encryption puts another in its place. */
  get socket(): Socket {
    return this.#socket;
  }

  get transport(): Transport {
    return this.#transport;
  }

  /** What was agreed on the encrypted connection; nothing on one in clear. */
  get channel(): SecureChannel | undefined {
    return this.#channel;
  }

  received(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    // Nobody may make us keep more than one read ahead of the conversation.
    if (waiting === undefined) this.#socket.pause();
    else waiting.resolve();
  }

  drained(): void {}

  left(): void {
    this.#gone = true;
    this.#leave();
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (this.#buffer.length > 0) waiting?.resolve();
    else waiting?.reject(clientGone());
  }

  /** Sends `messages` in one write, behind what was said first. */
  say(...messages: readonly Buffer[]): void {
    const said = this.#first === undefined ? messages : [this.#first, ...messages];
    this.#first = undefined;
    const [only] = said;
    this.#socket.write(said.length === 1 && only !== undefined ? only : Buffer.concat(said));
  }

  /** Says what more will follow: it is sent with that. */
  sayFirst(message: Buffer): void {
    this.#first = this.#first === undefined ? message : Buffer.concat([this.#first, message]);
  }

  /** Resolves when more bytes have come. @throws ClientGone */
  #more(): Promise<void> {
    if (this.#gone) throw clientGone();
    this.#waiting = Promise.withResolvers();
    if (this.#socket.isPaused()) this.#socket.resume();
    return this.#waiting.promise;
  }

  /** Whether bytes have come that nobody has read yet. */
  get hasRest(): boolean {
    return this.#buffer.length > 0 || this.#socket.readableLength > 0;
  }

  /**
   * Goes on under TLS; bytes that have come are the beginning of the handshake.
   * @throws HandshakeFailed; the connection is closed then
   */
  async encrypt(tls: ClientTlsPort): Promise<void> {
    const begun = this.#buffer;
    const clear = this.#socket;
    stopListening(clear);
    this.#transport = 'handshake';
    clear.pause();
    if (begun.length > 0) clear.unshift(begun);
    this.#buffer = EMPTY;
    this.#channel = await tls.accept(clear);
    this.#socket = this.#channel.socket;
    this.#transport = 'encrypted';
    listenTo(this.#socket, this);
  }

  /** @throws WireError, ClientGone */
  async firstPacket(): Promise<FirstPacket> {
    const reader = new FirstPacketReader();
    for (;;) {
      if (beginsWithTerminate(this.#buffer)) throw new ClientGone('the client has ended its login');
      const arrival = reader.push(this.#buffer);
      if (arrival !== 'incomplete') {
        this.#buffer = arrival.rest;
        return arrival.packet;
      }
      this.#buffer = EMPTY;
      await this.#more();
    }
  }

  /**
   * The body of the client's next message, which must be of `type`. @throws WireError, ClientGone
   */
  async message(type: number): Promise<Buffer> {
    while (this.#buffer.length < HEADER_BYTES) await this.#more();
    const actual = this.#buffer[0] as number;
    const limit = AUTH_MESSAGE_BYTES_MAX;
    const bodyLength = this.#buffer.readInt32BE(1) - 4;
    if (actual === FRONTEND.Terminate) throw new ClientGone('the client has ended its login');
    if (actual !== type) {
      throw new WireError(`message "${String.fromCharCode(actual)}" is not allowed during login`);
    }
    if (bodyLength < 0 || bodyLength > limit) {
      throw new WireError(`a login message of ${bodyLength} bytes; at most ${limit} are allowed`);
    }
    while (this.#buffer.length < HEADER_BYTES + bodyLength) await this.#more();
    const body = this.#buffer.subarray(HEADER_BYTES, HEADER_BYTES + bodyLength);
    this.#buffer = this.#buffer.subarray(HEADER_BYTES + bodyLength);
    return body;
  }

  /** Ends the conversation: whoever waits for a message reads ClientGone. */
  abandon(): void {
    if (this.#transport !== 'handshake') listenTo(this.#socket, NOBODY);
    this.left();
  }

  /** What the client has sent beyond its login. */
  get rest(): Buffer {
    return this.#buffer;
  }

  get gone(): boolean {
    return this.#gone;
  }
}

function clientGone(): ClientGone {
  return new ClientGone('the client closed the connection during its login');
}

function beginsWithTerminate(bytes: Buffer): boolean {
  return bytes.length >= TERMINATE.length && TERMINATE.equals(bytes.subarray(0, TERMINATE.length));
}
