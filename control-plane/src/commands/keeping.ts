/**
 * How a batch of commands is kept: the port between the queue and what makes changes last.
 */

/** A command in the queue. */
export interface Waiting {
  /** Works inside the open transaction and says how the sender is told once that is kept. */
  run(): () => void;
  refuse(error: unknown): void;
}

/** Tells the senders of a batch, each in its turn. */
export type Answers = readonly (() => void)[];

export interface Keeping {
  /** @throws STORE_READ_ONLY, NOT_LEADER and the like while nothing can be kept. */
  requireOpen(): void;
  /**
   * Runs the batch in one transaction and keeps what it comes to. Never fails: that is in the
   * answers. The next batch comes when it is done.
   */
  keep(batch: readonly Waiting[]): Answers | Promise<Answers>;
}
