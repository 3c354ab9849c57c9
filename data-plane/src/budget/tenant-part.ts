/**
 * What this proxy may have of one tenant that is in use, as the tenant's limit sees it.
 * Owns: the number and the words for it. Leaves: how many there are to obedience.ts, the slots to
 * pool/tenant-cap.ts.
 */
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { DividedLimit, LimitPart, Shortage } from '../pool/limit-part.ts';
import type { TenantUse } from './needs-list.ts';

/** Why a proxy has no more of a tenant. */
export type ShortageReason =
  'held_elsewhere' | 'cut_off' | 'no_grant_yet' | 'looking' | 'cannot_look';

export interface PartKeeper {
  slotsOf(key: string): number;
  whyShort(key: string): ShortageReason;
  /** Seconds since a control plane was heard, for people. */
  silentText(): string;
  /** Something about the tenant is to be told at once. */
  tellSoon(part: TenantPart): void;
  heed(): void;
  bound(part: TenantPart): void;
  unbound(part: TenantPart): void;
}

export class TenantPart implements LimitPart {
  readonly key: string;
  readonly tenant: TenantId;
  readonly #keeper: PartKeeper;
  #limit: DividedLimit | undefined;
  #slots: number;

  constructor(tenant: string, keeper: PartKeeper) {
    this.key = tenantKey(tenant);
    this.tenant = tenant as TenantId;
    this.#keeper = keeper;
    this.#slots = keeper.slotsOf(this.key);
  }

  get slots(): number {
    return this.#slots;
  }

  get held(): number {
    return this.#limit?.occupied ?? 0;
  }

  /** Whether anybody counts slots of it. */
  get isInUse(): boolean {
    return this.#limit !== undefined;
  }

  get isAbove(): boolean {
    return this.held > this.#slots;
  }

  get wanted(): number {
    return this.#limit?.wanted ?? 0;
  }

  /** For a message: what was wanted for a moment since the last one counts. */
  takeUse(): TenantUse {
    const wanted = this.#limit?.takeWantedPeak() ?? 0;
    return { key: this.key, tenant: this.tenant, held: this.held, wanted };
  }

  use(): TenantUse {
    return { key: this.key, tenant: this.tenant, held: this.held, wanted: this.wanted };
  }

  /** Obeys what it may have now. */
  update(): void {
    const slots = this.#keeper.slotsOf(this.key);
    if (slots === this.#slots) return;
    this.#slots = slots;
    this.#limit?.partChanged();
  }

  get shortage(): Shortage {
    return shortageOf(this.#keeper.whyShort(this.key), this.#keeper.silentText());
  }

  lacking(): void {
    this.#keeper.tellSoon(this);
  }

  shrunk(): void {
    this.#keeper.tellSoon(this);
  }

  heed(): void {
    this.#keeper.heed();
  }

  bind(limit: DividedLimit): void {
    this.#limit = limit;
    this.#keeper.bound(this);
  }

  unbind(): void {
    this.#limit = undefined;
    this.#keeper.unbound(this);
  }
}

function shortageOf(reason: ShortageReason, silent: string): Shortage {
  switch (reason) {
    case 'held_elsewhere':
      return {
        text: 'the budget gives the rest to other proxies',
        hint: 'Shorten transactions, or raise max_connections of the tenant; see GET /fleet.',
      };
    case 'no_grant_yet':
      return {
        text: 'the control plane has not yet given this proxy its part of the budget',
        hint: 'Try again in a moment; GET /fleet shows the budget.',
      };
    case 'cut_off':
      return {
        text: `no control plane has answered for ${silent}, and it deals out the budget`,
        hint:
          'Bring the control plane and NATS back. expected_proxies gives each proxy a part to' +
          ' keep, and budget_when_cut_off: floor_one has one without a part open one.',
      };
    case 'looking':
      return {
        text: 'the proxy was restarted and looks first for connections it had left on the server',
        hint: 'Try again in a moment.',
      };
    case 'cannot_look':
      return {
        text: 'the proxy was restarted and cannot see which connections it had left on the server',
        hint: "The proxy's log says why; its user of the server must see pg_stat_activity.",
      };
    default:
      return reason satisfies never;
  }
}
