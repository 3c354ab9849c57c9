/**
 * One connection of a client in a drill: it asks, waits no longer than may be, and knows an error
 * of the server, or of the proxy, from a silent end.
 */
import { performance } from 'node:perf_hooks';
import { fields, query, RawClient } from '../support/raw-client.ts';
import type { RawAddress, RawLogin, RawMessage } from '../support/raw-client.ts';
import type { Tally } from './tally.ts';

/** An ErrorResponse. `FATAL`: the connection is over. */
export class Refusal extends Error {
  readonly code: string;
  readonly severity: 'ERROR' | 'FATAL';

  constructor(code: string, severity: 'ERROR' | 'FATAL') {
    super(`${severity} ${code}`);
    this.code = code;
    this.severity = severity;
  }
}

/** The connection ended, or is of no use any more. */
export class Over extends Error {}

export interface Setting {
  readonly address: RawAddress;
  readonly login: RawLogin;
  readonly tenant: string;
  readonly tally: Tally;
  /** Longer than any limit of the proxy: who waits so long, hangs. */
  readonly hangMs: number;
}

export class Conversation {
  readonly #setting: Setting;
  readonly #client: RawClient;

  private constructor(setting: Setting, client: RawClient) {
    this.#setting = setting;
    this.#client = client;
  }

  /** @throws Refusal, Over */
  static async begin(setting: Setting): Promise<Conversation> {
    const { address, login, tally } = setting;
    const client = await RawClient.connect(address).catch(() => {
      throw new Over('nobody accepts');
    });
    const conversation = new Conversation(setting, client);
    const greeted = client.authenticate(login).catch((error: unknown) => {
      const code = /^Error: ([0-9A-Z]{5}): /.exec(String(error))?.[1];
      if (code !== undefined) throw new Refusal(code, 'FATAL');
      tally.endedUntold('a login');
      throw new Over('ended in its login');
    });
    const greeting = await conversation.#within('a login', greeted);
    conversation.#check('a greeting', greeting);
    tally.logins += 1;
    return conversation;
  }

  /**
   * Sends a batch and waits until it is answered.
   * @throws Refusal, Over
   */
  async ask(what: string, bytes: Buffer): Promise<readonly RawMessage[]> {
    this.send(bytes);
    const messages = await this.#within(what, this.#client.until('Z'));
    this.#check(what, messages);
    return messages;
  }

  /** Sends a COPY FROM STDIN, for which it is then for us to go on. @throws Refusal, Over */
  async beginCopy(bytes: Buffer): Promise<void> {
    this.send(bytes);
    const messages: RawMessage[] = [];
    for (;;) {
      const message = await this.#within('a CopyInResponse', this.#client.next());
      if (message !== undefined) messages.push(message);
      if (message?.type === 'G') return;
      if (message === undefined || message.type === 'Z') break;
    }
    this.#check(`a CopyInResponse ${messages.map(({ type }) => type).join('')}`, messages);
  }

  send(bytes: Buffer): void {
    this.#client.send(bytes);
  }

  /** After an error: back to where a new batch can begin. @throws Refusal, Over */
  async recover(): Promise<void> {
    await this.ask('a ROLLBACK', query('ROLLBACK'));
  }

  /** Says goodbye, or does not. */
  leave(how: 'politely' | 'abruptly'): void {
    if (how === 'politely') this.#client.end();
    else this.#client.destroy();
  }

  #check(what: string, messages: readonly RawMessage[]): void {
    const error = messages.find(({ type }) => type === 'E');
    const isWhole = messages.at(-1)?.type === 'Z';
    if (error !== undefined) {
      throw new Refusal(fields(error)['C'] ?? '?', isWhole ? 'ERROR' : 'FATAL');
    }
    if (isWhole) return;
    this.#setting.tally.endedUntold(what);
    throw new Over('ended without a word');
  }

  async #within<Value>(what: string, awaited: Promise<Value>): Promise<Value> {
    const { tally, hangMs, tenant } = this.#setting;
    const beganMs = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<'hangs'>((resolve) => {
      timer = setTimeout(resolve, hangMs, 'hangs');
    });
    const outcome = await Promise.race([awaited, limit]).finally(() => clearTimeout(timer));
    tally.waited(`${what} of ${tenant}`, performance.now() - beganMs);
    if (outcome !== 'hangs') return outcome;
    tally.faults.push(`a client of ${tenant} waited ${hangMs} ms in vain for ${what}`);
    this.#client.destroy();
    throw new Over('hangs');
  }
}
