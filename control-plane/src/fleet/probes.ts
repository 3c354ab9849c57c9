/**
 * Has a live proxy try whether it could connect to a server. Proxies are where the servers can be
 * reached from; a control plane itself may be elsewhere.
 * Owns: which proxy is asked, how long. Leaves: the messages to shared/contract/server-probe.ts,
 * trying to the proxy.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { decodeProbeAnswer, encodeProbe } from '@dbbouncer/shared/contract/server-probe.ts';
import type { ProbeAnswer } from '@dbbouncer/shared/contract/server-probe.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { FleetReader } from './fleet-state.ts';

export const PROBE_TIMES = Object.freeze({
  /** For a proxy to try, and for all proxies that are asked one after the other. */
  tryMs: 10_000,
  /** A proxy that has its deadline behind it answers within so long. */
  answerMs: 2_000,
});

/** What is known of a server after a probe, and from which proxy; none where nobody has tried. */
export type Probed =
  | (ProbeAnswer & { readonly proxy: ProxyId })
  | {
      readonly outcome: 'not_probed';
      readonly reason: 'no_live_proxy' | 'no_answer';
      readonly message: string;
      readonly proxy: undefined;
    };

export interface ProbesOptions {
  readonly bus: Bus;
  readonly fleet: Pick<FleetReader, 'proxies'>;
  readonly clock: Clock;
}

/** Another proxy may do it, or do it better. */
const ASK_ANOTHER: ReadonlySet<string> = new Set(['busy', 'unreadable']);

export class Probes {
  readonly #options: ProbesOptions;

  constructor(options: ProbesOptions) {
    this.#options = options;
  }

  /**
   * Asks live proxies, one after the other, until one has tried. Takes some 12 s at most.
   * @param among who may be asked; without it, everybody
   */
  async probe(
    tenant: TenantConfig,
    settings: PoolSettings,
    among?: readonly ProxyId[],
  ): Promise<Probed> {
    const { fleet, clock } = this.#options;
    const live = fleet
      .proxies()
      .filter(({ id, status }) => status === 'live' && among?.includes(id) !== false);
    if (live.length === 0) return noAnswer('no_live_proxy', 'No proxy is live that could try.');
    const endMs = clock.nowMs() + PROBE_TIMES.tryMs;
    let last: Probed | undefined;
    for (const { id } of live) {
      const timeoutMs = Math.floor(endMs - clock.nowMs());
      if (timeoutMs < 1) break;
      const answer = await this.#ask(id, tenant, settings, timeoutMs);
      if (answer === undefined) continue;
      last = { ...answer, proxy: id };
      if (!(answer.outcome === 'not_probed' && ASK_ANOTHER.has(answer.reason))) return last;
    }
    return last ?? noAnswer('no_answer', `None of ${live.length} live proxies has answered.`);
  }

  /** Nothing when it does not answer: it has just ended, or is of a version without probes. */
  async #ask(
    proxy: ProxyId,
    tenant: TenantConfig,
    settings: PoolSettings,
    timeoutMs: number,
  ): Promise<ProbeAnswer | undefined> {
    const request = encodeProbe({ tenant, settings, timeoutMs });
    const waitMs = timeoutMs + PROBE_TIMES.answerMs;
    try {
      return decodeProbeAnswer(
        await this.#options.bus.request(SUBJECTS.probe(proxy), request, waitMs),
      );
    } catch {
      // Nobody has tried: that is what is told.
      return undefined;
    }
  }
}

function noAnswer(reason: 'no_live_proxy' | 'no_answer', message: string): Probed {
  return { outcome: 'not_probed', reason, message, proxy: undefined };
}
