/**
 * Clients of tenants, as an application's driver connects them; all of a test file can be ended at
 * once. `Workers` are clients that never stop asking: who watches them sees what an outage does.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';
import type { QueryResultRow } from 'pg';
import { Endless } from '../support/endless.ts';
import { eventually } from '../support/eventually.ts';

export interface Login {
  /** Of the proxy. */
  readonly port: number;
  readonly tenant: string;
  readonly user: string;
  readonly password: string;
}

const CLOSES_WITHIN_MS = 5_000;
const open = new Set<Client>();

/** Logged in, the tenant named in the startup options. @throws DatabaseError, system errors */
export async function connect({ port, tenant, user, password }: Login): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user,
    password,
    database: tenant,
    options: `-c tenant_id=${tenant}`,
    connectionTimeoutMillis: 10_000,
  });
  // A connection that is lost between two queries is told by the next one.
  client.on('error', () => {});
  await client.connect();
  open.add(client);
  return client;
}

/** The one value of the one row that `text` returns. */
export async function value(client: Client, text: string): Promise<unknown> {
  const { rows } = await client.query<QueryResultRow>(text);
  return Object.values(rows[0] ?? {})[0];
}

/** Opens a transaction that a server knows of: a BEGIN alone takes no server connection. */
export async function begin(client: Client): Promise<void> {
  await client.query('BEGIN');
  await client.query('SELECT 1');
}

/** The first value that `text` returns on a connection of its own. */
export async function ask(login: Login, text: string): Promise<unknown> {
  const client = await connect(login);
  try {
    return await value(client, text);
  } finally {
    await disconnect(client);
  }
}

/** Resolves when the other side has closed as well; where it stands still, after 5 s. */
export async function disconnect(client: Client): Promise<void> {
  open.delete(client);
  const limit = setTimeout(() => client.connection.stream.destroy(), CLOSES_WITHIN_MS);
  await client.end().catch(() => {});
  clearTimeout(limit);
}

export async function disconnectAll(): Promise<void> {
  await Promise.all([...open].map(disconnect));
}

/** Clients that log in, ask once and leave, one after the other until they are stopped. */
export class OneShots {
  readonly #failures: string[] = [];
  readonly #loops: Endless;
  #asked = 0;

  private constructor(login: Login, atOnce: number, expected: string) {
    this.#loops = Endless.start(atOnce, async () => {
      try {
        assert.equal(await ask(login, 'SELECT current_database()'), expected);
        this.#asked += 1;
      } catch (error) {
        this.#failures.push(String(error));
      }
    });
  }

  /** `atOnce` at a time; each query must be answered from database `expected`. */
  static start(login: Login, atOnce: number, expected: string): OneShots {
    return new OneShots(login, atOnce, expected);
  }

  /** How many have got their answer. @throws AssertionError when one has not */
  async stop(): Promise<number> {
    await this.#loops.stop();
    assert.deepEqual(this.#failures, []);
    return this.#asked;
  }
}

const PAUSE_MS = 5;
const ROUNDS = 3;

/** Clients that run one short transaction after the other until they are stopped. */
export class Workers {
  readonly #loops: readonly Promise<void>[];
  readonly #answered: number[];
  readonly #failures: string[] = [];
  #phase: 'working' | 'stopping' = 'working';

  private constructor(clients: readonly Client[], expected: string) {
    this.#answered = clients.map(() => 0);
    this.#loops = clients.map((client, index) => this.#work(client, index, expected));
  }

  /** `each` clients of every login; each query must be answered from database `expected`. */
  static async start(logins: readonly Login[], each: number, expected: string): Promise<Workers> {
    const all = logins.flatMap((login) => Array.from({ length: each }, () => login));
    return new Workers(await Promise.all(all.map(connect)), expected);
  }

  async #work(client: Client, index: number, expected: string): Promise<void> {
    try {
      while (this.#phase === 'working') {
        await client.query('BEGIN');
        assert.equal(await value(client, 'SELECT current_database()'), expected);
        await client.query('COMMIT');
        this.#answered[index] = (this.#answered[index] ?? 0) + 1;
        await pause(PAUSE_MS);
      }
    } catch (error) {
      this.#failures.push(`client ${index}: ${String(error)}`);
    }
  }

  /** Resolves when each of them has completed three more transactions. @throws when one failed */
  async goOn(): Promise<void> {
    const goals = this.#answered.map((count) => count + ROUNDS);
    await eventually('every client goes on', () => {
      assert.deepEqual(this.#failures, []);
      return this.#answered.every((count, index) => count >= (goals[index] ?? 0));
    });
  }

  /** Ends them. @throws AssertionError when any query of theirs failed or was answered wrongly */
  async stop(): Promise<void> {
    this.#phase = 'stopping';
    await Promise.all(this.#loops);
    assert.deepEqual(this.#failures, []);
  }
}
