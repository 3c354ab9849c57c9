/** Changes are kept in the event log of this process, with one disk sync for a batch. */
import { controlErrors } from '../errors.ts';
import type { EventStore } from '../store/event-store.ts';
import type { Answers, Keeping, Waiting } from './keeping.ts';
import type { WriteGate } from './write-gate.ts';

export class LocalKeeping implements Keeping {
  readonly #store: EventStore;
  readonly #gate: WriteGate;

  constructor(store: EventStore, gate: WriteGate) {
    this.#store = store;
    this.#gate = gate;
  }

  requireOpen(): void {
    this.#gate.requireOpen();
  }

  keep(batch: readonly Waiting[]): Answers {
    try {
      this.#gate.requireOpen();
      return this.#store.atomically(() => batch.map(settle));
    } catch (failure) {
      return refusing(batch, this.#gate.answerTo(failure));
    }
  }
}

/** @throws a failure of the store itself: the transaction around all of them is lost then. */
export function settle(waiting: Waiting): () => void {
  try {
    return waiting.run();
  } catch (error) {
    if (isStoreFailure(error)) throw error;
    return () => waiting.refuse(error);
  }
}

export function refusing(batch: readonly Waiting[], error: unknown): Answers {
  return batch.map((waiting) => () => waiting.refuse(error));
}

function isStoreFailure(error: unknown): boolean {
  return controlErrors.is(error) && error.code.startsWith('STORE_');
}
