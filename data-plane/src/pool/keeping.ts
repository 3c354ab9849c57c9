/**
 * The server connections of one pool that the proxy keeps for a purpose of its own, such as hearing
 * what the server has to say to many clients.
 * Owns: who keeps which, and telling them that their time is over. Leaves: the slots to
 * pool-core.ts.
 */
import type { CloseReason } from '../upstream/upstream.ts';

export interface Keeper {
  /**
   * The pool ends, or the limit leaves no room for clients beside what is kept: the keeper is to
   * discard its backend, as soon as it has made up for it.
   */
  giveUp(reason: CloseReason): void;
  /** Clients wait who only need a slot: the keeper may end its keeping, if that costs little. */
  wanted?(): void;
}

export class Keeping<B> {
  readonly #keepers = new Map<B, Keeper>();

  begin(backend: B, keeper: Keeper): void {
    this.#keepers.set(backend, keeper);
  }

  end(backend: B): void {
    this.#keepers.delete(backend);
  }

  /** Told as below, and only those that listen for it. */
  want(): void {
    for (const [backend, keeper] of this.#keepers) {
      if (keeper.wanted === undefined) continue;
      queueMicrotask(() => {
        if (this.#keepers.get(backend) === keeper) keeper.wanted?.();
      });
    }
  }

  /**
   * Each keeper is told in a microtask of its own: it may call any method of the pool. Nobody is
   * told without a reason.
   */
  tell(reason: CloseReason | undefined): void {
    if (reason === undefined) return;
    for (const [backend, keeper] of this.#keepers) {
      queueMicrotask(() => {
        if (this.#keepers.get(backend) === keeper) keeper.giveUp(reason);
      });
    }
  }
}
