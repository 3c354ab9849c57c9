/**
 * What has to be undone at the end, in the reverse order of what was done.
 */
export class UndoStack {
  readonly #steps: (() => Promise<void>)[] = [];
  #isEmptied = false;

  /** A step that comes too late, when all is undone already, is undone at once. */
  add(step: () => Promise<void>): void {
    if (this.#isEmptied) void step().catch(() => {});
    else this.#steps.push(step);
  }

  /** Every step is tried. @throws AggregateError of the failed ones. */
  async all(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      await step().catch((error: unknown) => failures.push(error));
    }
    this.#isEmptied = true;
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be stopped');
  }
}
