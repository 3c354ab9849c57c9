/**
 * A raw client whose replies can be compared with those of another: what it reads, but for when it
 * is told of its parameters, and what it was told of them.
 * Owns: what is left out of the comparison. Leaves: what is asked to the tests.
 */
import { fields, RawClient } from '../support/raw-client.ts';
import type { RawAddress, RawLogin, RawMessage } from '../support/raw-client.ts';

/** How long a reply may take before it counts as silence. */
const SILENCE_MS = 5_000;

export class ObservedClient {
  readonly client: RawClient;
  readonly parameters = new Map<string, string>();

  constructor(client: RawClient) {
    this.client = client;
  }

  static async login(address: RawAddress, login: RawLogin): Promise<ObservedClient> {
    const client = await RawClient.connect(address);
    const observed = new ObservedClient(client);
    for (const message of await client.authenticate(login)) observed.#hear(message);
    return observed;
  }

  #hear({ type, body }: RawMessage): void {
    if (type !== 'S') return;
    const [name = '', value = ''] = body.toString('latin1').split('\0');
    if (name !== 'application_name') this.parameters.set(name, value);
  }

  /** Sends a batch. @returns what is read up to so many ReadyForQuery; `silence` in place of all */
  ask(bytes: Buffer, readies: number): Promise<string[]> {
    const silence = new Promise<string[]>((resolve) =>
      setTimeout(resolve, SILENCE_MS, ['silence']).unref(),
    );
    return Promise.race([this.#answer(bytes, readies), silence]);
  }

  async #answer(bytes: Buffer, readies: number): Promise<string[]> {
    this.client.send(bytes);
    const messages: RawMessage[] = [];
    for (let i = 0; i < readies; i++) messages.push(...(await this.client.until('Z')));
    for (const message of messages) this.#hear(message);
    return messages.filter(({ type }) => type !== 'S').map(shown);
  }
}

function shown(message: RawMessage): string {
  const { type, body } = message;
  if (type !== 'E' && type !== 'N') return `${type} ${body.toString('latin1')}`;
  const { C, M } = fields(message);
  return `${type} ${C} ${M}`;
}
