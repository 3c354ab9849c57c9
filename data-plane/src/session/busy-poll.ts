/**
 * Looks for bytes without sleeping, for a moment after something was passed on. Waking a process
 * that sleeps takes the kernel longer than a short query; a lone client waits for two wake-ups of
 * the proxy with each of its queries.
 * Owns: when looking pays. It is done only as long as no two batches are under way (others need the
 * processors then), and given up, for twice as long each time, where nothing comes of it: a client
 * that thinks, a query that takes its time.
 * Leaves: reading to the event loop, which this only keeps from sleeping.
 */

/** Turns in a row, with one batch at most under way, before it begins. */
const CALM_TURNS = 16;
/** After so many vain moments in a row no more turns are left out than after the last. */
const DOUBLINGS_MAX = 10;

export interface BusyPollOptions {
  /** The longest moment; 0: never. */
  readonly limitMs: number;
  readonly nowMs: () => number;
  /** Calls back in the next turn of the event loop, which does not sleep before. */
  readonly inNextTurn: (look: () => void) => void;
}

/** How often looking for something was in vain. */
class Prospect {
  #vain = 0;
  #left = 0;

  /** Whether to look this time. */
  takes(): boolean {
    if (this.#left === 0) return true;
    this.#left -= 1;
    return false;
  }

  came(): void {
    this.#vain = 0;
  }

  cameNot(): void {
    this.#vain = Math.min(this.#vain + 1, DOUBLINGS_MAX);
    this.#left = 2 ** this.#vain;
  }
}

export class BusyPoll {
  readonly #options: BusyPollOptions;
  readonly #answer = new Prospect();
  readonly #query = new Prospect();
  #underWay = 0;
  #calmTurns = 0;
  /** What is looked for. */
  #aim: Prospect | undefined;
  #hasTurn = false;
  #untilMs = 0;

  constructor(options: BusyPollOptions) {
    this.#options = options;
  }

  /** A batch was sent on: its answer comes next. */
  began(nowMs: number): void {
    this.#underWay += 1;
    this.#came(this.#query);
    this.#lookFor(this.#answer, nowMs);
  }

  /** It was answered: the next comes. */
  ended(nowMs: number): void {
    this.#underWay -= 1;
    this.#came(this.#answer);
    this.#lookFor(this.#query, nowMs);
  }

  /** It is nobody's any more. */
  abandoned(): void {
    this.#underWay -= 1;
  }

  #came(aim: Prospect): void {
    if (this.#aim === aim) aim.came();
  }

  #lookFor(aim: Prospect, nowMs: number): void {
    const { limitMs } = this.#options;
    this.#calmTurns = this.#underWay > 1 ? 0 : this.#calmTurns + 1;
    const isWorthIt = limitMs > 0 && this.#calmTurns > CALM_TURNS && aim.takes();
    this.#aim = isWorthIt ? aim : undefined;
    if (!isWorthIt) return;
    this.#untilMs = nowMs + limitMs;
    if (!this.#hasTurn) this.#takeTurn();
  }

  #takeTurn(): void {
    this.#hasTurn = true;
    this.#options.inNextTurn(this.#look);
  }

  readonly #look = (): void => {
    this.#hasTurn = false;
    const aim = this.#aim;
    if (aim === undefined) return;
    if (this.#options.nowMs() < this.#untilMs) return this.#takeTurn();
    aim.cameNot();
    this.#aim = undefined;
  };
}
