/**
 * Says whether requests should come here. A bus that is lost later does not count: where one
 * control plane writes alone, writes are kept and published then, and everywhere reads go on.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type { ControlPlaneCore, CoreStatus } from './core.ts';
import type { ReplicaStatus } from './replication/replica.ts';

export class Readiness {
  readonly #core: ControlPlaneCore;
  #phase: 'starting' | 'up' | 'stopping' = 'starting';
  readonly #bus: Bus;
  /** Proxies were told of the log, or this one has read what another wrote. */
  #hasReachedBus = false;

  constructor(core: ControlPlaneCore, bus: Bus) {
    this.#core = core;
    this.#bus = bus;
  }

  started(): void {
    this.#phase = 'up';
  }

  stopping(): void {
    this.#phase = 'stopping';
  }

  problem(): string | undefined {
    if (this.#phase !== 'up') return `the control plane is ${this.#phase}`;
    const status = this.#core.status();
    const { deltas, replica } = status;
    if (replica?.problem !== undefined) return replica.problem;
    if (deltas.phase === 'stopped') return deltas.problem ?? 'publishing has stopped';
    this.#hasReachedBus ||= hasReachedBus(status, replica);
    if (this.#hasReachedBus) return undefined;
    const { problem } = this.#bus;
    const why = problem === undefined ? '' : `: ${problem}`;
    return `the message bus has not been reached yet${why}`;
  }
}

function hasReachedBus({ deltas }: CoreStatus, replica: ReplicaStatus | undefined): boolean {
  return deltas.phase === 'tailing' || replica?.role === 'following';
}
