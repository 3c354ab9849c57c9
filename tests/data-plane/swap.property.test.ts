/**
 * Invariant 6: whatever is changed, in any order, clients whom it does not concern notice nothing;
 * they are not ended, no statement of theirs fails, and their server connections stay the same.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { TENANT_OPERATIONS } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { TenantOperation } from '@dbbouncer/shared/contract/tenant-operations.ts';
import fc from 'fast-check';
import { fuzzing } from '../support/fuzzing.ts';
import { errorText, firstColumns, query, RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import type { TestTenant } from '../support/test-proxy.ts';

const PASSWORD = 'swap secret';
const KEPT = ['kept-transaction', 'kept-session'] as const;
const CLIENTS_OF_EACH = 2;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  proxy = await TestProxy.start({
    tenants: [tenant('kept-transaction'), tenant('kept-session', { poolMode: 'session' })],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.remove();
});

function tenant(id: string, pool: TestTenant['pool'] = {}): TestTenant {
  return {
    id,
    port: cluster.port,
    database: 'postgres',
    username: 'postgres',
    password: PASSWORD,
    pool: { poolMode: 'transaction', maxConnections: CLIENTS_OF_EACH, minConnections: 0, ...pool },
  };
}

// ---- changes ----

/** Of another tenant, or of limits that the kept ones keep to anyway. */
type Change =
  | { readonly kind: 'set'; readonly id: string; readonly host: string; readonly mode: Mode }
  | { readonly kind: 'remove' | 'login'; readonly id: string }
  | { readonly kind: 'operate'; readonly id: string; readonly operation: TenantOperation }
  | { readonly kind: 'limits'; readonly id: (typeof KEPT)[number]; readonly seconds: number };
type Mode = 'transaction' | 'session';

const other = fc.constantFrom('red', 'green');
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    kind: fc.constant('set'),
    id: other,
    host: fc.constantFrom('127.0.0.1', 'localhost', '127.0.0.2'),
    mode: fc.constantFrom<Mode>('transaction', 'session'),
  }),
  fc.record({ kind: fc.constantFrom('remove', 'login'), id: other }),
  fc.record({
    kind: fc.constant('operate'),
    id: other,
    operation: fc.constantFrom(...TENANT_OPERATIONS),
  }),
  fc.record({
    kind: fc.constant('limits'),
    id: fc.constantFrom(...KEPT),
    seconds: fc.integer({ min: 20, max: 60 }),
  }),
);

/** The other tenants of this history. */
class Others {
  readonly #known = new Set<string>();
  readonly #clients: RawClient[] = [];

  async make(change: Change): Promise<void> {
    switch (change.kind) {
      case 'set': {
        const { id, host, mode } = change;
        await proxy.setTenant({ ...tenant(id, { poolMode: mode }), host });
        return void this.#known.add(id);
      }
      case 'limits': {
        const ms = change.seconds * 1_000;
        return proxy.setPool(change.id, { acquireTimeoutMs: ms, idleTimeoutMs: ms });
      }
      case 'remove':
        if (this.#known.delete(change.id)) await proxy.removeTenant(change.id);
        return;
      case 'operate':
        if (this.#known.has(change.id)) await proxy.operate(change.id, change.operation);
        return;
      case 'login':
        return this.#enter(change.id);
    }
  }

  /** A client in the middle of something, which the changes to come do concern. */
  async #enter(database: string): Promise<void> {
    const client = await RawClient.connect(proxy);
    this.#clients.push(client);
    const login = { user: 'postgres', password: PASSWORD, database };
    void client.authenticate(login).then(
      () => client.send(query('BEGIN; SELECT pg_sleep(0.01)')),
      () => client.destroy(),
    );
  }

  async clear(): Promise<void> {
    for (const client of this.#clients) client.destroy();
    for (const id of this.#known) await proxy.removeTenant(id);
    this.#known.clear();
  }
}

// ---- clients that are kept ----

class Kept {
  readonly #client: RawClient;
  readonly pids = new Set<string>();
  #round = Promise.withResolvers<void>();
  #isLeaving = false;

  private constructor(client: RawClient) {
    this.#client = client;
  }

  static async login(database: string): Promise<Kept> {
    return new Kept(
      await RawClient.login(proxy, { user: 'postgres', password: PASSWORD, database }),
    );
  }

  /** Transactions and single statements in turn, until it is told to leave. */
  async work(): Promise<void> {
    while (!this.#isLeaving) {
      for (const sql of ['BEGIN', 'SELECT pg_backend_pid()', 'COMMIT', "SELECT 'alone'"]) {
        await this.#ask(sql);
      }
      this.#round.resolve();
      this.#round = Promise.withResolvers();
    }
    this.#client.end();
    await this.#client.closed();
  }

  async #ask(sql: string): Promise<void> {
    this.#client.send(query(sql));
    const told = await this.#client.until('Z');
    assert.equal(told.at(-1)?.type, 'Z', `"${sql}" is answered: ${told.map(errorText).join()}`);
    const errors = told.filter(({ type }) => type === 'E').map(errorText);
    assert.deepEqual(errors, []);
    if (sql.includes('pid')) this.pids.add(firstColumns(told).join());
  }

  /** Resolves when all it does was begun anew and done. */
  async wholeRound(): Promise<void> {
    await this.#round.promise;
    await this.#round.promise;
  }

  leave(): void {
    this.#isLeaving = true;
  }
}

describe('any changes', () => {
  it('of others, and of limits, are not noticed by clients whom they do not concern', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 6, maxLength: 14 }), async (changes) => {
        const seats = KEPT.flatMap((id) => Array.from({ length: CLIENTS_OF_EACH }, () => id));
        const kept = await Promise.all(seats.map((id) => Kept.login(id)));
        const working = Promise.all(kept.map((client) => client.work()));
        const others = new Others();
        for (const each of changes) {
          await Promise.race([others.make(each), working]);
          await Promise.race([Promise.all(kept.map((client) => client.wholeRound())), working]);
        }
        for (const client of kept) client.leave();
        await working;
        await others.clear();
        const [one, two, three, four] = kept.map(({ pids }) => pids);
        const inTransactions = new Set([...(one ?? []), ...(two ?? [])]);
        assert.ok(inTransactions.size <= CLIENTS_OF_EACH, [...inTransactions].join());
        assert.deepEqual([three?.size, four?.size], [1, 1]);
      }),
      fuzzing({ runs: 4, seed: 77_003 }),
    );
    await proxy.atRest();
  });
});
