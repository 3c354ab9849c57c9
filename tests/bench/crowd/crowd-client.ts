/**
 * One of many clients: logs in with SCRAM, then asks the same again and again when it is told to.
 * Owns: its socket and the conversation on it. Leaves: when to ask, and what times mean, to
 * crowd-run.ts and churn-run.ts.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { clientFinal, fields, frame, saslInitial, startup } from '../../support/raw-client.ts';
import type { Login } from '../contender.ts';
import { Frames } from './frames.ts';

export interface CrowdClientEvents {
  loggedIn(client: CrowdClient): void;
  answered(client: CrowdClient): void;
  /** The words of an ErrorResponse or of the socket; the client is over, or has only been told. */
  failed(client: CrowdClient, words: string): void;
}

export interface CrowdTarget {
  readonly host: string;
  readonly port: number;
  /** Many clients need more ports than one address has. */
  readonly localAddress: string;
}

type State = 'connecting' | 'logging_in' | 'idle' | 'asking' | 'over';

const AUTHENTICATION = 'R'.charCodeAt(0);
const ERROR = 'E'.charCodeAt(0);
const READY = 'Z'.charCodeAt(0);
const [SASL, SASL_CONTINUE] = [10, 11];

const TERMINATE = frame('X', Buffer.alloc(0));

/** All clients read into one buffer, each in its own turn. */
const READ_BUFFER = new Uint8Array(64 * 1024);

export class CrowdClient {
  readonly #socket: Socket;
  readonly #events: CrowdClientEvents;
  readonly #login: Login;
  readonly #nonce = `n=,r=${randomBytes(18).toString('base64')}`;
  #state: State = 'connecting';
  /** When what it is doing began, or was to begin. In milliseconds of `performance`. */
  sinceMs: number;

  constructor(target: CrowdTarget, login: Login, events: CrowdClientEvents) {
    this.#login = login;
    this.#events = events;
    this.sinceMs = performance.now();
    const frames = new Frames((type, body) => this.#take(type, body));
    const callback = (bytes: number): boolean => {
      frames.push(READ_BUFFER.subarray(0, bytes));
      return true;
    };
    this.#socket = connect({ ...target, noDelay: true, onread: { buffer: READ_BUFFER, callback } });
    this.#socket.once('connect', () => this.#begin());
    this.#socket.on('error', (error) => this.#end(error.message));
    this.#socket.on('close', () => this.#end('the connection was closed'));
  }

  get state(): State {
    return this.#state;
  }

  ask(bytes: Buffer, sinceMs: number): void {
    this.#state = 'asking';
    this.sinceMs = sinceMs;
    this.#socket.write(bytes);
  }

  /** Says goodbye, and nothing more to its owner. */
  leave(): void {
    this.#state = 'over';
    this.#socket.end(TERMINATE);
  }

  #begin(): void {
    this.#state = 'logging_in';
    const { user, database } = this.#login;
    this.#socket.write(startup({ user, database }));
  }

  #take(type: number, body: Uint8Array): void {
    if (type === READY) this.#ready();
    else if (type === ERROR) this.#events.failed(this, wordsOf(body));
    else if (type === AUTHENTICATION) this.#prove(Buffer.from(body));
  }

  #ready(): void {
    const was = this.#state;
    this.#state = 'idle';
    if (was === 'asking') this.#events.answered(this);
    else this.#events.loggedIn(this);
  }

  #prove(body: Buffer): void {
    const kind = body.readInt32BE(0);
    if (kind === SASL) this.#socket.write(saslInitial(`n,,${this.#nonce}`));
    if (kind !== SASL_CONTINUE) return;
    const proof = clientFinal(this.#login.password, this.#nonce, body.toString('utf8', 4));
    this.#socket.write(frame('p', Buffer.from(proof)));
  }

  #end(words: string): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#socket.destroy();
    this.#events.failed(this, words);
  }
}

function wordsOf(body: Uint8Array): string {
  const { C = '?', M = '' } = fields({ type: 'E', body: Buffer.from(body) });
  return `${C}: ${M}`;
}
