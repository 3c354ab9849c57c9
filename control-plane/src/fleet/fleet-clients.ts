/**
 * The clients of all proxies: asked for page by page from those that have them, and ended there.
 * Owns: which proxies are asked, in which order, for how long. Leaves: the messages to
 * shared/contract/client-desk.ts.
 *
 * Clients are in the order of their proxies' ids, and of their numbers there. A page asks proxies
 * in this order, several at once, until it is full; who does not answer is named, and passed over.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import {
  decodeClientAnswer,
  encodeClientMessage,
  parseClientId,
} from '@dbbouncer/shared/contract/client-desk.ts';
import type {
  ClientAnswer,
  ClientId,
  ClientRequest,
  ReportedClient,
} from '@dbbouncer/shared/contract/client-desk.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { FleetReader, ProxyView } from './fleet-state.ts';

export const FLEET_CLIENTS = Object.freeze({
  /** For one proxy to answer. */
  answerMs: 2_000,
  /** For a page; proxies that were not asked by then have not answered. */
  pageMs: 5_000,
  /** Proxies that are asked at once. */
  askedAtOnce: 16,
});

/** Behind which client a page begins. */
export interface ClientPlace {
  readonly proxy: string;
  readonly number: number;
}

export interface FleetClient extends ReportedClient, ClientId {}

/** `lost`: it has not reported lately, and was not asked. */
export interface Unanswered {
  readonly proxy: ProxyId;
  readonly reason: 'lost' | 'no_answer';
}

export interface ClientsPage {
  readonly clients: readonly FleetClient[];
  readonly unanswered: readonly Unanswered[];
  /** Where the next page begins; nothing behind the last one. */
  readonly next: ClientPlace | undefined;
}

export type KillOutcome =
  | { readonly outcome: 'killed'; readonly tenant: string; readonly user: string }
  | { readonly outcome: 'unknown_client' | 'no_answer' };

export interface ListRequest {
  readonly tenant: string | undefined;
  readonly limit: number;
  readonly after: ClientPlace | undefined;
}

export interface FleetClientsOptions {
  readonly bus: Bus;
  readonly fleet: Pick<FleetReader, 'proxies' | 'proxy'>;
  readonly clock: Clock;
}

export class FleetClients {
  readonly #options: FleetClientsOptions;

  constructor(options: FleetClientsOptions) {
    this.#options = options;
  }

  /** Takes some 7 s at most; never throws for what proxies do. */
  async list({ tenant, limit, after }: ListRequest): Promise<ClientsPage> {
    const { fleet, clock } = this.#options;
    const endMs = clock.nowMs() + FLEET_CLIENTS.pageMs;
    const proxies = fleet.proxies().filter(({ id }) => after === undefined || id >= after.proxy);
    const page = new Page(limit);
    for (let at = 0; at < proxies.length && !page.isFull; at += FLEET_CLIENTS.askedAtOnce) {
      const asked = proxies.slice(at, at + FLEET_CLIENTS.askedAtOnce);
      const inTime = clock.nowMs() < endMs;
      const answers = asked.map(async (proxy) => {
        const from = proxy.id === after?.proxy ? after.number : 0;
        const request = {
          kind: 'list',
          tenant,
          after: from,
          limit: Math.max(1, page.room),
        } as const;
        return proxy.status === 'live' && inTime ? await this.#ask(proxy.id, request) : undefined;
      });
      for (const [index, answer] of (await Promise.all(answers)).entries()) {
        page.take(asked[index] as ProxyView, answer);
      }
    }
    return page.done();
  }

  /** @param id as `formatClientId` makes it */
  async kill(id: string, actor: string, reason: string | undefined): Promise<KillOutcome> {
    const named = parseClientId(id);
    if (named === undefined || this.#options.fleet.proxy(named.proxy) === undefined) {
      return { outcome: 'unknown_client' };
    }
    const { proxy, life, number } = named;
    const answer = await this.#ask(proxy, { kind: 'kill', life, number, actor, reason });
    if (answer?.kind === 'killed') {
      return { outcome: 'killed', tenant: answer.tenant, user: answer.user };
    }
    return { outcome: answer?.kind === 'unknown_client' ? 'unknown_client' : 'no_answer' };
  }

  async #ask(proxy: ProxyId, request: ClientRequest): Promise<ClientAnswer | undefined> {
    const message = encodeClientMessage(request);
    try {
      const { answerMs } = FLEET_CLIENTS;
      return decodeClientAnswer(
        await this.#options.bus.request(SUBJECTS.clients(proxy), message, answerMs),
      );
    } catch {
      // It has just ended, hangs, or is of a version that does not know the question.
      return undefined;
    }
  }
}

class Page {
  readonly #limit: number;
  readonly #clients: FleetClient[] = [];
  readonly #unanswered: Unanswered[] = [];
  #isCut = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get room(): number {
    return this.#limit - this.#clients.length;
  }

  /** Something is left over for the next page. */
  get isFull(): boolean {
    return this.#isCut;
  }

  take({ id: proxy, status }: ProxyView, answer: ClientAnswer | undefined): void {
    if (answer?.kind !== 'clients') {
      this.#unanswered.push({ proxy, reason: status === 'lost' ? 'lost' : 'no_answer' });
      return;
    }
    const { life, clients, more } = answer;
    const taken = clients.slice(0, this.room);
    if (more || taken.length < clients.length) this.#isCut = true;
    this.#clients.push(...taken.map((client) => ({ ...client, proxy, life })));
  }

  done(): ClientsPage {
    const last = this.#clients.at(-1);
    const next =
      this.#isCut && last !== undefined ? { proxy: last.proxy, number: last.number } : undefined;
    return { clients: this.#clients, unanswered: this.#unanswered, next };
  }
}
