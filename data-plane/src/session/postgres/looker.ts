/**
 * Looks for strays of a tenant over one of its own server connections, or one that is opened for it
 * in a slot of the tenant, or one that another tenant of the same server has at hand.
 * Owns: where the connection comes from, how often to look. Leaves: the questions to
 * upstream/look-postgres.ts, when to look to budget/.
 */
import type { LookAnswer, LookRequest } from '@dbbouncer/shared/contract/budget.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Pools } from '../../pool/pools.ts';
import type { Pool } from '../../pool/pool.ts';
import type { Router } from '../../routing/router.ts';
import { ServerError } from '../../upstream/conversation.ts';
import { endStrays, findStrays } from '../../upstream/look-postgres.ts';
import type { Stray } from '../../upstream/look-postgres.ts';
import type { PostgresBackend } from '../../upstream/postgres-backend.ts';
import { leaseSoon } from './lease-once.ts';

export interface LookerOptions {
  readonly pools: Pools<PostgresBackend>;
  readonly router: Router;
  readonly clock: Clock;
  /** Opens a connection of the tenant; `closed` is called when there is none, and will be none. */
  readonly open: (attempt: {
    readonly tenant: TenantConfig;
    readonly events: { closed(): void };
    readonly signal: AbortSignal;
  }) => Promise<PostgresBackend>;
}

/** What is left of the time for an answer pays for the way of the message. */
const SLOT_TIMEOUT_MS = 1_500;
const LOOK_TIMEOUT_MS = 2_500;
const QUERY_TIMEOUT_MS = 1_000;
const AGAIN_MS = 50;
const NOT_PERMITTED = '42501';

export interface Look {
  readonly answer: LookAnswer;
  /** Nothing is left on the whole server, of no tenant. */
  readonly isClear: boolean;
}

/** How a connection is used and given back. */
interface Loan {
  readonly backend: PostgresBackend;
  readonly giveBack: (state: 'clean' | 'suspect') => void;
}

export class PostgresLooker {
  readonly #options: LookerOptions;

  constructor(options: LookerOptions) {
    this.#options = options;
  }

  /** Never throws for what a server, a network or a config can do. */
  async look(request: LookRequest): Promise<Look> {
    const tenant = this.#options.router.current.byKey(tenantKey(request.tenant));
    if (tenant === undefined) return cannot('unknown_tenant', 'There is no such tenant here.');
    let loan: Loan | undefined;
    try {
      loan = await this.#borrow(tenant);
    } catch (error) {
      return cannot('no_connection', (error as Error).message);
    }
    if (loan === undefined) return cannot('no_slot', 'No server connection was free for it.');
    try {
      const look = await this.#lookOver(loan.backend, tenant, request);
      loan.giveBack('clean');
      return look;
    } catch (error) {
      loan.giveBack('suspect');
      const isRefused = error instanceof ServerError && error.fields.code === NOT_PERMITTED;
      return cannot(isRefused ? 'not_permitted' : 'no_connection', (error as Error).message);
    }
  }

  async #lookOver(
    backend: PostgresBackend,
    tenant: TenantConfig,
    { left, action, keep }: LookRequest,
  ): Promise<Look> {
    const { clock } = this.#options;
    const databases = databasesOf(tenant);
    const endMs = clock.nowMs() + LOOK_TIMEOUT_MS;
    const asked = new Set<number>();
    for (;;) {
      const all = await findStrays(backend, left, QUERY_TIMEOUT_MS);
      const strays = all.filter(({ database }) => database !== null && databases.has(database));
      const surplus = action === 'look' ? 0 : strays.length - keep;
      const isOver = surplus <= 0 || clock.nowMs() >= endMs;
      if (isOver) {
        const ended = strays.reduce(
          (count, { pid }) => count - (asked.has(pid) ? 1 : 0),
          asked.size,
        );
        const answer = { outcome: 'seen', remaining: strays.length, ended } as const;
        return { answer, isClear: all.length === 0 };
      }
      const doomed = surplusOf(strays, surplus);
      await endStrays(backend, doomed, QUERY_TIMEOUT_MS);
      for (const { pid } of doomed) asked.add(pid);
      await new Promise<void>((resolve) => void clock.after(AGAIN_MS, resolve));
    }
  }

  // --- the connection ---

  async #borrow(tenant: TenantConfig): Promise<Loan | undefined> {
    const { pools, clock } = this.#options;
    const key = tenantKey(tenant.id);
    const own = this.#poolsWhere((pool) => tenantKey(pool.identity.tenant) === key)[0];
    const beside = () => this.#borrowBeside(tenant);
    if (own === undefined) return (await this.#open(tenant)) ?? beside();
    try {
      return loanOf(own, await leaseSoon(own, clock, SLOT_TIMEOUT_MS, 'first'));
    } catch (error) {
      const other = beside();
      if (other === undefined && pools.isOpen) throw error;
      return other;
    }
  }

  /** In a slot of the tenant, which has no pool here. */
  async #open(tenant: TenantConfig): Promise<Loan | undefined> {
    const { pools, router, clock, open } = this.#options;
    const abort = new AbortController();
    const timer = clock.after(2 * SLOT_TIMEOUT_MS, () => abort.abort());
    try {
      const terms = { clock, limitMs: SLOT_TIMEOUT_MS, signal: abort.signal };
      const settings = router.current.poolSettings(tenant);
      const giveBack = await pools.loneSlot(tenant.id, settings, terms);
      if (giveBack === undefined) return undefined;
      const events = { closed: giveBack };
      const backend = await open({ tenant, events, signal: abort.signal }).catch((error: Error) => {
        giveBack();
        throw error;
      });
      return { backend, giveBack: () => backend.close('probed') };
    } finally {
      timer.cancel();
    }
  }

  /** Of another tenant: it sees, and ends what is of its own role. */
  #borrowBeside({ host, port }: TenantConfig): Loan | undefined {
    for (const pool of this.#poolsWhere(
      ({ identity }) => identity.endpoint === `${host}:${port}`,
    )) {
      const backend = pool.take();
      if (backend !== undefined) return loanOf(pool, backend);
    }
    return undefined;
  }

  #poolsWhere(fits: (pool: Pool<PostgresBackend>) => boolean): Pool<PostgresBackend>[] {
    return [...this.#options.pools].filter(
      (pool) => pool.identity.purpose === 'clients' && fits(pool),
    );
  }
}

function loanOf(pool: Pool<PostgresBackend>, backend: PostgresBackend): Loan {
  return {
    backend,
    giveBack: (state) =>
      state === 'clean' ? pool.release(backend, 'clean') : pool.discard(backend, 'suspect_state'),
  };
}

/** Idle ones first: they are nobody's work. */
function surplusOf(strays: readonly Stray[], surplus: number): readonly Stray[] {
  const own = strays.filter(({ role }) => role === 'own');
  return own.toSorted((a, b) => Number(b.isIdle) - Number(a.isIdle)).slice(0, surplus);
}

function databasesOf({ database, databases, authQuery }: TenantConfig): ReadonlySet<string> {
  const all = [database, ...databases];
  return new Set(authQuery?.database === undefined ? all : [...all, authQuery.database]);
}

function cannot(
  reason: Extract<LookAnswer, { readonly outcome: 'cannot' }>['reason'],
  message: string,
): Look {
  return {
    answer: { outcome: 'cannot', reason, message: message.slice(0, 1_000) },
    isClear: false,
  };
}
