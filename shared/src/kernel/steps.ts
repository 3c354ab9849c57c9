/**
 * Long work that rests between its steps: a generator that yields where others may have their turn.
 */
export type Steps<Result> = Generator<void, Result>;

/** Resolves when whatever else the process has to do now has had its turn. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

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
