/**
 * How it has gone lately to connect to each database server, whatever tenant it was for, for
 * reports.
 * Owns: what speaks against a server, and what against one login alone. Leaves: when to dial to the
 * pools, their waits after failures to pool/.
 */
import { ENDPOINTS_MAX } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { EndpointHealth } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { SqlState } from '../wire/postgres/sqlstate.ts';
import type { Endpoint } from './endpoint.ts';

const ERROR_CHARS_MAX = 300;

/** With which a server says that it takes nobody now. */
const TAKES_NOBODY: ReadonlySet<unknown> = new Set([
  SqlState.cannot_connect_now,
  SqlState.admin_shutdown,
]);

export class EndpointsHealth {
  readonly #clock: Clock;
  /** The one dialed longest ago is first. */
  readonly #known = new Map<string, EndpointHealth>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Passes on what `dial` comes to, and remembers it, unless the proxy itself gave it up. */
  async watch<T>(endpoint: Endpoint, signal: AbortSignal, dial: () => Promise<T>): Promise<T> {
    const sinceMs = this.#clock.nowMs();
    try {
      const connection = await dial();
      this.#connected(endpoint, this.#clock.nowMs() - sinceMs);
      return connection;
    } catch (error) {
      if (!signal.aborted) this.#notConnected(endpoint, error);
      throw error;
    }
  }

  /** An idle connection is still there: the server has answered a question after so long. */
  answered({ host, port }: Endpoint, roundTripMs: number): void {
    const key = keyOf({ host, port });
    const known = this.#known.get(key);
    if (known !== undefined) this.#known.set(key, { ...known, roundTripMs: tenths(roundTripMs) });
  }

  /** ENDPOINTS_MAX at most, those that fail first. */
  read(): readonly EndpointHealth[] {
    const failures = ({ consecutiveFailures }: EndpointHealth) => Math.min(1, consecutiveFailures);
    return [...this.#known.values()].toSorted((a, b) => failures(b) - failures(a));
  }

  #connected({ host, port }: Endpoint, dialMs: number): void {
    const before = this.#known.get(keyOf({ host, port }));
    this.#note({
      host,
      port,
      outcome: 'connected',
      dialedAt: this.#clock.timestamp(),
      dialMs: tenths(dialMs),
      ...roundTripOf(before),
      consecutiveFailures: 0,
    });
  }

  #notConnected({ host, port }: Endpoint, error: unknown): void {
    const outcome = outcomeOf(error);
    if (outcome === undefined) return;
    const before = this.#known.get(keyOf({ host, port }));
    const dialedAt = this.#clock.timestamp();
    const hasFailed = outcome === 'failed';
    this.#note({
      host,
      port,
      outcome,
      dialedAt,
      ...(before?.dialMs !== undefined && { dialMs: before.dialMs }),
      ...roundTripOf(before),
      error: (error as Error).message.slice(0, ERROR_CHARS_MAX),
      ...(hasFailed && { failingSince: before?.failingSince ?? dialedAt }),
      consecutiveFailures: hasFailed ? (before?.consecutiveFailures ?? 0) + 1 : 0,
    });
  }

  #note(health: EndpointHealth): void {
    const key = keyOf(health);
    this.#known.delete(key);
    this.#known.set(key, Object.freeze(health));
    if (this.#known.size <= ENDPOINTS_MAX) return;
    const [oldest] = this.#known.keys();
    if (oldest !== undefined) this.#known.delete(oldest);
  }
}

/** Nothing where the server had no part in it: a password that cannot be opened, say. */
function outcomeOf(error: unknown): 'refused' | 'failed' | undefined {
  if (!(error instanceof AppError)) return undefined;
  switch (error.code) {
    case 'UPSTREAM_UNREACHABLE':
    case 'UPSTREAM_TLS_FAILED':
      return 'failed';
    case 'UPSTREAM_REFUSED':
      return TAKES_NOBODY.has(error.context['sqlState']) ? 'failed' : 'refused';
    case 'CREDENTIAL_UNFIT':
    case 'CLEARTEXT_REFUSED':
      return 'refused';
    default:
      return undefined;
  }
}

function roundTripOf(before: EndpointHealth | undefined): Pick<EndpointHealth, 'roundTripMs'> {
  return before?.roundTripMs === undefined ? {} : { roundTripMs: before.roundTripMs };
}

function tenths(ms: number): number {
  return Math.round(ms * 10) / 10;
}

function keyOf({ host, port }: Endpoint): string {
  return `${host.toLowerCase()}:${port}`;
}
