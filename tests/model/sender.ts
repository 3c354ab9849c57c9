/**
 * Sends the commands of one lane, one after the other, each until it has an answer: what a crash
 * or a lost connection cut off is sent again under the same key. Holds every answer against what
 * the model expects.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { DbbouncerProcess } from '../support/dbbouncer-process.ts';
import type { SeededRandom } from '../support/seeded-random.ts';
import type { Command, LaneModel } from './lane-model.ts';

export interface Tally {
  acknowledged: number;
  refused: number;
  /** Sent again, since a crash or the sender had cut them off. */
  repeated: number;
  /** Of these, those that had been done by then. */
  replayed: number;
}

const API_KEY = 'key-of-the-model-test';
const RETRY_AFTER_MS = 20;
const ANSWERS_WITHIN_MS = 20_000;
/** So many commands are cut off on their way, like those that a crash meets. */
const CUT_ONE_IN = 10;
const CUT_MS_MAX = 8;

export const MODEL_ENV = Object.freeze({
  DBBOUNCER_API_KEY: API_KEY,
  DBBOUNCER_API_REQUESTS_PER_MINUTE: '10000000',
});

interface Request {
  readonly key?: string;
  readonly body?: object | undefined;
  readonly ifMatch?: string | undefined;
  readonly withinMs?: number;
}

interface Answer {
  readonly status: number;
  readonly etag: string | null;
  readonly isReplayed: boolean;
  readonly body: Readonly<Record<string, unknown>>;
}

export class Sender {
  readonly tally: Tally = { acknowledged: 0, refused: 0, repeated: 0, replayed: 0 };
  /** Events that each acknowledged command made, by its key. */
  readonly events = new Map<string, number>();
  readonly #plane: DbbouncerProcess;
  readonly #model: LaneModel;
  readonly #random: SeededRandom;

  constructor(plane: DbbouncerProcess, model: LaneModel, random: SeededRandom) {
    this.#plane = plane;
    this.#model = model;
    this.#random = random;
  }

  /** One command, until it is answered as the model says. */
  async step(): Promise<void> {
    const command = this.#model.next();
    const { expect, key, method, path } = command;
    const answer = await this.#answerTo(await this.#completed(command));
    const told = `${key}: ${method} ${path} → ${JSON.stringify(answer.body)}`;
    assert.equal(answer.status, expect.status, told);
    if (expect.etag !== undefined) assert.equal(answer.etag, expect.etag, told);
    expect.apply(String(answer.body['id']));
    this.events.set(key, expect.events);
    if (expect.status < 300) this.tally.acknowledged += 1;
    else this.tally.refused += 1;
  }

  async get(path: string): Promise<Answer['body']> {
    const { status, body } = await this.#untilAnswered(() => this.#fetch('GET', path));
    assert.equal(status, 200, `${path}: ${JSON.stringify(body)}`);
    return body;
  }

  async #completed(command: Command): Promise<Command> {
    if (command.backTo === undefined) return command;
    const [, , id = ''] = command.path.split('/');
    const found = await this.get(`/events?request_id=${command.backTo}&tenant=${id}`);
    const [event] = found['events'] as readonly { readonly position: number }[];
    assert.ok(event !== undefined, `${command.backTo} is in the log of ${id}`);
    return { ...command, body: { ...command.body, to: event.position } };
  }

  async #answerTo({ key, method, path, body, ifMatch }: Command): Promise<Answer> {
    let tries = 0;
    const answer = await this.#untilAnswered(() => {
      tries += 1;
      const isCut = tries === 1 && this.#random.between(1, CUT_ONE_IN) === 1;
      const withinMs = isCut ? this.#random.between(1, CUT_MS_MAX) : ANSWERS_WITHIN_MS;
      return this.#fetch(method, path, { key, body, ifMatch, withinMs });
    });
    if (tries > 1) this.tally.repeated += 1;
    if (answer.isReplayed) this.tally.replayed += 1;
    assert.ok(tries > 1 || !answer.isReplayed, `${key} was sent once and is no repetition`);
    return answer;
  }

  /** 503 says that nothing was done. */
  async #untilAnswered(send: () => Promise<Answer>): Promise<Answer> {
    for (;;) {
      const answer = await send().catch(() => undefined);
      if (answer !== undefined && answer.status !== 503) return answer;
      await pause(RETRY_AFTER_MS);
    }
  }

  async #fetch(
    method: string,
    path: string,
    { key, body, ifMatch, withinMs = ANSWERS_WITHIN_MS }: Request = {},
  ): Promise<Answer> {
    const response = await fetch(this.#plane.apiUrl + path, {
      method,
      headers: {
        authorization: `Bearer ${API_KEY}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(key !== undefined && { 'idempotency-key': key, 'x-request-id': key }),
        ...(ifMatch !== undefined && { 'if-match': ifMatch }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(withinMs),
    });
    const text = await response.text();
    return {
      status: response.status,
      etag: response.headers.get('etag'),
      isReplayed: response.headers.get('idempotency-replayed') === 'true',
      body: (text === '' ? {} : JSON.parse(text)) as Answer['body'],
    };
  }
}
