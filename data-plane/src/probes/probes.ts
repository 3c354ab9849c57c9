/**
 * Answers control planes that ask whether this proxy could connect to a server: in a slot of the
 * limit of a tenant that is served, so that nobody has more server connections than it may.
 * Owns: what is tried at once, slot and deadline. Leaves: trying to the protocol's upstream/, the
 * form of the messages to shared/contract/server-probe.ts.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Protocol, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import {
  decodeProbeRequest,
  encodeProbe,
  PROBE_LIMITS,
} from '@dbbouncer/shared/contract/server-probe.ts';
import type {
  ProbeAnswer,
  ProbeFinding,
  ProbeRequest,
} from '@dbbouncer/shared/contract/server-probe.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { GiveBack, LoneSlotOptions } from '../pool/lone-slot.ts';
import type { Router } from '../routing/router.ts';

/** What is tried; never throws for what a server, a network or a config can do. */
export type TryToConnect = (attempt: {
  readonly tenant: TenantConfig;
  readonly settings: PoolSettings;
  readonly timeoutMs: number;
  /** `closed` is called when no connection is open, and none will be. */
  readonly events: { closed(): void };
  readonly signal: AbortSignal;
}) => Promise<ProbeFinding>;

export interface ProbesOptions {
  readonly bus: Bus;
  readonly proxy: ProxyId;
  readonly router: Router;
  /** `Pools` has it. */
  readonly pools: {
    loneSlot(
      tenant: string,
      settings: PoolSettings,
      options: LoneSlotOptions,
    ): Promise<GiveBack | undefined>;
  };
  /** By protocol: one that is not there cannot be tried. */
  readonly tryToConnect: Partial<Record<Protocol, TryToConnect>>;
  readonly clock: Clock;
}

type NotProbed = Extract<ProbeAnswer, { readonly outcome: 'not_probed' }>;

export class Probes {
  readonly #options: ProbesOptions;
  readonly #running = new Set<AbortController>();
  #responder: Subscription | undefined;

  constructor(options: ProbesOptions) {
    this.#options = options;
  }

  start(): void {
    const { bus, proxy } = this.#options;
    this.#responder = bus.respond(SUBJECTS.probe(proxy), async (data) =>
      encodeProbe(await this.#answer(data)),
    );
  }

  /** Answers nobody any more; what is tried ends soon. */
  stop(): void {
    this.#responder?.close();
    for (const probe of this.#running) probe.abort();
  }

  async #answer(data: Uint8Array): Promise<ProbeAnswer> {
    const request = read(data);
    if (request === undefined) {
      return notProbed('unreadable', 'The proxy does not understand the request: its version?');
    }
    const { protocol } = request.tenant;
    const tryToConnect = this.#options.tryToConnect[protocol];
    if (tryToConnect === undefined) {
      return notProbed('unsupported_protocol', `Servers of ${protocol} cannot be probed yet.`);
    }
    if (this.#running.size >= PROBE_LIMITS.runningMax) {
      const most = `${PROBE_LIMITS.runningMax} at once`;
      return notProbed('busy', `The proxy probes ${this.#running.size} servers; ${most} is most.`);
    }
    return this.#probe(request, tryToConnect);
  }

  async #probe(request: ProbeRequest, tryToConnect: TryToConnect): Promise<ProbeAnswer> {
    const { clock } = this.#options;
    const { timeoutMs } = request;
    const abort = new AbortController();
    this.#running.add(abort);
    const endMs = clock.nowMs() + timeoutMs;
    const timer = clock.after(timeoutMs, () => {
      abort.abort(new Error(`it took longer than a probe may, ${timeoutMs} ms`));
    });
    try {
      return await this.#inSlot(request, abort.signal, (giveBack) =>
        tryToConnect({
          ...request,
          timeoutMs: Math.max(1, Math.ceil(endMs - clock.nowMs())),
          events: { closed: giveBack },
          signal: abort.signal,
        }),
      );
    } finally {
      timer.cancel();
      this.#running.delete(abort);
    }
  }

  /** The slot is given back when the server has closed the connection. */
  async #inSlot(
    { tenant, timeoutMs }: ProbeRequest,
    signal: AbortSignal,
    attempt: (giveBack: GiveBack) => Promise<ProbeFinding>,
  ): Promise<ProbeAnswer> {
    const { pools, router, clock } = this.#options;
    const { current } = router;
    const known = current.byKey(tenantKey(tenant.id));
    // A tenant to come has no pool on any proxy, and no part in the fleet's budget yet.
    if (known === undefined) return await attempt(() => undefined);
    const holding = current.poolSettings(known);
    const options = { clock, limitMs: timeoutMs, signal };
    const giveBack = await pools.loneSlot(tenant.id, holding, options);
    if (giveBack === undefined) {
      const most = `max_connections (${holding.maxConnections})`;
      const text = `All ${most} of tenant "${tenant.id}" were in use for ${timeoutMs} ms.`;
      return notProbed('no_slot', text);
    }
    try {
      return await attempt(giveBack);
    } catch (error) {
      giveBack();
      throw error;
    }
  }
}

function read(data: Uint8Array): ProbeRequest | undefined {
  try {
    return decodeProbeRequest(data);
  } catch {
    // Another version may know more than this one.
    return undefined;
  }
}

function notProbed(reason: NotProbed['reason'], message: string): NotProbed {
  return { outcome: 'not_probed', reason, message };
}
