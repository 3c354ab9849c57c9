/**
 * What database servers say of how many connections they let in, and which servers have been asked.
 * Owns: the question, remembering the answers for reports. Leaves: when to ask to
 * postgres-upstream.ts and probe-postgres.ts, what follows to the control plane.
 */
import { SERVERS_MAX } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ReportedServer } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { ServerLimits } from '@dbbouncer/shared/contract/server-probe.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { ServerError, simpleQuery } from './conversation.ts';
import type { PostgresBackend } from './postgres-backend.ts';

export const KNOWN_SERVERS = Object.freeze({
  /** Servers that are remembered; the one learned of longest ago gives way. */
  serversMax: SERVERS_MAX,
  /** A server is asked again after so long, by the next connection that is opened to it. */
  askAgainMs: 600_000,
});

/** The server behind a connection, as its role sees it. */
export interface ServerSide extends ServerLimits {
  readonly roleConnections: number | null;
  readonly databaseConnections: number | null;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** Any role may ask; the names are the server's, whatever the search path says. */
const QUESTION = `SELECT pg_catalog.current_setting('server_version'),
pg_catalog.current_setting('max_connections'),
pg_catalog.current_setting('superuser_reserved_connections'),
pg_catalog.current_setting('reserved_connections', true),
(SELECT rolconnlimit FROM pg_catalog.pg_roles
  WHERE rolname OPERATOR(pg_catalog.=) session_user),
(SELECT datconnlimit FROM pg_catalog.pg_database
  WHERE datname OPERATOR(pg_catalog.=) pg_catalog.current_database())`;

/**
 * Asks on a backend nobody else uses, which is left as it was.
 * @throws ServerError, ConversationLost
 */
export async function askServer(backend: PostgresBackend, limitMs?: number): Promise<ServerSide> {
  const [row = []] = await simpleQuery(backend, QUESTION, limitMs);
  const [version, max, forSuperusers, reserved, ofRole, ofDatabase] = row;
  return {
    version: version ?? '',
    maxConnections: Number(max),
    // `reserved_connections` is there since version 16.
    reservedConnections: Number(forSuperusers) + Number(reserved ?? 0),
    roleConnections: limitOf(ofRole),
    databaseConnections: limitOf(ofDatabase),
  };
}

/** -1 is how the catalog says: no limit. */
function limitOf(text: string | null | undefined): number | null {
  return text === null || text === undefined || Number(text) < 0 ? null : Number(text);
}

interface Asked {
  readonly atMs: number;
  readonly server: ReportedServer | undefined;
}

export class KnownServers {
  readonly #clock: Clock;
  readonly #asked = new Map<string, Asked>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What was learned, of each server once. */
  read(): readonly ReportedServer[] {
    return [...this.#asked.values()].flatMap(({ server }) => (server === undefined ? [] : server));
  }

  learn({ host, port }: Endpoint, { version, maxConnections, reservedConnections }: ServerLimits) {
    const limits = { version, maxConnections, reservedConnections };
    this.#note({ host, port }, { host, port, limits });
  }

  /**
   * Asks over a connection that was just opened, unless somebody has asked lately. A server that
   * does not answer the question is a server all the same.
   * @throws ConversationLost
   */
  async askOnce(endpoint: Endpoint, backend: PostgresBackend): Promise<void> {
    const before = this.#asked.get(keyOf(endpoint));
    const isDue = before === undefined || this.#ageMs(before) >= KNOWN_SERVERS.askAgainMs;
    if (!isDue) return;
    // Noted before it answers: others are opened meanwhile.
    this.#note(endpoint, before?.server);
    try {
      this.learn(endpoint, await askServer(backend));
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
    }
  }

  #ageMs({ atMs }: Asked): number {
    return this.#clock.nowMs() - atMs;
  }

  #note(endpoint: Endpoint, server: ReportedServer | undefined): void {
    const key = keyOf(endpoint);
    this.#asked.delete(key);
    this.#asked.set(key, { atMs: this.#clock.nowMs(), server });
    if (this.#asked.size <= KNOWN_SERVERS.serversMax) return;
    const [oldest] = this.#asked.keys();
    if (oldest !== undefined) this.#asked.delete(oldest);
  }
}

function keyOf({ host, port }: Endpoint): string {
  return `${host.toLowerCase()}:${port}`;
}
