/**
 * The clients of a fleet drill: each asks something now and then, and when its connection is lost
 * it comes again, at the next proxy where its own does not let it in.
 * Owns: what is asked, and what becomes of each request. Leaves: adding up to request-book.ts.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import type { RawAddress, RawMessage } from '../support/raw-client.ts';
import type { RequestBook } from './request-book.ts';
import { PASSWORD, roleOf } from './tenants.ts';

export interface LoadOptions {
  readonly clients: number;
  /** In the order in which they are tried, from the client's own on. */
  readonly proxies: readonly RawAddress[];
  /** Between two requests of a client. */
  readonly restMs: number;
  readonly tenantOf: (client: number) => { readonly id: string };
  readonly book: RequestBook;
}

/** Longer than any limit that a tenant of a drill has; then the client gives up its connection. */
export const PATIENCE_MS = 5_000;
const COME_AGAIN_MS = 50;
/** Every fifth request writes. */
const WRITES_ONE_IN = 5;

export class FleetLoad {
  readonly #over = new AbortController();
  readonly #clients: readonly FleetClient[];
  readonly #lives: readonly Promise<void>[];

  constructor(options: LoadOptions) {
    this.#clients = Array.from(
      { length: options.clients },
      (_, number) => new FleetClient(number, options, this.#over.signal),
    );
    this.#lives = this.#clients.map((client) => client.live());
  }

  /** Has everybody go back to its own proxy. */
  spread(): void {
    for (const client of this.#clients) client.goHome();
  }

  async end(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#lives);
  }
}

/** Something was answered otherwise than asked. `over`: the connection is of no use any more. */
class Failed extends Error {
  readonly code: string;
  readonly connection: 'over' | 'kept';

  constructor(code: string, connection: 'over' | 'kept') {
    super(code);
    this.code = code;
    this.connection = connection;
  }
}

class FleetClient {
  readonly #number: number;
  readonly #options: LoadOptions;
  readonly #over: AbortSignal;
  readonly #tenant: string;
  #client: RawClient | undefined;
  /** Of the proxies; counts on where one does not let it in. */
  #place: number;
  #isToMove = false;
  #asked = 0;

  constructor(number: number, options: LoadOptions, over: AbortSignal) {
    this.#number = number;
    this.#options = options;
    this.#over = over;
    this.#place = number;
    this.#tenant = options.tenantOf(number).id;
  }

  async live(): Promise<void> {
    const { restMs, clients } = this.#options;
    await this.#rest((restMs * this.#number) / clients);
    while (!this.#over.aborted) {
      this.#notice();
      if (this.#client === undefined) await this.#attempt('login', () => this.#logIn());
      else if (this.#asked % WRITES_ONE_IN === 0) await this.#attempt('write', () => this.#write());
      else await this.#attempt('read', () => this.#read());
      await this.#rest(this.#client === undefined ? COME_AGAIN_MS : restMs);
    }
    this.#client?.end();
  }

  /** Before its next request. */
  goHome(): void {
    const { length } = this.#options.proxies;
    if (this.#place % length === this.#number % length) return;
    this.#place = this.#number;
    this.#isToMove = true;
  }

  /** As a driver does, it knows of a connection that has ended before it asks anything on it. */
  #notice(): void {
    if (this.#isToMove) this.#client?.end();
    if (this.#isToMove || this.#client?.socket.destroyed === true) this.#client = undefined;
    this.#isToMove = false;
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    const { book } = this.#options;
    const beganMs = performance.now();
    this.#asked += 1;
    const request = { client: this.#number, what, beganMs };
    try {
      await work();
      book.answered(request);
    } catch (error) {
      if (!(error instanceof Failed)) throw error;
      // Who leaves at the end of it all is no casualty.
      if (!this.#over.aborted) book.failed(request, error.code);
      if (error.connection === 'kept') return;
      this.#client?.destroy();
      this.#client = undefined;
      if (what === 'login') this.#place += 1;
    }
  }

  async #logIn(): Promise<void> {
    await this.#within(
      this.#connect().catch((error: unknown) => {
        throw new Failed(codeOf(error), 'over');
      }),
    );
  }

  async #connect(): Promise<void> {
    const { proxies } = this.#options;
    const address = proxies[this.#place % proxies.length];
    if (address === undefined) throw new Error('there is no proxy');
    this.#client = await RawClient.connect(address);
    const user = roleOf(this.#tenant);
    await this.#client.authenticate({ user, password: PASSWORD, database: this.#tenant });
  }

  async #read(): Promise<void> {
    const token = this.#token();
    const answer = await this.#ask(`SELECT '${token}'`);
    if (firstColumns(answer)[0] !== token) this.#options.book.fault(`"${token}" was not answered`);
  }

  async #write(): Promise<void> {
    const token = this.#token();
    await this.#ask('BEGIN');
    await this.#ask(`INSERT INTO drill VALUES ('${token}')`);
    await this.#ask('COMMIT');
    this.#options.book.committed(this.#tenant, token);
  }

  async #ask(sql: string): Promise<readonly RawMessage[]> {
    const client = this.#client;
    if (client === undefined) throw new Error('it is not logged in');
    client.send(query(sql));
    const messages = await this.#within(client.until('Z'));
    const end = messages.at(-1);
    const error = messages.find(({ type }) => type === 'E');
    if (end?.type !== 'Z') {
      throw new Failed(error === undefined ? 'cut off' : (fields(error)['C'] ?? '?'), 'over');
    }
    if (error === undefined) return messages;
    // A transaction that has failed is of no use to this client, and it comes again.
    const isIdle = end.body.toString('latin1') === 'I';
    throw new Failed(fields(error)['C'] ?? '?', isIdle ? 'kept' : 'over');
  }

  async #within<Value>(awaited: Promise<Value>): Promise<Value> {
    const patience = new AbortController();
    const limit = pause(PATIENCE_MS, 'silence' as const, { signal: patience.signal });
    limit.catch(() => {});
    const outcome = await Promise.race([awaited, limit]).finally(() => patience.abort());
    if (outcome !== 'silence') return outcome;
    awaited.catch(() => {});
    throw new Failed('silence', 'over');
  }

  #token(): string {
    return `c${this.#number}-${this.#asked}`;
  }

  async #rest(forMs: number): Promise<void> {
    await pause(forMs, undefined, { signal: this.#over }).catch(() => {});
  }
}

/** Of an error message in a login its SQLSTATE, of the network its name. */
function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? /^([0-9A-Z]{5}): /.exec(message)?.[1] ?? 'cut off';
}
