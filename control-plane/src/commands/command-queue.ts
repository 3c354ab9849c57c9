/**
 * Takes commands in order and commits those that arrived together in one transaction: one disk sync
 * for all of them. Each has its own savepoint, so that a refused one undoes itself alone and the
 * next sees what those before it did.
 */
import { controlErrors } from '../errors.ts';
import type { EventStore } from '../store/event-store.ts';
import type {
  AnyResult,
  Command,
  CommandMeta,
  CommandMode,
  Commands,
  WorkScope,
} from './commands.ts';
import { handleCommand } from './handle-command.ts';
import { TransactionScope } from './transaction-scope.ts';
import type { Answers, Keeping, Waiting } from './keeping.ts';

export const QUEUE_LIMITS = Object.freeze({
  /** Commands that may wait; the next is refused with STORE_BUSY. */
  waitingMax: 10_000,
  /** Commands in one transaction: bounds how long the process does nothing else. */
  transactionMax: 200,
});

/** Thrown out of a savepoint to undo it; carries what the work had come to. */
class Undone<T> {
  readonly result: T;

  constructor(result: T) {
    this.result = result;
  }
}

export class CommandQueue implements Commands {
  readonly #store: EventStore;
  readonly #keeping: Keeping;
  #waiting: Waiting[] = [];
  #phase: 'open' | 'closing' = 'open';
  /** The batch that is being kept, where that takes its time. */
  #underWay: Promise<void> | undefined;

  constructor(store: EventStore, keeping: Keeping) {
    this.#store = store;
    this.#keeping = keeping;
  }

  /**
   * Resolves by the kind of command: `handleCommand` gives a tenant's result for a tenant's
   * command.
   */
  handle = ((command: Command, meta: CommandMeta) =>
    this.#enqueue(
      () => handleCommand(this.#store, command, meta),
      meta.mode,
    )) as Commands['handle'];

  handleAll(
    commands: readonly Command[],
    meta: Omit<CommandMeta, 'expectedVersion'>,
  ): Promise<readonly AnyResult[]> {
    return this.#enqueue(
      () => commands.map((command) => handleCommand(this.#store, command, meta)),
      meta.mode,
    );
  }

  perform<T>(work: (scope: WorkScope) => T, mode?: CommandMode): Promise<T> {
    return this.#enqueue(() => work(new TransactionScope(this.#store)), mode);
  }

  /** Does what still waits; everything later is refused with STORE_CLOSED. */
  async close(): Promise<void> {
    this.#phase = 'closing';
    while (this.#waiting.length > 0 || this.#underWay !== undefined) {
      this.#commit();
      await this.#underWay;
    }
  }

  async #enqueue<T>(work: () => T, mode: CommandMode = 'commit'): Promise<T> {
    if (this.#phase === 'closing') {
      throw controlErrors.fail('STORE_CLOSED', 'The control plane is shutting down.');
    }
    this.#keeping.requireOpen();
    if (this.#waiting.length >= QUEUE_LIMITS.waitingMax) {
      throw controlErrors.fail(
        'STORE_BUSY',
        `${this.#waiting.length} commands wait; at most ${QUEUE_LIMITS.waitingMax} may.`,
      );
    }
    return await new Promise<T>((resolve, reject) => {
      const run = () => {
        const result = mode === 'commit' ? this.#store.atomically(work) : this.#rehearse(work);
        return () => resolve(result);
      };
      this.#waiting.push({ run, refuse: reject });
      if (this.#waiting.length === 1) setImmediate(() => this.#commit());
    });
  }

  #commit(): void {
    if (this.#waiting.length === 0 || this.#underWay !== undefined) return;
    const batch = this.#waiting.slice(0, QUEUE_LIMITS.transactionMax);
    const kept = this.#keeping.keep(batch);
    if (!(kept instanceof Promise)) return this.#answer(batch, kept);
    this.#underWay = this.#await(batch, kept);
  }

  async #await(batch: readonly Waiting[], kept: Promise<Answers>): Promise<void> {
    const answers = await kept;
    this.#underWay = undefined;
    this.#answer(batch, answers);
  }

  #answer(batch: readonly Waiting[], answers: Answers): void {
    this.#waiting = this.#waiting.slice(batch.length);
    if (this.#waiting.length > 0) setImmediate(() => this.#commit());
    for (const answer of answers) answer();
  }

  #rehearse<T>(work: () => T): T {
    try {
      return this.#store.atomically(() => {
        throw new Undone(work());
      });
    } catch (error) {
      if (error instanceof Undone) return (error as Undone<T>).result;
      throw error;
    }
  }
}
