/**
 * For tests of projections: random histories, by the real rules, in a store in memory.
 */
import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { TENANT_OPERATIONS } from '@dbbouncer/shared/contract/tenant-operations.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import type { Command } from '../commands/commands.ts';
import { handleCommand } from '../commands/handle-command.ts';
import { rollBackConfig } from '../commands/roll-back-config.ts';
import type { ConfigRollback } from '../commands/roll-back-config.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import { controlErrors } from '../errors.ts';
import type { EventStore } from '../store/event-store.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { pastOfTenant } from './past.ts';
import { projectViews } from './tenant-views.ts';

const META = { actor: 'tester', requestId: 'r' };

/** Changes a store by itself, or is refused. */
export type Step = (store: EventStore) => void;

const ids = fc.constantFrom('a', 'B', 'b', 'c').map((id) => id as TenantId);
const port = fc.integer({ min: 1, max: 3 });
const limit = fc.integer({ min: 1, max: 4 });
const pool = fc.record({ minConnections: limit, maxConnections: limit }, { requiredKeys: [] });
const tenant = fc.record({ id: ids, port, pool }).map((fields) => sampleTenant(fields));

const CANARY = {
  proxies: ['p1' as ProxyId],
  share: 0.5,
  startedAt: '2026-01-01T00:00:00.000Z',
  promoteAfterMs: 60_000,
};

const serverNames = fc.constantFrom('s', 'S', 't');
const serverCommand: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ name: serverNames, port, maxConnections: limit }).map((own): Command => {
    return { kind: 'set_server', server: { ...own, host: 'db.example.com' } };
  }),
  serverNames.map((name): Command => ({ kind: 'remove_server', name })),
);

const command: fc.Arbitrary<Command> = fc.oneof(
  tenant.map((t): Command => ({ kind: 'register_tenant', origin: 'api', tenant: t })),
  tenant.map((t): Command => ({ kind: 'replace_tenant', tenant: t })),
  fc
    .record({ id: ids, port, pool: fc.record({ maxConnections: fc.option(limit) }) })
    .map(({ id, ...changes }): Command => ({ kind: 'update_tenant', id, changes })),
  ids.map((id): Command => {
    const password = { kind: 'env', name: `SECRET_${id}` } as const;
    return { kind: 'update_tenant', id, changes: { password } };
  }),
  fc
    .record({ id: ids, operation: fc.constantFrom(...TENANT_OPERATIONS) })
    .map((fields): Command => ({ kind: 'operate_tenant', ...fields })),
  ids.map((id): Command => ({ kind: 'remove_tenant', id })),
  serverCommand,
  fc.record({ id: ids, port }).map(({ id, port: next }): Command => {
    const change = { kind: 'update_tenant', id, changes: { port: next } } as const;
    return { kind: 'start_canary', change, canary: CANARY, before: [] };
  }),
  ids.map((id): Command => ({ kind: 'promote_canary', id })),
  ids.map((id): Command => ({ kind: 'roll_back_canary', id, cause: 'aborted' })),
  fc.record({ minConnections: limit, maxConnections: limit }).map((own): Command => {
    return { kind: 'set_defaults', defaults: { ...DEFAULT_POOL_SETTINGS, ...own } };
  }),
);

/** What goes back to an earlier position: where that is, is known when its turn comes. */
const goingBack: fc.Arbitrary<Step> = fc
  .record({ id: ids, to: fc.nat(), way: fc.nat(2) })
  .map(({ id, to, way }) => (store) => {
    const position = to % (store.head() + 1);
    const past = pastOfTenant(store, id, position);
    if (way === 0) handleCommand(store, { kind: 'restore_tenant', id, past }, META);
    else if (way === 1) rollBack(store, position);
    else handleCommand(store, { kind: 'roll_back_tenant', id, to: position, past }, META);
  });

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: command.map((c) => (store: EventStore) => handle(store, c)) },
  { weight: 1, arbitrary: goingBack },
);

/** Random commands, and now and then something that goes back. */
export const history = fc.array(step, { minLength: 1, maxLength: 40 });

/** A store with what came of `history`; what the rules refuse does not happen. */
export function storeAfter(steps: readonly (Step | Command)[]): EventStore {
  const store = createMemoryEventStore({ clock: new ManualClock(), project: projectViews });
  for (const take of steps) {
    try {
      store.atomically(() => (typeof take === 'function' ? take(store) : handle(store, take)));
    } catch (error) {
      assert.ok(controlErrors.is(error), String(error));
    }
  }
  return store;
}

/** Everything as it was at a position. @throws what refuses it */
export function rollBack(store: EventStore, to: number): ConfigRollback {
  const meta = { ...META, whileCanary: 'end' } as const;
  const work = (command: Command) => handleCommand(store, command, meta).events;
  return store.atomically(() => rollBackConfig(store, { to, renew: (was) => was }, work));
}

function handle(store: EventStore, command: Command): void {
  handleCommand(store, command, META);
}
