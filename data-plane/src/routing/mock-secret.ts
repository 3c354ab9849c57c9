/**
 * The secret behind the salts shown for users that do not exist: the fleet's, so that every proxy
 * shows the same one. Until the master key is there a random one of this process stands in, so that
 * nothing can be told from an error.
 */
import { randomBytes } from 'node:crypto';

const SECRET_BYTES = 32;

export class MockSecret {
  readonly #derive: () => Buffer;
  readonly #standIn = randomBytes(SECRET_BYTES);
  #derived: Buffer | undefined;

  /** @param derive throws while there is no master key. */
  constructor(derive: () => Buffer) {
    this.#derive = derive;
  }

  read(): Buffer {
    if (this.#derived !== undefined) return this.#derived;
    try {
      this.#derived = this.#derive();
    } catch {
      return this.#standIn;
    }
    return this.#derived;
  }
}
