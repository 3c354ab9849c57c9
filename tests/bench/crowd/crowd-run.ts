/**
 * A crowd, run in this process: all clients come at once; once they are in, they ask, either each
 * as soon as it is answered, or all of them in turn at a steady rate.
 * Owns: when who asks, and the times. A client that is due while it still waits asks as soon as it
 * is answered, and its time counts from when it was due: a stalled server is not spared questions.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { query } from '../../support/raw-client.ts';
import type { Login } from '../contender.ts';
import { summaryOf } from '../statistics.ts';
import type { Summary } from '../statistics.ts';
import { CrowdClient } from './crowd-client.ts';

export interface CrowdPlan {
  readonly host: string;
  readonly port: number;
  readonly clients: number;
  /** Dealt to the clients in turn. */
  readonly logins: readonly Login[];
  readonly sql: string;
  readonly seconds: number;
  /** Questions a second of all clients together; `unlimited`: each asks when it is answered. */
  readonly rate: number | 'unlimited';
  /** For all to come, and for the last to be answered. */
  readonly patienceMs: number;
}

export interface CrowdResult {
  readonly loggedIn: number;
  /** Clients that were answered. */
  readonly served: number;
  readonly logins: Summary;
  /** All of them; times are of those asked after the first second. */
  readonly answers: number;
  readonly latency: Summary;
  /** Of the answers, in a second. */
  readonly tps: number;
  /** Clients that met an error. */
  readonly failures: number;
  /** What was said, and how often, the most frequent first: some kinds at most. */
  readonly words: readonly (readonly [words: string, times: number])[];
}

/** The first second of asking, when server connections are being opened, is not counted. */
const WARM_UP_MS = 1_000;
const TICK_MS = 2;
const LOCAL_ADDRESSES = 8;
const KINDS_MAX = 20;
const KINDS_TOLD = 5;

export class CrowdRun {
  readonly #plan: CrowdPlan;
  readonly #question: Buffer;
  readonly #clients: CrowdClient[] = [];
  readonly #loginsMs: number[] = [];
  readonly #latenciesMs: number[] = [];
  readonly #words = new Map<string, number>();
  /** Since when a client that still waits is due again. */
  readonly #overdue = new Map<CrowdClient, number>();
  readonly #served = new Set<CrowdClient>();
  readonly #failures = new Set<CrowdClient>();
  #answers = 0;
  #countsFromMs = Infinity;
  #phase: 'coming' | 'asking' | 'finishing' = 'coming';

  constructor(plan: CrowdPlan) {
    this.#plan = plan;
    this.#question = query(plan.sql);
  }

  /** Everybody comes. Returns when each is in or has failed, or after `patienceMs`. */
  async come(): Promise<void> {
    const { clients, logins, host, port, patienceMs } = this.#plan;
    const events = {
      loggedIn: (client: CrowdClient) => {
        this.#loginsMs.push(performance.now() - client.sinceMs);
      },
      answered: (client: CrowdClient) => this.#answered(client),
      failed: (client: CrowdClient, words: string) => this.#failed(client, words),
    };
    for (let index = 0; index < clients; index += 1) {
      const login = logins[index % logins.length];
      if (login === undefined) throw new Error('a crowd needs a login');
      const localAddress = `127.0.0.${1 + (index % LOCAL_ADDRESSES)}`;
      this.#clients.push(new CrowdClient({ host, port, localAddress }, login, events));
    }
    await this.#patiently(patienceMs, () => this.#in('connecting') + this.#in('logging_in') === 0);
    for (const client of this.#clients) {
      if (client.state === 'connecting' || client.state === 'logging_in') {
        this.#failed(client, 'not logged in in time');
        client.leave();
      }
    }
  }

  async ask(): Promise<CrowdResult> {
    const { seconds, rate, patienceMs } = this.#plan;
    const beganMs = performance.now();
    this.#countsFromMs = beganMs + WARM_UP_MS;
    this.#phase = 'asking';
    if (rate === 'unlimited') {
      for (const client of this.#clients) {
        if (client.state === 'idle') client.ask(this.#question, performance.now());
      }
      await pause(WARM_UP_MS + seconds * 1_000);
    } else await this.#askInTurn(rate, beganMs);
    const tookMs = performance.now() - this.#countsFromMs;
    const counted = this.#latenciesMs.length;
    this.#phase = 'finishing';
    await this.#patiently(patienceMs, () => this.#in('asking') === 0);
    for (const client of this.#clients) {
      if (client.state === 'asking') this.#failed(client, 'not answered in time');
      client.leave();
    }
    const words = [...this.#words].toSorted(([, one], [, other]) => other - one);
    return {
      loggedIn: this.#loginsMs.length,
      served: this.#served.size,
      logins: summaryOf(this.#loginsMs),
      answers: this.#answers,
      latency: summaryOf(this.#latenciesMs),
      tps: (counted * 1_000) / tookMs,
      failures: this.#failures.size,
      words: words.slice(0, KINDS_TOLD),
    };
  }

  async #askInTurn(rate: number, beganMs: number): Promise<void> {
    const present = this.#clients.filter(({ state }) => state === 'idle');
    const total = present.length === 0 ? 0 : rate * (this.#plan.seconds + WARM_UP_MS / 1_000);
    for (let asked = 0; asked < total;) {
      const due = Math.min(total, ((performance.now() - beganMs) * rate) / 1_000);
      for (; asked < due; asked += 1) {
        const client = present[asked % present.length];
        const dueMs = beganMs + (asked * 1_000) / rate;
        if (client?.state === 'idle') client.ask(this.#question, dueMs);
        // Who is late twice over is counted once: the first delay is the longer one.
        else if (client?.state === 'asking' && !this.#overdue.has(client)) {
          this.#overdue.set(client, dueMs);
        }
      }
      await pause(TICK_MS);
    }
  }

  #answered(client: CrowdClient): void {
    const nowMs = performance.now();
    this.#answers += 1;
    this.#served.add(client);
    if (client.sinceMs >= this.#countsFromMs) this.#latenciesMs.push(nowMs - client.sinceMs);
    if (this.#phase !== 'asking') return;
    if (this.#plan.rate === 'unlimited') return client.ask(this.#question, nowMs);
    const dueMs = this.#overdue.get(client);
    if (dueMs === undefined) return;
    this.#overdue.delete(client);
    client.ask(this.#question, dueMs);
  }

  /** Of each client the first: after an error its connection often ends, which is no other. */
  #failed(client: CrowdClient, words: string): void {
    if (this.#failures.has(client)) return;
    this.#failures.add(client);
    if (this.#words.size < KINDS_MAX || this.#words.has(words)) {
      this.#words.set(words, (this.#words.get(words) ?? 0) + 1);
    }
  }

  #in(state: CrowdClient['state']): number {
    return this.#clients.filter((client) => client.state === state).length;
  }

  async #patiently(withinMs: number, isDone: () => boolean): Promise<void> {
    const untilMs = performance.now() + withinMs;
    while (!isDone() && performance.now() < untilMs) await pause(TICK_MS * 5);
  }
}
