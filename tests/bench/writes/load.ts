/**
 * Writes over REST as fast as they are answered: each connection registers a tenant and changes it,
 * again and again.
 */
import { Agent, request } from 'node:http';

export interface Turn {
  readonly writes: number;
  readonly seconds: number;
  /** Of each write, from its first byte to the end of its answer; sorted. */
  readonly latenciesMs: readonly number[];
}

const HEADERS = Object.freeze({ 'content-type': 'application/json' });
let tenants = 0;

export class WriteLoad {
  readonly #url: string;
  readonly #key: string;
  readonly #agent: Agent;
  readonly #connections: number;

  constructor(url: string, key: string, connections: number) {
    this.#url = url;
    this.#key = key;
    this.#connections = connections;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections });
  }

  /** @throws Error with the first answer that is no success */
  async turn(seconds: number): Promise<Turn> {
    const latenciesMs: number[] = [];
    const beganMs = performance.now();
    const endMs = beganMs + seconds * 1_000;
    const lane = async (): Promise<void> => {
      while (performance.now() < endMs) {
        const id = `w${tenants++}`;
        latenciesMs.push(await this.#write('POST', '/tenants', tenantOf(id)));
        const path = `/tenants/${id}?force=true`;
        latenciesMs.push(await this.#write('PATCH', path, { port: 6_000 }));
      }
    };
    await Promise.all(Array.from({ length: this.#connections }, lane));
    const tookMs = performance.now() - beganMs;
    latenciesMs.sort((a, b) => a - b);
    return { writes: latenciesMs.length, seconds: tookMs / 1_000, latenciesMs };
  }

  close(): void {
    this.#agent.destroy();
  }

  /** @returns milliseconds */
  #write(method: string, path: string, body: object): Promise<number> {
    const text = JSON.stringify(body);
    const beganMs = performance.now();
    return new Promise((resolve, reject) => {
      const headers = {
        ...HEADERS,
        authorization: `Bearer ${this.#key}`,
        'content-length': Buffer.byteLength(text),
      };
      const sent = request(this.#url + path, { method, headers, agent: this.#agent }, (answer) => {
        let told = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (told += chunk));
        answer.once('error', reject).once('end', () => {
          const { statusCode = 0 } = answer;
          if (statusCode >= 200 && statusCode < 300) resolve(performance.now() - beganMs);
          else reject(new Error(`${method} ${path} was answered with ${statusCode}: ${told}`));
        });
      });
      sent.once('error', reject).end(text);
    });
  }
}

function tenantOf(id: string): object {
  const server = { db_type: 'postgres', host: 'db.example.com', port: 5_432, dbname: 'd' };
  return { id, ...server, username: 'app', password: 'a password' };
}
