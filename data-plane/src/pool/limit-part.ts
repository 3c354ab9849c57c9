/**
 * The part of a tenant's limit that this proxy may use, where the limit holds over several proxies:
 * what a limit asks of who deals it out, and the other way round.
 */
export interface LimitPart {
  /** Slots that may be occupied now; the limit itself holds as well. */
  readonly slots: number;
  /** Why there are no more, and what can be done, for people. */
  readonly shortage: Shortage;
  /** Somebody waits for a slot beyond it. */
  lacking(): void;
  /** A slot has closed; more are occupied than may be, or as many. */
  shrunk(): void;
  /** Looks at the clock whether it still holds, and tells what it is now if it does not. */
  heed(): void;
  bind(limit: DividedLimit): void;
  /** Nobody counts under the limit any more. */
  unbind(): void;
}

export interface Shortage {
  readonly text: string;
  readonly hint: string;
}

/** A limit as who deals out its parts sees it. */
export interface DividedLimit {
  readonly occupied: number;
  /** Slots that clients use or wait for, and those that are kept. */
  readonly wanted: number;
  /** The most of these since it was last taken, or now. */
  takeWantedPeak(): number;
  /** The part is another one: room is handed out, or slots are closed. */
  partChanged(): void;
}
