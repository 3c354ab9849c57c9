/**
 * A proxy from start to stop: in which order its parts begin and end, and what it says of its
 * readiness meanwhile.
 * Leaves: what the parts are to app.ts, how sessions end to drain.ts.
 */
import { drain } from './drain.ts';
import type { DrainOptions } from './drain.ts';
import type { Queued } from './listener/accepting-server.ts';
import type { Readiness, TelemetryServer } from './telemetry/http.ts';

/** Where clients come in. */
export interface OpenListener {
  readonly port: number;
  /** Accepts nobody any more, when it has resolved. */
  stop(queued: Queued): Promise<void>;
  /** Resolves when every client's socket is closed, or `withinMs` have passed. */
  emptied(withinMs: number): Promise<void>;
}

/** What a proxy starts and stops; made, but not begun. */
export interface ProxyParts extends Omit<DrainOptions, 'timeoutMs' | 'graceMs'> {
  readonly feed: {
    readonly status: { readonly source: 'bus' | 'disk' | 'none' };
    start(): void;
    stop(): Promise<void>;
  };
  readonly reporter: { start(): void; drain(): void; stop(): void };
  /** Answers whether the proxy could connect to a server. */
  readonly probes: { start(): void; stop(): void };
  /** Does what other members of the fleet ask. */
  readonly remote: { start(): void; stop(): void };
  /** What of the fleet's server connections is this proxy's. */
  readonly budget: { start(): void; end(closed: boolean): Promise<void> };
  readonly janitor: { stop(): void };
  readonly timeLimits: { stop(): void };
  /** Watches the files of its certificate. */
  readonly tls: { close(): Promise<void> } | undefined;
  /** Nothing where another process shows health and metrics. */
  readonly startTelemetry: ((readiness: () => Readiness) => Promise<TelemetryServer>) | undefined;
  readonly listen: () => Promise<OpenListener>;
}

export interface OpenPorts {
  readonly listenPort: number;
  /** 0 where another process shows health and metrics. */
  readonly metricsPort: number;
}

/** How long clients have to read why they were ended, and to close their side. */
const READ_WITHIN_MS = 1_000;

export class LifeCycle {
  readonly #parts: ProxyParts;
  #phase: 'starting' | 'serving' | 'draining' = 'starting';
  #telemetry: TelemetryServer | undefined;
  #listener: OpenListener | undefined;

  constructor(parts: ProxyParts) {
    this.#parts = parts;
  }

  /**
   * Serves, with or without a config as yet.
   * @throws SETTINGS_INVALID a port cannot be had; what had begun is ended again
   */
  async open(): Promise<OpenPorts> {
    try {
      return await this.#open();
    } catch (error) {
      await this.close({ timeoutMs: 0, graceMs: 0 });
      throw error;
    }
  }

  async #open(): Promise<OpenPorts> {
    const { feed, reporter, probes, remote, budget, startTelemetry, listen } = this.#parts;
    this.#telemetry = await startTelemetry?.(() => this.readiness);
    this.#listener = await listen();
    feed.start();
    reporter.start();
    probes.start();
    remote.start();
    budget.start();
    this.#phase = 'serving';
    return { listenPort: this.#listener.port, metricsPort: this.#telemetry?.port ?? 0 };
  }

  /**
   * Accepts nobody any more, lets transactions finish for `timeoutMs`, ends the rest. Metrics are
   * shown and readiness is denied until nothing is left. To be called once.
   */
  async close(limits: Pick<DrainOptions, 'timeoutMs' | 'graceMs'>): Promise<void> {
    const { registry, pools, clock, log, janitor, reporter, feed, tls, timeLimits } = this.#parts;
    this.#phase = 'draining';
    reporter.drain();
    this.#parts.probes.stop();
    // Where clients have time, another worker has taken over, and takes those in the queue too.
    await this.#listener?.stop(limits.graceMs > 0 ? 'left' : 'served');
    const left = await drain({ registry, pools, clock, log, ...limits });
    await this.#parts.budget.end(left === 'nothing');
    // A process that ends with bytes of a client unread resets it, and what it was told is lost.
    await this.#listener?.emptied(READ_WITHIN_MS);
    this.#parts.remote.stop();
    janitor.stop();
    timeLimits.stop();
    reporter.stop();
    await feed.stop();
    await tls?.close();
    await this.#telemetry?.close();
  }

  get readiness(): Readiness {
    const { source } = this.#parts.feed.status;
    if (this.#phase === 'draining') return { kind: 'not_ready', reason: 'draining' };
    if (this.#phase === 'starting') return { kind: 'not_ready', reason: 'not_listening' };
    if (source === 'none') return { kind: 'not_ready', reason: 'no_config' };
    return { kind: 'ready' };
  }
}
