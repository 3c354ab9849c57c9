/**
 * Many clients in a process of their own: what they cost is not counted as the proxy's, and they do
 * not take turns with it.
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { query, RawClient } from './raw-client.ts';
import type { RawAddress, RawLogin } from './raw-client.ts';

export interface CrowdOptions {
  readonly address: RawAddress;
  readonly login: RawLogin;
  readonly clients: number;
  /** So many log in at a time. */
  readonly atOnce: number;
  /** What each asks once it is logged in. */
  readonly sql?: string;
}

interface Arrival {
  /** From the first connection that was asked for to the last client that had its answer. */
  readonly tookMs: number;
  /** What clients read that were not served. */
  readonly problems: readonly string[];
}

export class Crowd implements Arrival {
  readonly tookMs: number;
  readonly problems: readonly string[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, { tookMs, problems }: Arrival) {
    this.#child = child;
    this.tookMs = tookMs;
    this.problems = problems;
  }

  /** Resolves once all have been served or refused; those that are served stay until `end`. */
  static async open({ address: { host, port }, ...rest }: CrowdOptions): Promise<Crowd> {
    const options: CrowdOptions = { address: { host, port }, ...rest };
    const child = fork(import.meta.filename, [JSON.stringify(options)], { execArgv: [] });
    const [arrival] = (await once(child, 'message')) as [Arrival];
    // A test that fails before it ends its crowd is not held up by it: both end together.
    child.unref();
    child.channel?.unref();
    return new Crowd(child, arrival);
  }

  /** Resolves when all are gone. */
  async end(): Promise<void> {
    this.#child.ref();
    const ended = once(this.#child, 'exit');
    this.#child.disconnect();
    await ended;
  }
}

async function arrive(options: CrowdOptions): Promise<Arrival> {
  const { address, login, clients, atOnce, sql } = options;
  // Derives the key of the password, which is the client's work and takes a while.
  (await RawClient.login(address, login)).end();
  const problems: string[] = [];
  let left = clients;
  const began = performance.now();
  const queue = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      await visit(address, login, sql).catch((error: Error) => problems.push(error.message));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, queue));
  return { tookMs: performance.now() - began, problems };
}

async function visit(address: RawAddress, login: RawLogin, sql?: string): Promise<void> {
  const client = await RawClient.login(address, login);
  if (sql === undefined) return;
  client.send(query(sql));
  const last = (await client.until('Z')).at(-1);
  if (last?.type !== 'Z') throw new Error('connection ended');
}

if (import.meta.main) {
  const [, , text = ''] = process.argv;
  process.once('disconnect', () => process.exit());
  process.send?.(await arrive(JSON.parse(text) as CrowdOptions));
}
