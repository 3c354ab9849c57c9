/**
 * A PostgreSQL client that sends exactly the bytes it is told to, for tests of what drivers never
 * do. Frames are cut by its own few lines, not by the code under test.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

export interface RawMessage {
  /** The type byte as a letter. */
  readonly type: string;
  readonly body: Buffer;
}

/** What BackendKeyData says. */
export interface CancelKey {
  readonly processId: number;
  readonly secretKey: Buffer;
}

export interface RawAddress {
  readonly host: string;
  readonly port: number;
  /** Where to connect from, such as another address of the loopback network. */
  readonly localAddress?: string;
  /** A socket file, instead of host and port. */
  readonly path?: string;
}

export interface RawLogin {
  readonly user: string;
  readonly password: string;
  readonly database?: string;
  /** More startup parameters. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** Of protocol 3; default is 0. */
  readonly minor?: number;
}

export class RawClient {
  readonly socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: (() => void) | undefined;
  #key: CancelKey | undefined;
  readonly #parameters = new Map<string, string>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake?.();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#ended = true;
      this.#wake?.();
    });
  }

  static async connect(address: RawAddress): Promise<RawClient> {
    const { host, port, localAddress, path } = address;
    const from = localAddress === undefined ? {} : { localAddress };
    const socket = connect(path === undefined ? { host, port, noDelay: true, ...from } : { path });
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  /** On a connection that somebody else has made, for example through TLS. */
  static over(socket: Socket): RawClient {
    return new RawClient(socket);
  }

  /** Connects and logs in with SCRAM; returns when the first ReadyForQuery has come. */
  static async login(address: RawAddress, login: RawLogin): Promise<RawClient> {
    const client = await RawClient.connect(address);
    await client.authenticate(login);
    return client;
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The next message, or undefined when the connection has ended. */
  async next(): Promise<RawMessage | undefined> {
    for (;;) {
      const message = this.#cut();
      if (message !== undefined) return message;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #cut(): RawMessage | undefined {
    if (this.#buffer.length < 5) return undefined;
    const length = this.#buffer.readInt32BE(1);
    if (this.#buffer.length < 1 + length) return undefined;
    const type = String.fromCharCode(this.#buffer[0] as number);
    const body = this.#buffer.subarray(5, 1 + length);
    this.#buffer = this.#buffer.subarray(1 + length);
    return { type, body };
  }

  /** Messages up to and with the next one of `type`; fewer when the connection ends first. */
  async until(type: string): Promise<RawMessage[]> {
    const messages: RawMessage[] = [];
    for (;;) {
      const message = await this.next();
      if (message === undefined) return messages;
      messages.push(message);
      if (message.type === type) return messages;
    }
  }

  /** Resolves when the other side has closed. */
  async closed(): Promise<void> {
    while ((await this.next()) !== undefined);
  }

  /** @returns the greeting */
  async authenticate(login: RawLogin): Promise<readonly RawMessage[]> {
    const { user, password, database, parameters, minor } = login;
    const named = { user, ...(database === undefined ? {} : { database }), ...parameters };
    this.send(startup(named, minor));
    const asked = await this.#expect('R');
    if (asked.body.readInt32BE(0) !== 10) throw new Error('SASL was not asked for');
    const bare = `n=,r=${randomBytes(18).toString('base64')}`;
    this.send(saslInitial(`n,,${bare}`));
    const serverFirst = (await this.#expect('R')).body.toString('utf8', 4);
    this.send(frame('p', Buffer.from(clientFinal(password, bare, serverFirst))));
    await this.#expect('R');
    await this.#expect('R');
    const greeting = await this.until('Z');
    for (const { type, body } of greeting) {
      if (type === 'S') {
        const [name = '', value = ''] = body.toString('utf8').split('\0');
        this.#parameters.set(name, value);
      }
      if (type === 'K') this.#key = { processId: body.readInt32BE(0), secretKey: body.subarray(4) };
    }
    return greeting;
  }

  /** What the greeting said of a parameter. */
  parameter(name: string): string | undefined {
    return this.#parameters.get(name);
  }

  /** The cancel key of this session. */
  key(): CancelKey {
    if (this.#key === undefined) throw new Error('this client has not logged in');
    return this.#key;
  }

  /** Sends a CancelRequest as the only message of this connection. */
  cancel({ processId, secretKey }: CancelKey): void {
    const header = Buffer.alloc(12);
    header.writeInt32BE(12 + secretKey.length, 0);
    header.writeInt32BE(80877102, 4);
    header.writeInt32BE(processId, 8);
    this.send(Buffer.concat([header, secretKey]));
  }

  async #expect(type: string): Promise<RawMessage> {
    const message = await this.next();
    if (message?.type === type) return message;
    throw new Error(message === undefined ? 'connection ended' : errorText(message), {
      cause: message,
    });
  }

  end(): void {
    this.socket.end(frame('X', Buffer.alloc(0)));
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** The answer to a SCRAM challenge, RFC 5802 §3. */
export function clientFinal(password: string, bare: string, serverFirst: string): string {
  const fields = new Map(
    serverFirst.split(',').map((part) => [part[0], part.slice(2)] as [string, string]),
  );
  const salt = Buffer.from(fields.get('s') ?? '', 'base64');
  const salted = saltedPassword(password, salt, Number(fields.get('i')));
  const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const clientKey = hmac(salted, 'Client Key');
  const storedKey = createHash('sha256').update(clientKey).digest();
  const withoutProof = `c=biws,r=${fields.get('r')}`;
  const signature = hmac(storedKey, `${bare},${serverFirst},${withoutProof}`);
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] as number)));
  return `${withoutProof},p=${proof.toString('base64')}`;
}

const SALTED_MAX = 1_000;
const salteds = new Map<string, Buffer>();

/** Kept, as drivers with many connections do: it takes a millisecond on purpose. */
function saltedPassword(password: string, salt: Buffer, iterations: number): Buffer {
  const name = `${iterations} ${salt.toString('base64')} ${password}`;
  const known = salteds.get(name);
  if (known !== undefined) return known;
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  if (salteds.size >= SALTED_MAX) salteds.clear();
  salteds.set(name, salted);
  return salted;
}

/** SASLInitialResponse for SCRAM-SHA-256. */
export function saslInitial(clientFirst: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(Buffer.byteLength(clientFirst));
  return frame('p', Buffer.concat([cstring('SCRAM-SHA-256'), length, Buffer.from(clientFirst)]));
}

export function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

export function frame(type: string, body: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.write(type, 0, 'latin1');
  header.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([header, body]);
}

/** @param minor of protocol 3 */
export function startup(parameters: Readonly<Record<string, string>>, minor = 0): Buffer {
  const pairs = Object.entries(parameters).flatMap((pair) => pair.map(cstring));
  const version = Buffer.from([0, 3, minor >> 8, minor & 0xff]);
  const body = Buffer.concat([version, ...pairs, Buffer.from([0])]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(4 + body.length);
  return Buffer.concat([length, body]);
}

export const query = (sql: string): Buffer => frame('Q', cstring(sql));
export function parse(sql: string, name = '', types: readonly number[] = []): Buffer {
  const oids = Buffer.alloc(2 + 4 * types.length);
  oids.writeInt16BE(types.length);
  for (const [index, oid] of types.entries()) oids.writeInt32BE(oid, 2 + 4 * index);
  return frame('P', Buffer.concat([cstring(name), cstring(sql), oids]));
}
/** Text parameters, text results. */
export function bind(values: readonly string[] = [], statement = '', portal = ''): Buffer {
  const parameters = values.flatMap((value) => {
    const length = Buffer.alloc(4);
    length.writeInt32BE(Buffer.byteLength(value));
    return [length, Buffer.from(value)];
  });
  const count = Buffer.alloc(2);
  count.writeInt16BE(values.length);
  const none = Buffer.alloc(2);
  return frame(
    'B',
    Buffer.concat([cstring(portal), cstring(statement), none, count, ...parameters, none]),
  );
}
export const describe = (what: 'S' | 'P', name = ''): Buffer =>
  frame('D', Buffer.concat([Buffer.from(what), cstring(name)]));
export const close = (what: 'S' | 'P', name = ''): Buffer =>
  frame('C', Buffer.concat([Buffer.from(what), cstring(name)]));
export const execute = (portal = '', rowsMax = 0): Buffer => {
  const limit = Buffer.alloc(4);
  limit.writeInt32BE(rowsMax);
  return frame('E', Buffer.concat([cstring(portal), limit]));
};
export const sync = (): Buffer => frame('S', Buffer.alloc(0));
export const flush = (): Buffer => frame('H', Buffer.alloc(0));
export const copyData = (text: string): Buffer => frame('d', Buffer.from(text));
export const copyDone = (): Buffer => frame('c', Buffer.alloc(0));

/** The fields of an ErrorResponse or NoticeResponse by their letters. */
export function fields({ body }: RawMessage): Readonly<Record<string, string>> {
  const entries = body
    .toString('utf8')
    .split('\0')
    .filter((part) => part !== '')
    .map((part) => [part.charAt(0), part.slice(1)]);
  return Object.fromEntries(entries) as Record<string, string>;
}

export function errorText(message: RawMessage): string {
  if (message.type !== 'E') return `message ${message.type}`;
  const { C, M } = fields(message);
  return `${C}: ${M}`;
}

/** The first column of each DataRow, as text. */
export function firstColumns(messages: readonly RawMessage[]): string[] {
  return messages
    .filter(({ type }) => type === 'D')
    .map(({ body }) => body.toString('utf8', 6, 6 + body.readInt32BE(2)));
}
