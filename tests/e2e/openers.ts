/**
 * Clients that open one connection after the other and leave when the proxy has answered their
 * startup message: what becomes of each, told apart by who is to blame.
 */
import { connect } from 'node:net';
import { Endless } from '../support/endless.ts';
import { eventually } from '../support/eventually.ts';
import { startup } from '../support/raw-client.ts';

/**
 * - `answered`: asked for a proof, as every client is that logs in
 * - `told`: got an error in the words of the protocol
 * - `refused`: nobody listened
 * - `reset`: the connection was made, and ended without a word
 * - `silent`: in 20 s nothing came
 */
export type Outcome = 'answered' | 'told' | 'refused' | 'reset' | 'silent';

export interface Opened {
  readonly outcome: Outcome;
  /** Of the client's end; 0 when it was refused. */
  readonly localPort: number;
  readonly detail: string;
}

export class Openers {
  readonly #all: Opened[] = [];
  readonly #loops: Endless;

  private constructor(port: number, atOnce: number) {
    this.#loops = Endless.start(atOnce, async () => void this.#all.push(await openOne(port)));
  }

  /** `atOnce` of them, until they are stopped. */
  static start(port: number, atOnce: number): Openers {
    return new Openers(port, atOnce);
  }

  /** Resolves when they have opened `count` more connections. */
  async more(count: number): Promise<void> {
    const goal = this.#all.length + count;
    await eventually(`${count} more connections`, () => this.#all.length >= goal, {
      withinMs: 30_000,
      onFailure: () => `there were so far: ${JSON.stringify(countOutcomes(this.#all))}`,
    });
  }

  /** Every connection there was. */
  async stop(): Promise<readonly Opened[]> {
    await this.#loops.stop();
    return this.#all;
  }
}

/** Longer than any restart of a worker takes. */
const SILENCE_MAX_MS = 20_000;
const STARTUP = startup({ user: 'postgres', database: 'acme' });

function openOne(port: number): Promise<Opened> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    let localPort = 0;
    const end = (outcome: Outcome, detail = ''): void => {
      resolve({ outcome, localPort, detail });
      socket.destroy();
    };
    socket.setTimeout(SILENCE_MAX_MS, () => end('silent'));
    socket.on('connect', () => {
      localPort = socket.localPort ?? 0;
      socket.write(STARTUP);
    });
    socket.on('data', (bytes: Buffer) => {
      const type = String.fromCharCode(bytes[0] ?? 0);
      if (type === 'R') end('answered');
      else end('told', bytes.toString('latin1'));
    });
    socket.on('error', ({ code = '' }: NodeJS.ErrnoException) => {
      end(code === 'ECONNREFUSED' ? 'refused' : 'reset', code);
    });
    socket.on('close', () => end('reset', 'closed'));
  });
}

/** How many there were of each outcome, and nothing of those there were none of. */
export function countOutcomes(all: readonly Opened[]): Partial<Record<Outcome, number>> {
  const counts: Partial<Record<Outcome, number>> = {};
  for (const { outcome } of all) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}
