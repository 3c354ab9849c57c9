/**
 * One client of the rolling restart: a piece of work is a transaction of three statements, and it
 * is tried at one proxy after the other until it is done.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Client } from 'pg';

export interface RollingClientOptions {
  readonly name: string;
  /** Decides with which proxy it begins. */
  readonly number: number;
  readonly ports: readonly number[];
  readonly password: string;
}

const REST_MS = 5;
/** When every proxy refuses: the one that restarts is back soon. */
const REFUSED_REST_MS = 20;

export class RollingClient {
  readonly #options: RollingClientOptions;
  readonly committed: string[] = [];
  /** Transactions that had begun and failed. */
  readonly broken: string[] = [];
  readonly moves = new Map<string, number>();
  slowestMs = 0;
  #next: number;
  #client: Client | undefined;
  #state: 'living' | 'stopping' = 'living';

  constructor(options: RollingClientOptions) {
    this.#options = options;
    this.#next = options.number;
  }

  stop(): void {
    this.#state = 'stopping';
  }

  /** Works until it is stopped. */
  async live(): Promise<void> {
    for (let piece = 1; this.#state === 'living'; piece += 1) {
      const fromMs = performance.now();
      await this.#getDone(`${this.#options.name}/${piece}`);
      this.slowestMs = Math.max(this.slowestMs, performance.now() - fromMs);
      await pause(REST_MS);
    }
    await this.#client?.end().catch(() => {});
  }

  async #getDone(work: string): Promise<void> {
    for (;;) {
      const client = this.#client ?? (await this.#connect());
      if (client === undefined) {
        await pause(REFUSED_REST_MS);
        continue;
      }
      // Nothing is lost of what has not begun: it is simply done elsewhere.
      const refusal = await refusalOf(client, 'BEGIN');
      if (refusal !== undefined) {
        this.#leave(refusal);
        continue;
      }
      for (const text of [`INSERT INTO done VALUES ('${work}')`, 'COMMIT']) {
        const failure = await refusalOf(client, text);
        if (failure === undefined) continue;
        this.broken.push(`${work}: ${failure} at ${text}`);
        return this.#leave(failure);
      }
      this.committed.push(work);
      return;
    }
  }

  async #connect(): Promise<Client | undefined> {
    const { ports, password } = this.#options;
    const port = ports[this.#next % ports.length] ?? 0;
    this.#next += 1;
    const login = { user: 'postgres', password, database: 'acme', connectionTimeoutMillis: 10_000 };
    const client = new Client({ host: '127.0.0.1', port, ...login });
    // Told between two transactions: the next BEGIN fails.
    client.on('error', () => {});
    try {
      await client.connect();
    } catch (error) {
      this.#count(`${wordsOf(error)} at login`);
      return undefined;
    }
    this.#client = client;
    return client;
  }

  #leave(why: string): void {
    this.#count(why);
    void this.#client?.end().catch(() => {});
    this.#client = undefined;
  }

  #count(why: string): void {
    this.moves.set(why, (this.moves.get(why) ?? 0) + 1);
  }
}

async function refusalOf(client: Client, text: string): Promise<string | undefined> {
  try {
    await client.query(text);
    return undefined;
  } catch (error) {
    return wordsOf(error);
  }
}

/** A SQLSTATE, a code of the system, or the driver's words. */
function wordsOf(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message: string };
  return code ?? message;
}
