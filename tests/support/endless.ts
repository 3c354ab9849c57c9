/**
 * Work that goes on beside a test, over and over, until it is stopped.
 * Owns: its loops, and that a test which fails before it stops them leaves none behind: a process
 * with a loop that nobody ends does not end either.
 * Leaves: what one turn does to the caller: it ends by itself and keeps its errors.
 */
const going = new Set<Endless>();

export class Endless {
  readonly #loops: readonly Promise<void>[];
  #phase: 'going' | 'stopping' = 'going';

  private constructor(atOnce: number, turn: () => Promise<void>) {
    this.#loops = Array.from({ length: atOnce }, () => this.#loop(turn));
  }

  /** `atOnce` loops of turns. */
  static start(atOnce: number, turn: () => Promise<void>): Endless {
    const endless = new Endless(atOnce, turn);
    going.add(endless);
    return endless;
  }

  /** Resolves when the turns under way are done. */
  async stop(): Promise<void> {
    this.#phase = 'stopping';
    going.delete(this);
    await Promise.all(this.#loops);
  }

  async #loop(turn: () => Promise<void>): Promise<void> {
    while (this.#phase === 'going') await turn();
  }
}

/** For `afterEach`: stops what the test has left. */
export async function stopEndless(): Promise<void> {
  await Promise.all([...going].map((endless) => endless.stop()));
}
