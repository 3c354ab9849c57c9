/**
 * What statements of a transaction will have done to a client's session once it commits: pending
 * until then, undone by ROLLBACK and ROLLBACK TO as the server undoes it.
 * Owns: the order of effects and savepoints, and what becomes of them at each end. Leaves: what an
 * effect is to its user; it is meant for everything that "takes effect at COMMIT" (channels,
 * session parameters). To be told of every statement of a client from its first effect on;
 * savepoints of before then need not be known.
 * Source: PostgreSQL manual, SAVEPOINT, RELEASE SAVEPOINT, ROLLBACK TO SAVEPOINT, COMMIT.
 */
import {
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
  TRANSACTION_OPEN,
} from '../../wire/postgres/message-types.ts';
import type { TransactionStatus } from '../../wire/postgres/message-types.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Statement } from './sql/statement.ts';

type Entry<Effect> =
  | { readonly kind: 'effect'; readonly effect: Effect }
  | { readonly kind: 'savepoint'; readonly name: string };

/** What decides about effects of its transaction. */
type Deciding = Extract<
  Statement,
  {
    readonly kind:
      'savepoint' | 'release' | 'rollback_to' | 'commit' | 'rollback' | 'prepare_transaction';
  }
>;

const DECIDING: ReadonlySet<Statement['kind']> = new Set<Deciding['kind']>([
  'savepoint',
  'release',
  'rollback_to',
  'commit',
  'rollback',
  'prepare_transaction',
]);

export function decides(statement: Statement): statement is Deciding {
  return DECIDING.has(statement.kind);
}

/** Effects and savepoints that one transaction may hold. */
export const TRANSACTION_ENTRIES_MAX = 10_000;

export class TransactionEffects<Effect> {
  readonly #commit: (effects: readonly Effect[]) => void;
  #entries: Entry<Effect>[] = [];
  /** A statement has failed: without a ROLLBACK TO the transaction can only be rolled back. */
  #fate: 'open' | 'failed' = 'open';

  /** @param commit hears the effects of each transaction that committed with any, in order. */
  constructor(commit: (effects: readonly Effect[]) => void) {
    this.#commit = commit;
  }

  get isEmpty(): boolean {
    return this.#entries.length === 0;
  }

  /** No more than TRANSACTION_ENTRIES_MAX is the caller's to see to. */
  get size(): number {
    return this.#entries.length;
  }

  /** What will have happened if the transaction commits now. */
  get effects(): readonly Effect[] {
    return this.#entries.flatMap((entry) => (entry.kind === 'effect' ? [entry.effect] : []));
  }

  /** A statement with this effect was executed. */
  add(effect: Effect): void {
    this.#entries.push({ kind: 'effect', effect });
  }

  /** The server has executed `statement`; only those about transactions matter here. */
  executed(statement: Statement): void {
    if (decides(statement)) this.#decided(statement);
  }

  #decided(statement: Deciding): void {
    switch (statement.kind) {
      case 'savepoint':
        // With nothing in front of it, it makes no difference whether it is known.
        if (!this.isEmpty) this.#entries.push({ kind: 'savepoint', name: statement.name });
        break;
      case 'release':
        this.#release(statement.name);
        break;
      case 'rollback_to':
        this.#entries.length = this.#savepoint(statement.name) + 1;
        this.#fate = 'open';
        break;
      case 'commit':
        this.#end(this.#fate === 'failed' ? 'rolled_back' : 'committed');
        break;
      case 'rollback':
      // Its effects, if the server lets it have any, are another session's to see to.
      case 'prepare_transaction':
        this.#end('rolled_back');
        break;
      default:
        return unreachable(statement);
    }
  }

  /** The server has answered a statement with an error. */
  failed(): void {
    this.#fate = 'failed';
  }

  /** ReadyForQuery: what ran outside of a transaction block has been committed, or has failed. */
  ready(status: TransactionStatus): void {
    if (status === TRANSACTION_FAILED) this.#fate = 'failed';
    else if (status === TRANSACTION_OPEN) this.#fate = 'open';
    else if (status === TRANSACTION_IDLE) {
      this.#end(this.#fate === 'failed' ? 'rolled_back' : 'committed');
    }
  }

  #end(how: 'committed' | 'rolled_back'): void {
    this.#fate = 'open';
    if (this.isEmpty) return;
    const { effects } = this;
    this.#entries = [];
    if (how === 'committed') this.#commit(effects);
  }

  /** The effects stay, as those of the enclosing transaction; the savepoints within are gone. */
  #release(name: string): void {
    const at = this.#savepoint(name);
    if (at === -1) return;
    this.#entries = this.#entries.filter((entry, i) => i < at || entry.kind === 'effect');
  }

  /** The index of the latest savepoint of this name; -1 for one from before the first effect. */
  #savepoint(name: string): number {
    return this.#entries.findLastIndex(
      (entry) => entry.kind === 'savepoint' && entry.name === name,
    );
  }
}
