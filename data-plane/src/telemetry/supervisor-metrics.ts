/**
 * What a supervisor counts of its workers, besides what they count themselves.
 * Owns: names and help texts of it.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import type { MetricFamily, Value } from './metric-values.ts';
import { byLabel } from './metric-values.ts';

export interface SupervisorSources {
  readonly workers: () => readonly {
    readonly state: 'starting' | 'serving' | 'draining' | 'ended';
    readonly proxyId: string | undefined;
    readonly condition: { readonly clients: number } | undefined;
  }[];
  /** Of each place without a worker, how long the start of the next one is put off. */
  readonly delaysMs: () => readonly number[];
}

export class SupervisorMetrics {
  readonly #sources: SupervisorSources;
  readonly #node = new Registry();
  readonly #ends = new Map<string, number>();

  constructor(sources: SupervisorSources) {
    this.#sources = sources;
    collectDefaultMetrics({ register: this.#node });
  }

  ended(reason: string): void {
    this.#ends.set(reason, (this.#ends.get(reason) ?? 0) + 1);
  }

  async families(): Promise<readonly MetricFamily[]> {
    return [...this.own(), ...((await this.#node.getMetricsAsJSON()) as unknown as MetricFamily[])];
  }

  own(): readonly MetricFamily[] {
    const workers = this.#sources.workers();
    const inState = (state: string) => workers.filter((worker) => worker.state === state).length;
    const states = ['starting', 'serving', 'draining'].map((state) => ({
      labels: { state },
      value: inState(state),
    }));
    const clients = workers.flatMap(({ proxyId, condition }): Value[] =>
      proxyId === undefined || condition === undefined
        ? []
        : [{ labels: { worker: proxyId }, value: condition.clients }],
    );
    const delaySeconds = Math.max(0, ...this.#sources.delaysMs()) / 1_000;
    return [
      family('gauge', 'dbbouncer_workers', 'Worker processes, by state', states),
      family('gauge', 'dbbouncer_worker_clients', 'Clients of each worker', clients),
      family(
        'counter',
        'dbbouncer_worker_ends_total',
        'Worker processes that have ended, by reason',
        byLabel('reason', this.#ends),
      ),
      family(
        'gauge',
        'dbbouncer_worker_restart_delay_seconds',
        'How long the next start of a worker is put off, because workers keep ending',
        [{ labels: {}, value: delaySeconds }],
      ),
    ];
  }
}

function family(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  values: readonly Value[],
): MetricFamily {
  return { type, name, help, values };
}
