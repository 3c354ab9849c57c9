/**
 * What control planes order, one order at a time: on disk before it holds, in force before it is
 * answered.
 * Owns: that order. Leaves: judging to obedience.ts, what follows from an order to its caller.
 */
import { budgetGrantSchema, decodeBudget } from '@dbbouncer/shared/contract/budget.ts';
import type { BudgetGrant, GrantAnswer } from '@dbbouncer/shared/contract/budget.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { KeptChange } from './kept-budget.ts';
import type { Obedience } from './obedience.ts';

export interface OrdersOptions {
  readonly obedience: Obedience;
  /** Resolves when it is on disk. */
  readonly save: (change: KeptChange) => Promise<void>;
  /** What it asked to be kept is kept. */
  readonly obey: (grant: BudgetGrant) => GrantAnswer;
  readonly log: Logger;
}

export class Orders {
  readonly #options: OrdersOptions;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  /** Resolves with the answer; never rejects for what a message or a disk can do. */
  receive(data: Uint8Array): Promise<GrantAnswer> {
    const answer = this.#turn.then(async () => await this.#carryOut(data));
    this.#turn = answer.catch(() => {});
    return answer;
  }

  /** Resolves when none is under way. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  async #carryOut(data: Uint8Array): Promise<GrantAnswer> {
    const { obedience, save, obey, log } = this.#options;
    let grant: BudgetGrant;
    try {
      grant = decodeBudget(budgetGrantSchema, data);
    } catch (error) {
      log.warn({ error }, 'a grant of the budget cannot be read');
      return obedience.refusal('unreadable');
    }
    const verdict = obedience.judge(grant);
    if (verdict.kind === 'refused') {
      log.warn({ refused: verdict.answer, term: grant.term }, 'a grant of the budget is refused');
      return verdict.answer;
    }
    try {
      if (verdict.keep !== undefined) await save(verdict.keep);
    } catch (error) {
      log.error({ error }, 'a grant of the budget cannot be kept on disk, and is refused');
      return obedience.refusal('not_kept');
    }
    return obey(grant);
  }
}
