/**
 * Long work that rests between its steps: a generator that yields where others may have their turn.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

export type Steps<Result> = Generator<void, Result>;

/** Does all of it now. @throws what the work throws; so do the others */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** Does all of it, and lets the process do its other work after each step. */
export async function finishWithRests<Result>(steps: Steps<Result>): Promise<Result> {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
    await nextTurn();
  }
}
