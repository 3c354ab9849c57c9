/**
 * A small load for one tenant: clients that ask, think for a moment, and ask again.
 * It has to be seen, not to be felt: a few hundred queries a second.
 */
import { randomInt } from 'node:crypto';
import type { Client } from 'pg';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { DemoTenant, ProxyAddress } from './tenants.ts';
import { clientOf } from './tenants.ts';

const THINK_MS_MIN = 20;
const THINK_MS_MAX = 80;
const RECONNECT_MS = 1_000;
/** One turn in so many is a transaction that writes. */
const TURNS_PER_WRITE = 10;

export interface LoadFigures {
  readonly queries: number;
  readonly errors: number;
  /** Clients that are connected. */
  readonly clients: number;
}

export class Load {
  readonly tenant: DemoTenant;
  readonly #address: ProxyAddress;
  readonly #clock: Clock;
  readonly #clients = new Set<Client>();
  readonly #loops: Promise<void>[];
  #phase: 'running' | 'stopped' = 'running';
  #queries = 0;
  #errors = 0;

  constructor(address: ProxyAddress, tenant: DemoTenant, clients: number, clock: Clock) {
    this.#address = address;
    this.tenant = tenant;
    this.#clock = clock;
    this.#loops = Array.from({ length: clients }, () => this.#keepAsking());
  }

  /** Since the start. */
  get figures(): LoadFigures {
    return { queries: this.#queries, errors: this.#errors, clients: this.#clients.size };
  }

  /** Ends every client; resolves when all are gone. */
  async stop(): Promise<void> {
    this.#phase = 'stopped';
    await Promise.all([...this.#clients].map((client) => client.end().catch(() => {})));
    await Promise.all(this.#loops);
  }

  async #keepAsking(): Promise<void> {
    while (this.#phase === 'running') {
      const client = clientOf(this.#address, this.tenant);
      try {
        await client.connect();
        this.#clients.add(client);
        await this.#ask(client);
      } catch {
        if (this.#isStopped()) return;
        this.#errors += 1;
        await this.#pause(RECONNECT_MS);
      } finally {
        this.#clients.delete(client);
        await client.end().catch(() => {});
      }
    }
  }

  async #ask(client: Client): Promise<void> {
    while (!this.#isStopped()) {
      const id = randomInt(1, this.tenant.orders + 1);
      if (randomInt(TURNS_PER_WRITE) === 0) await this.#order(client, id);
      else await this.#query(client, 'SELECT article, pieces FROM orders WHERE id = $1', [id]);
      await this.#pause(randomInt(THINK_MS_MIN, THINK_MS_MAX));
    }
  }

  async #order(client: Client, id: number): Promise<void> {
    await this.#query(client, 'BEGIN');
    await this.#query(client, 'UPDATE orders SET pieces = 1 + pieces % 7 WHERE id = $1', [id]);
    await this.#query(client, 'COMMIT');
  }

  async #query(client: Client, text: string, values: readonly unknown[] = []): Promise<void> {
    await client.query(text, [...values]);
    this.#queries += 1;
  }

  /** Asked anew each time: `stop` may have been called while something was awaited. */
  #isStopped(): boolean {
    return this.#phase === 'stopped';
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(delayMs, resolve));
  }
}
