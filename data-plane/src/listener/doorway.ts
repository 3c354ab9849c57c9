/**
 * Where accepted sockets of all listeners come in and are handed to their protocol, with the
 * address of whose they are.
 * Owns: how many may be there at once, the header a trusted load balancer sends ahead.
 * Leaves: everything a client says itself to its protocol's session code.
 */
import type { Socket } from 'node:net';
import type { Cidr } from '@dbbouncer/shared/kernel/ip-address.ts';
import { cidrContains } from '@dbbouncer/shared/kernel/ip-address.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { clientAddress, UNIX_CLIENT } from '../access/client-address.ts';
import type { ClientAddress } from '../access/client-address.ts';
import { ProxyHeaderError, readProxyHeader } from '../access/proxy-header.ts';
import { proxyErrors } from '../errors.ts';

/** What a protocol does with the sockets of its listeners; neither may throw. */
export interface Reception {
  /** Takes over the socket of this client. */
  serve(socket: Socket, address: ClientAddress): void;
  /** Tells it in the words of the protocol why it is not served, and closes it. */
  refuse(socket: Socket, address: ClientAddress, error: AppError): void;
}

export interface DoorwayOptions {
  /** Sockets at once; beyond it they are closed unheard. */
  readonly connectionsMax: number;
  /** From where every connection begins with a PROXY protocol header. */
  readonly balancers: readonly (Cidr | 'unix')[];
  readonly headerTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

const DROPS_PER_LINE = 1_000;

export class Doorway {
  readonly #options: DoorwayOptions;
  readonly #announcing = new Set<Socket>();
  #open = 0;
  #dropped = 0;
  #emptied: PromiseWithResolvers<void> | undefined;

  constructor(options: DoorwayOptions) {
    this.#options = options;
  }

  /** One for all sockets: a closure of its own would stay with each for its life. */
  readonly #left = (): void => {
    this.#open -= 1;
    if (this.#open === 0) this.#emptied?.resolve();
  };

  /** Resolves when every socket is closed, or `withinMs` have passed. */
  async emptied(withinMs: number): Promise<void> {
    if (this.#open === 0) return;
    this.#emptied ??= Promise.withResolvers();
    const timer = this.#options.clock.after(withinMs, this.#emptied.resolve);
    await this.#emptied.promise;
    timer.cancel();
  }

  /** The way of one listener's sockets to its protocol. */
  to(reception: Reception, transport: 'tcp' | 'unix'): (socket: Socket) => void {
    return (socket) => {
      if (this.#open >= this.#options.connectionsMax) return this.#drop(socket);
      this.#open += 1;
      socket.on('close', this.#left);
      const address = transport === 'unix' ? UNIX_CLIENT : clientAddress(socket.remoteAddress);
      if (this.#isBalancer(address)) this.#awaitHeader(socket, address, reception);
      else reception.serve(socket, address);
    };
  }

  /** Nobody new is served: those whose header has not come yet are closed. */
  close(): void {
    for (const socket of this.#announcing) socket.destroy();
  }

  /** One line for the first, and for every thousandth: a flood must not fill the log too. */
  #drop(socket: Socket): void {
    socket.on('error', () => {});
    socket.destroy();
    this.#dropped += 1;
    if (this.#dropped % DROPS_PER_LINE !== 1) return;
    const { connectionsMax, log } = this.#options;
    const fields = { dropped: this.#dropped, connectionsMax };
    log.error(fields, 'connections closed unheard: too many at once');
  }

  #isBalancer(address: ClientAddress): boolean {
    return this.#options.balancers.some((trusted) =>
      trusted === 'unix'
        ? address.kind === 'unix'
        : address.kind === 'ip' && cidrContains(trusted, address.ip),
    );
  }

  /** The header may come byte by byte; what is behind it is given back to the socket. */
  #awaitHeader(socket: Socket, balancer: ClientAddress, reception: Reception): void {
    const { clock, headerTimeoutMs } = this.#options;
    let bytes = Buffer.alloc(0);
    const received = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const header = readHeader(bytes);
      if (header === 'incomplete') return;
      leave();
      if (header instanceof ProxyHeaderError) {
        return reception.refuse(socket, balancer, refusedHeader(header));
      }
      socket.pause();
      const rest = bytes.subarray(header.headerBytes);
      if (rest.length > 0) socket.unshift(rest);
      const { client } = header;
      reception.serve(socket, client === undefined ? balancer : { kind: 'ip', ip: client });
      socket.resume();
    };
    // A check that only connects, or a balancer that is gone: there is nobody to tell.
    const gone = (): void => {
      leave();
      socket.destroy();
    };
    const deadline = clock.after(headerTimeoutMs, () => {
      leave();
      reception.refuse(socket, balancer, missingHeader(headerTimeoutMs));
    });
    const leave = (): void => {
      deadline.cancel();
      this.#announcing.delete(socket);
      socket.off('data', received).off('end', gone).off('error', gone).off('close', gone);
    };
    this.#announcing.add(socket);
    socket.on('data', received).on('end', gone).on('error', gone).on('close', gone);
  }
}

function readHeader(bytes: Buffer): ReturnType<typeof readProxyHeader> | ProxyHeaderError {
  try {
    return readProxyHeader(bytes);
  } catch (error) {
    if (error instanceof ProxyHeaderError) return error;
    throw error;
  }
}

const HINT =
  'Have the load balancer send PROXY protocol headers, or take its address out of' +
  ' listen.proxy_protocol_from.';

function refusedHeader({ message }: ProxyHeaderError): AppError {
  return proxyErrors.fail('PROXY_HEADER_INVALID', message, { hint: HINT });
}

function missingHeader(timeoutMs: number): AppError {
  const message = `no PROXY protocol header within client_login_timeout (${timeoutMs} ms)`;
  return proxyErrors.fail('PROXY_HEADER_INVALID', message, { hint: HINT });
}
