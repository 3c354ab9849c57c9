/**
 * The one reference to what is served now. Readers take `current` once per decision and keep to it;
 * a swap replaces the reference, so no reader ever sees half a config.
 * Owns: the order of a swap. Leaves: draining pools and ending sessions to the listeners.
 */
import { EMPTY_CONFIG } from '@dbbouncer/shared/contract/routing-config.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { Canaries } from './canaries.ts';
import { findChangeInconsistency, RoutingSnapshot } from './snapshot.ts';

/** Called after the swap with both snapshots; `tenantChanges` tells what differs. */
export type SwapListener = (previous: RoutingSnapshot, next: RoutingSnapshot) => void;

export type SwapResult =
  | { readonly kind: 'swapped'; readonly snapshot: RoutingSnapshot }
  /** The former snapshot is still the current one. */
  | { readonly kind: 'refused'; readonly reason: string };

export class Router {
  readonly #log: Logger;
  readonly #listeners = new Set<SwapListener>();
  readonly #canaries: Canaries;
  #current = new RoutingSnapshot(EMPTY_CONFIG);

  /** @param proxy whose name canaries are given to */
  constructor(log: Logger, proxy?: ProxyId) {
    this.#log = log;
    this.#canaries = new Canaries(proxy);
  }

  get current(): RoutingSnapshot {
    return this.#current;
  }

  /** Serves `config` from the next decision on, or refuses it whole with a reason. Synchronous. */
  replace(config: RoutingConfig): SwapResult {
    const previous = this.#current;
    // 1. Check it against the one that is served, which was checked before.
    const reason = findChangeInconsistency(previous.told, config);
    if (reason !== undefined) return { kind: 'refused', reason };
    // 2. Build what will be served; nothing of it is visible yet.
    const next = new RoutingSnapshot(this.#canaries.follow(previous, config), config);
    // 3. Store one reference: decisions before it used the old snapshot, decisions after it use the
    // new one.
    this.#current = next;
    // 4. Tell the listeners, which drain what no longer belongs; new decisions cannot reach it any
    // more.
    for (const listener of this.#listeners) this.#tell(listener, previous, next);
    return { kind: 'swapped', snapshot: next };
  }

  /**
   * Calls `listener` after each swap, in order of registration. @returns a function that ends it.
   */
  onSwap(listener: SwapListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A listener that fails must not keep the others from draining what is gone. */
  #tell(listener: SwapListener, previous: RoutingSnapshot, next: RoutingSnapshot): void {
    try {
      listener(previous, next);
    } catch (error) {
      this.#log.error({ error, position: next.position }, 'a swap listener failed');
    }
  }
}
