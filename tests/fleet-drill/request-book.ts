/**
 * What became of every request of a fleet drill: which failed with what and when, and whether all
 * clients are served again. Answers are counted, failures kept one by one.
 */
export interface Request {
  readonly client: number;
  /** `login`, `read` or `write`. */
  readonly what: string;
  readonly beganMs: number;
}

export interface Failure extends Request {
  /** A SQLSTATE, an error of the network, or `silence`. */
  readonly code: string;
  readonly endedMs: number;
}

/** All is well when nothing has failed for so long, and everybody was answered meanwhile. */
export const CALM_MS = 1_000;

export class RequestBook {
  readonly #failures: Failure[] = [];
  readonly #answeredMs: number[];
  /** When each client was answered again after a failure, or after it had waited too long. */
  readonly #backMs: number[];
  readonly #troubled = new Set<number>();
  readonly #committed = new Map<string, string[]>();
  readonly faults: string[] = [];
  #answers = 0;
  #slowest = { beganMs: 0, tookMs: 0 };

  constructor(clients: number) {
    this.#answeredMs = Array.from({ length: clients }, () => -Infinity);
    this.#backMs = [...this.#answeredMs];
  }

  answered({ client, beganMs }: Request): void {
    const nowMs = performance.now();
    this.#answers += 1;
    this.#answeredMs[client] = nowMs;
    if (this.#troubled.delete(client) || nowMs - beganMs > CALM_MS) this.#backMs[client] = nowMs;
    if (nowMs - beganMs > this.#slowest.tookMs)
      this.#slowest = { beganMs, tookMs: nowMs - beganMs };
  }

  failed(request: Request, code: string): void {
    this.#troubled.add(request.client);
    this.#failures.push({ ...request, code, endedMs: performance.now() });
  }

  committed(tenant: string, token: string): void {
    const tokens = this.#committed.get(tenant);
    if (tokens === undefined) this.#committed.set(tenant, [token]);
    else tokens.push(token);
  }

  /** An answer to another question. */
  fault(text: string): void {
    this.faults.push(text);
  }

  /** Of each tenant, what was acknowledged. */
  get acknowledged(): ReadonlyMap<string, readonly string[]> {
    return this.#committed;
  }

  get answers(): number {
    return this.#answers;
  }

  /** The longest that was answered since the last time this was asked, in milliseconds. */
  takeSlowest(): number {
    const { tookMs } = this.#slowest;
    this.#slowest = { beganMs: 0, tookMs: 0 };
    return tookMs;
  }

  failuresSince(ms: number): readonly Failure[] {
    return this.#failures.filter(({ endedMs }) => endedMs >= ms);
  }

  /** For a person who reads why it is not. */
  describe(): string {
    const nowMs = performance.now();
    const last = this.#failures.slice(-5).map(({ client, what, code, endedMs }) => {
      return `client ${client}, ${what}: ${code}, ${Math.round(nowMs - endedMs)} ms ago`;
    });
    const waiting = this.#answeredMs.flatMap((ms, client) => (ms < nowMs - CALM_MS ? client : []));
    return `${last.join('\n')}\nnot served for ${CALM_MS} ms: ${waiting.join(', ')}`;
  }

  /** Whether nothing has failed for a while and everybody was answered meanwhile. */
  isCalm(nowMs = performance.now()): boolean {
    const last = this.#failures.at(-1)?.endedMs ?? -Infinity;
    const fromMs = nowMs - CALM_MS;
    return last < fromMs && this.#answeredMs.every((ms) => ms >= fromMs);
  }

  /** When the last of those who were not served was so again; -Infinity when all always were. */
  backMs(): number {
    return Math.max(...this.#backMs);
  }
}
