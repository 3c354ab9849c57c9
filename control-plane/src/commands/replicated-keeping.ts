/**
 * Changes are kept in the event stream on the bus first, then in the event log: what was
 * acknowledged is with whoever takes over. A batch is decided on in one transaction that is undone,
 * written to the stream, and only then kept; its readers see it when it cannot be lost any more.
 * Leaves: the stream, and who may write to it, to replication/.
 */
import { controlErrors } from '../errors.ts';
import type { EventStore } from '../store/event-store.ts';
import type { Rehearsed, ReplicatedChange } from '../store/replicated-change.ts';
import type { Answers, Keeping, Waiting } from './keeping.ts';
import { refusing, settle } from './local-keeping.ts';
import type { WriteGate } from './write-gate.ts';

export interface Replicated {
  /** How many of the events are in the stream and in the log, from the first one on. */
  readonly stored: number;
  /** What became of the others: not in the stream for good, or perhaps in it. */
  readonly others: 'refused' | 'unclear' | undefined;
}

export interface Replicator {
  /** @throws NOT_LEADER, EVENT_STREAM_UNUSABLE */
  requireLeading(): void;
  /** @throws STORE_*: what the stream has taken, the log could not keep. */
  replicate(change: ReplicatedChange): Promise<Replicated>;
}

/** A command of a batch, and how many events there were once it was decided on. */
interface Decided {
  readonly waiting: Waiting;
  readonly answer: () => void;
  readonly events: number;
}

export class ReplicatedKeeping implements Keeping {
  readonly #store: EventStore;
  readonly #gate: WriteGate;
  readonly #replicator: Replicator;

  constructor(store: EventStore, gate: WriteGate, replicator: Replicator) {
    this.#store = store;
    this.#gate = gate;
    this.#replicator = replicator;
  }

  requireOpen(): void {
    this.#replicator.requireLeading();
    this.#gate.requireOpen();
  }

  async keep(batch: readonly Waiting[]): Promise<Answers> {
    let rehearsed: Rehearsed<readonly Decided[]>;
    try {
      this.requireOpen();
      rehearsed = this.#store.rehearse((eventsSoFar) =>
        batch.map((waiting) => {
          const answer = settle(waiting);
          return { waiting, answer, events: eventsSoFar() };
        }),
      );
    } catch (failure) {
      return refusing(batch, this.#gate.answerTo(failure));
    }
    return await this.#replicate(rehearsed);
  }

  async #replicate(rehearsed: Rehearsed<readonly Decided[]>): Promise<Answers> {
    const { result: decided, events, answers } = rehearsed;
    if (events.length === 0 && answers.length === 0) return decided.map(({ answer }) => answer);
    try {
      const { stored, others } = await this.#replicator.replicate({ events, answers });
      return decided.map(({ waiting, answer, events: upTo }) => {
        if (upTo <= stored) return answer;
        return () => waiting.refuse(this.#refusalOf(others));
      });
    } catch (failure) {
      this.#gate.shut(failure);
      const batch = decided.map(({ waiting }) => waiting);
      const reason = failure instanceof Error ? failure.message : String(failure);
      return refusing(batch, unknown(`It is in the event stream, and not in the log: ${reason}`));
    }
  }

  #refusalOf(others: Replicated['others']): unknown {
    if (others === 'unclear') return unknown('The message bus did not say whether it was stored.');
    try {
      this.#replicator.requireLeading();
    } catch (error) {
      return error;
    }
    return controlErrors.fail('NOT_LEADER', 'Another control plane has begun to write.');
  }
}

function unknown(message: string): Error {
  return controlErrors.fail('STORE_OUTCOME_UNKNOWN', message, {
    hint: 'Look whether it was done, or repeat it under the same Idempotency-Key.',
  });
}
