/**
 * Looks for server connections that others have left behind, where a control plane asks for it, and
 * for those of this proxy's own earlier lives before it uses more than one slot of a tenant.
 * Owns: when to look, what follows. Leaves: looking to the protocol's looker.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import {
  decodeBudget,
  encodeBudget,
  lookRequestSchema,
} from '@dbbouncer/shared/contract/budget.ts';
import type { LookAnswer, LookRequest } from '@dbbouncer/shared/contract/budget.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Router } from '../routing/router.ts';
import type { FleetBudget } from './fleet-budget.ts';
import { ServerSweep } from './server-sweep.ts';
import type { TenantPart } from './tenant-part.ts';

export interface LooksOptions {
  readonly bus: Bus;
  readonly proxy: ProxyId;
  readonly life: number;
  readonly fleet: FleetBudget;
  readonly router: Pick<Router, 'current'>;
  readonly looker: {
    look(request: LookRequest): Promise<{ readonly answer: LookAnswer; readonly isClear: boolean }>;
  };
  readonly clock: Clock;
  readonly log: Logger;
}

/** Looks at once over all tenants; the others take their turn. */
const UNDER_WAY_MAX = 16;
const AGAIN_FIRST_MS = 100;
const AGAIN_MOST_MS = 5_000;
/** From so many fruitless looks on it is said that the proxy cannot look. */
const TRIES_MAX = 5;

export class Looks {
  readonly #options: LooksOptions;
  readonly #searches = new Map<string, Timer | 'under_way'>();
  readonly #sweep: ServerSweep;
  #underWay = 0;
  #responder: Subscription | undefined;
  #isStopped = false;

  constructor(options: LooksOptions) {
    this.#options = options;
    this.#sweep = new ServerSweep({ ...options, look: async (tenant) => await this.#own(tenant) });
    options.fleet.onInUse((part) => this.#want(part));
  }

  start(): void {
    const { bus, proxy } = this.#options;
    this.#responder = bus.respond(SUBJECTS.budgetLook(proxy), async (data) =>
      encodeBudget(await this.#answer(data)),
    );
    if (this.#options.fleet.earlierLives.left === 'maybe') this.#sweep.start();
  }

  stop(): void {
    this.#isStopped = true;
    this.#responder?.close();
    this.#sweep.stop();
    for (const search of this.#searches.values()) if (search !== 'under_way') search.cancel();
  }

  async #answer(data: Uint8Array): Promise<LookAnswer> {
    let request: LookRequest;
    try {
      request = decodeBudget(lookRequestSchema, data);
    } catch {
      const message = 'The proxy does not understand the request: its version?';
      return { outcome: 'cannot', reason: 'unreadable', message };
    }
    return this.#look(request);
  }

  async #look(request: LookRequest): Promise<LookAnswer> {
    const { proxy, life, fleet, looker } = this.#options;
    const isOwn = request.left.proxy === proxy;
    // Of this life nothing is left behind.
    const upToLife = isOwn ? Math.min(request.left.upToLife, life - 1) : request.left.upToLife;
    const isKnown = isOwn && fleet.lookedAt(tenantKey(request.tenant)) === 'yes';
    if (isKnown) return { outcome: 'seen', remaining: 0, ended: 0 };
    const { answer, isClear } = await looker.look({
      ...request,
      left: { ...request.left, upToLife },
    });
    const key = tenantKey(request.tenant);
    if (isOwn && upToLife === life - 1 && answer.outcome === 'seen' && answer.remaining === 0) {
      fleet.looked(key, 'yes');
      const server = fleet.serverOf(key);
      if (isClear && server !== undefined) fleet.serverIsClear(server);
    }
    return answer;
  }

  // --- own earlier lives ---

  #own(tenant: TenantId): Promise<LookAnswer> {
    const { proxy, life } = this.#options;
    const left = { proxy, upToLife: life - 1 };
    return this.#look({ tenant, left, action: 'end_surplus', keep: 0 });
  }

  #want(part: TenantPart): void {
    if (this.#options.fleet.lookedAt(part.key) === 'yes' || this.#searches.has(part.key)) return;
    this.#lookAfter(part, 0, 0);
  }

  #lookAfter(part: TenantPart, delayMs: number, tries: number): void {
    const timer = this.#options.clock.after(delayMs, () => void this.#search(part, tries));
    this.#searches.set(part.key, timer);
  }

  async #search(part: TenantPart, tries: number): Promise<void> {
    const { fleet, log } = this.#options;
    if (fleet.lookedAt(part.key) === 'yes' || !part.isInUse || this.#isStopped) {
      this.#searches.delete(part.key);
      return;
    }
    if (this.#underWay >= UNDER_WAY_MAX) return this.#lookAfter(part, AGAIN_FIRST_MS, tries);
    this.#searches.set(part.key, 'under_way');
    this.#underWay += 1;
    const answer = await this.#own(part.tenant).finally(() => (this.#underWay -= 1));
    if (fleet.lookedAt(part.key) !== 'yes' && tries + 1 === TRIES_MAX) {
      log.warn({ tenant: part.tenant, answer }, 'connections of an earlier life cannot be ended');
      if (answer.outcome === 'cannot') fleet.looked(part.key, 'cannot');
    }
    const againMs = Math.min(AGAIN_FIRST_MS * 2 ** tries, AGAIN_MOST_MS);
    this.#lookAfter(part, againMs, tries + 1);
  }
}
