/**
 * How many clients the proxy, each tenant and each user may have at once.
 * A tenant's and a user's clients count from their authentication on, so that nobody who has not
 * proved who he is can take a place from those who have; logins under way count for the proxy.
 */
import type { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import { proxyErrors } from '../errors.ts';

export interface ProvenClient {
  readonly tenant: string;
  /** As the client presented it. */
  readonly user: string;
  /** Clients of the tenant at most; 0: no limit. */
  readonly tenantMax: number;
  /** Clients of the user at most; undefined: no limit. */
  readonly userMax: number | undefined;
}

/** The place of one client; it is free again at the first `release`. */
export interface Admission {
  release(): void;
}

export type ClientLimit = 'proxy' | 'tenant' | 'user';

interface TenantClients {
  readonly tenant: string;
  count: number;
  /** Only of users who have any. */
  readonly byUser: Map<string, number>;
}

export class ClientLimits {
  /** Of the proxy, over all tenants, logins under way included. */
  readonly clientsMax: number;
  /** By `tenantKey`; only of tenants that have any. */
  readonly #tenants = new Map<string, TenantClients>();
  readonly #refused = new Map<ClientLimit, number>();

  constructor(clientsMax: number) {
    this.clientsMax = clientsMax;
  }

  /** Clients by tenant. */
  get tenants(): Iterable<{ readonly tenant: string; readonly count: number }> {
    return this.#tenants.values();
  }

  /** Clients that were refused, by the limit they met. */
  get refused(): ReadonlyMap<ClientLimit, number> {
    return this.#refused;
  }

  /** What a new client reads when the proxy has `count` already; undefined while there is room. */
  refusalBeyond(count: number): (() => AppError) | undefined {
    if (count < this.clientsMax) return undefined;
    return () => this.#refuse('proxy', 'this proxy', this.clientsMax, count);
  }

  /** @throws CLIENT_LIMIT */
  admit({ tenant, user, tenantMax, userMax = Infinity }: ProvenClient): Admission {
    const clients = this.#tenants.get(tenantKey(tenant)) ?? newClients(tenant);
    const ofUser = clients.byUser.get(user) ?? 0;
    if (tenantMax > 0 && clients.count >= tenantMax) {
      throw this.#refuse('tenant', `tenant "${tenant}"`, tenantMax, clients.count);
    }
    if (ofUser >= userMax) {
      throw this.#refuse('user', `user "${user}" of tenant "${tenant}"`, userMax, ofUser);
    }
    this.#tenants.set(tenantKey(tenant), clients);
    clients.count += 1;
    clients.byUser.set(user, ofUser + 1);
    return new HeldPlace(clients, user, this.#tenants);
  }

  #refuse(limit: ClientLimit, whose: string, max: number, count: number): AppError {
    this.#refused.set(limit, (this.#refused.get(limit) ?? 0) + 1);
    return proxyErrors.fail(
      'CLIENT_LIMIT',
      `too many clients: ${whose} has ${count}, and its max_client_connections is ${max}`,
      { hint: HINTS[limit] },
    );
  }
}

class HeldPlace implements Admission {
  /** Until it is released. */
  #clients: TenantClients | undefined;
  readonly #user: string;
  readonly #tenants: Map<string, TenantClients>;

  constructor(clients: TenantClients, user: string, tenants: Map<string, TenantClients>) {
    this.#clients = clients;
    this.#user = user;
    this.#tenants = tenants;
  }

  release(): void {
    const clients = this.#clients;
    if (clients === undefined) return;
    this.#clients = undefined;
    clients.count -= 1;
    const ofUser = (clients.byUser.get(this.#user) ?? 0) - 1;
    if (ofUser > 0) clients.byUser.set(this.#user, ofUser);
    else clients.byUser.delete(this.#user);
    if (clients.count === 0) this.#tenants.delete(tenantKey(clients.tenant));
  }
}

const HINTS: Readonly<Record<ClientLimit, string>> = Object.freeze({
  proxy: 'Close connections, raise listen.max_client_connections, or add a proxy.',
  tenant: 'Close connections, or raise max_client_connections of the tenant.',
  user: 'Close connections, or raise max_client_connections of the user.',
});

function newClients(tenant: string): TenantClients {
  return { tenant, count: 0, byUser: new Map() };
}
