/**
 * Answers control planes that ask for this proxy's clients, and ends those that an operator wants
 * gone.
 * Owns: the answers, and that a client of a former life of this proxy is not mistaken for one of
 * now. Leaves: what becomes of a session that is killed to the session.
 */
import { randomBytes } from 'node:crypto';
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import {
  decodeClientRequest,
  encodeClientMessage,
  formatClientId,
} from '@dbbouncer/shared/contract/client-desk.ts';
import type {
  ClientAnswer,
  ClientRequest,
  ReportedClient,
} from '@dbbouncer/shared/contract/client-desk.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { describeClient } from '../access/client-address.ts';
import { proxyErrors } from '../errors.ts';
import type { ClientFacts, Session, SessionRegistry } from '../session/session.ts';

export interface ClientDeskOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly proxy: ProxyId;
  readonly registry: SessionRegistry;
}

const LIFE_BYTES = 4;

export class ClientDesk {
  readonly #options: ClientDeskOptions;
  readonly #life = randomBytes(LIFE_BYTES).toString('hex');
  #responder: Subscription | undefined;

  constructor(options: ClientDeskOptions) {
    this.#options = options;
  }

  start(): void {
    const { bus, proxy } = this.#options;
    this.#responder = bus.respond(SUBJECTS.clients(proxy), async (data) =>
      encodeClientMessage(this.#answer(decodeClientRequest(data))),
    );
  }

  stop(): void {
    this.#responder?.close();
  }

  #answer(request: ClientRequest | undefined): ClientAnswer {
    if (request === undefined) return { kind: 'unreadable' };
    return request.kind === 'list' ? this.#list(request) : this.#kill(request);
  }

  #list({ tenant, after, limit }: ClientRequest & { readonly kind: 'list' }): ClientAnswer {
    const { registry, clock } = this.#options;
    const those = tenant === undefined ? registry.where(isClient) : registry.of(tenantKey(tenant));
    const nowMs = clock.nowMs();
    const clients: ReportedClient[] = [];
    // In the order in which they have come, which is that of their numbers.
    for (const { client, state } of those) {
      if (client === undefined || client.number <= after) continue;
      if (clients.length === limit) return this.#page(clients, 'more');
      clients.push(reported(client, state, nowMs));
    }
    return this.#page(clients, 'all');
  }

  #page(clients: ReportedClient[], kind: 'more' | 'all'): ClientAnswer {
    return { kind: 'clients', life: this.#life, clients, more: kind === 'more' };
  }

  #kill(request: ClientRequest & { readonly kind: 'kill' }): ClientAnswer {
    const { registry, log, proxy } = this.#options;
    const { life, number, actor, reason } = request;
    const isOfNow = life === this.#life;
    const [session] = isOfNow ? registry.where((one) => one.client?.number === number) : [];
    if (session?.client === undefined) return { kind: 'unknown_client' };
    const { tenant, user } = session.client;
    const id = formatClientId({ proxy, life, number });
    log.warn({ client: id, tenant, user, actor, reason }, 'client killed by an operator');
    session.kill(clientKilled(), 'cancel');
    return { kind: 'killed', tenant, user };
  }
}

function isClient({ client }: Session): boolean {
  return client !== undefined;
}

function reported(client: ClientFacts, state: string, nowMs: number): ReportedClient {
  const { number, tenant, user, database, access, pooling, sinceMs } = client;
  return {
    number,
    tenant,
    user,
    database,
    address: describeClient(access.address),
    encryption: access.encryption,
    poolMode: pooling,
    state,
    connectedMs: Math.round(nowMs - sinceMs),
  };
}

function clientKilled() {
  return proxyErrors.fail(
    'CLIENT_KILLED',
    'terminating connection: an operator of the database proxy has ended this session',
    { hint: 'An open transaction was rolled back. Connect again.' },
  );
}
