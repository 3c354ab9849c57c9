/**
 * Hands judged configs to the router: a lone one at once, a burst as few swaps.
 * Owns: what is judged but not served yet. Leaves: judging to judge.ts, the swap itself to
 * routing/.
 */
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Router } from '../routing/router.ts';
import type { Rejection } from './judge.ts';

/** A lone delta is served at once; of a burst, no more than one swap in this time. */
const SWAP_INTERVAL_MS = 5;

export interface SwapEvents {
  /** `config` is served now. */
  swapped(config: RoutingConfig): void;
  /** The router would not serve it. */
  refused(rejection: Rejection): void;
}

export class Swapper {
  readonly #router: Router;
  readonly #clock: Clock;
  readonly #events: SwapEvents;
  #pending: RoutingConfig | undefined;
  #timer: Timer | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  constructor(router: Router, clock: Clock, events: SwapEvents) {
    this.#router = router;
    this.#clock = clock;
    this.#events = events;
  }

  /** The newest config, served or not: what the next delta has to fit. */
  get newest(): RoutingConfig {
    return this.#pending ?? this.#router.current.told;
  }

  /** Swaps since the start. */
  get count(): number {
    return this.#count;
  }

  /** Serves `config` within a few milliseconds, with what follows it by then. */
  offer(config: RoutingConfig): void {
    this.#pending = config;
    const restMs = this.#lastMs + SWAP_INTERVAL_MS - this.#clock.nowMs();
    if (restMs <= 0) this.flush();
    else this.#timer ??= this.#clock.after(restMs, () => this.flush());
  }

  /** Serves what is pending now. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const config = this.#pending;
    if (config === undefined) return;
    this.#pending = undefined;
    const result = this.#router.replace(config);
    if (result.kind === 'refused') {
      this.#events.refused({ position: config.position, reason: result.reason });
      return;
    }
    this.#lastMs = this.#clock.nowMs();
    this.#count += 1;
    this.#events.swapped(config);
  }
}
