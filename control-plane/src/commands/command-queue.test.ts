/**
 * Commands: order, one transaction for those that arrive together, versions, rehearsals, limits.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { sampleTenant } from '../domain/given-when-then.ts';
import type { RegisterTenant, TenantPatch } from '../domain/tenant/commands.ts';
import { controlErrors } from '../errors.ts';
import { projectViews } from '../projections/tenant-views.ts';
import type { EventStore } from '../store/event-store.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { CommandQueue, QUEUE_LIMITS } from './command-queue.ts';
import { LocalKeeping } from './local-keeping.ts';
import { GATE_TIMES, WriteGate } from './write-gate.ts';

const meta = { actor: 'tester', requestId: 'r' };

function register(id: string, fields: Parameters<typeof sampleTenant>[0] = {}): RegisterTenant {
  const tenant = sampleTenant({ ...fields, id: id as TenantId });
  return { kind: 'register_tenant', origin: 'api', tenant };
}
function update(id: string, changes: TenantPatch) {
  return { kind: 'update_tenant', id: id as TenantId, changes } as const;
}
function remove(id: string) {
  return { kind: 'remove_tenant', id: id as TenantId } as const;
}
function setDefaults(changes: Partial<typeof DEFAULT_POOL_SETTINGS>) {
  return { kind: 'set_defaults', defaults: { ...DEFAULT_POOL_SETTINGS, ...changes } } as const;
}

describe('CommandQueue', () => {
  let store: EventStore;
  let commands: CommandQueue;
  let commits: number;
  let clock: ManualClock;
  beforeEach(() => {
    store = createMemoryEventStore({ clock: new ManualClock(), project: projectViews });
    clock = new ManualClock();
    const tryWriting = () => store.tryWriting();
    const gate = new WriteGate({ tryWriting, clock, log: silentLogger });
    commands = new CommandQueue(store, new LocalKeeping(store, gate));
    commits = 0;
    store.subscribe(() => (commits += 1));
  });
  afterEach(() => store.close());

  it('answers with version, position, view and events of the change', async () => {
    await commands.handle(register('other'), meta);
    const result = await commands.handle(register('acme'), meta);
    assert.equal(result.version, 1);
    assert.equal(result.position, 2);
    assert.deepEqual(result.view, store.getTenant('acme'));
    assert.deepEqual(
      result.events.map((event) => [event.type, event.actor, event.requestId]),
      [['TenantRegistered', 'tester', 'r']],
    );
  });

  it('answers a command that changes nothing with the version and position there are', async () => {
    await commands.handle(register('acme'), meta);
    await commands.handle(register('other'), meta);
    const result = await commands.handle(update('acme', { port: 5432 }), meta);
    assert.deepEqual([result.version, result.position, result.events], [1, 1, []]);
    assert.equal(store.head(), 2);
  });

  it('answers a removal without a view, and goes on counting when the id comes back', async () => {
    await commands.handle(register('acme'), meta);
    const removed = await commands.handle(remove('ACME'), meta);
    assert.deepEqual([removed.version, removed.position, removed.view], [2, 2, undefined]);
    const again = await commands.handle(register('acme'), meta);
    assert.equal(again.version, 3);
  });

  it('commits what arrived together once, in order, each seeing those before it', async () => {
    const results = await Promise.all([
      commands.handle(register('acme'), meta),
      commands.handle(update('acme', { port: 1 }), meta),
      commands.handle(remove('acme'), meta),
      commands.handle(register('acme'), meta),
    ]);
    assert.deepEqual(
      results.map((result) => result.version),
      [1, 2, 3, 4],
    );
    assert.equal(commits, 1);
  });

  it('lets a refused command fail alone', async () => {
    const outcomes = await Promise.allSettled([
      commands.handle(register('a'), meta),
      commands.handle(register('a'), meta),
      commands.handle(register('b'), meta),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.equal(store.head(), 2);
  });

  it('refuses all that arrived together when the store fails, and later ones for 2 s', async () => {
    const append = store.append.bind(store);
    const full = controlErrors.fail('STORE_FULL', 'The disk is full.');
    store.append = (request) => {
      if (request.stream === 'tenant/b') throw full;
      return append(request);
    };
    const outcomes = await Promise.allSettled([
      commands.handle(register('a'), meta),
      commands.handle(register('b'), meta),
      commands.handle(register('c'), meta),
    ]);
    for (const outcome of outcomes) {
      assert.ok(outcome.status === 'rejected' && controlErrors.is(outcome.reason));
      assert.equal(outcome.reason.code, 'STORE_READ_ONLY');
      assert.equal(outcome.reason.message, 'Nothing was changed. The disk is full.');
    }
    assert.equal(store.head(), 0);
    const early = commands.handle(register('a'), meta);
    await assert.rejects(early, { code: 'STORE_READ_ONLY' });
    await clock.pass(GATE_TIMES.tryAfterMs);
    await commands.handle(register('a'), meta);
    assert.equal(store.head(), 1);
  });

  describe('expected version', () => {
    it('lets the sender change what it saw', async () => {
      await commands.handle(register('acme'), meta);
      const expecting = { ...meta, expectedVersion: 1 };
      assert.equal((await commands.handle(update('acme', { port: 1 }), expecting)).version, 2);
    });

    it('refuses a change of what has changed, even one that would change nothing', async () => {
      await commands.handle(register('acme'), meta);
      await commands.handle(update('acme', { port: 1 }), meta);
      for (const command of [update('acme', { port: 1 }), remove('acme')]) {
        await assert.rejects(commands.handle(command, { ...meta, expectedVersion: 1 }), {
          code: 'VERSION_CONFLICT',
          message: 'Tenant "acme" is at version 2, not at 1.',
        });
      }
      assert.equal(store.head(), 2);
    });

    it('says that a tenant does not exist rather than that its version is another', async () => {
      await assert.rejects(commands.handle(remove('acme'), { ...meta, expectedVersion: 1 }), {
        code: 'TENANT_NOT_FOUND',
      });
    });

    it('holds for the defaults too, from version 0 on', async () => {
      const result = await commands.handle(setDefaults({ maxConnections: 7 }), {
        ...meta,
        expectedVersion: 0,
      });
      assert.deepEqual([result.version, result.view.defaults.maxConnections], [1, 7]);
      await assert.rejects(
        commands.handle(setDefaults({ maxConnections: 8 }), { ...meta, expectedVersion: 0 }),
        { code: 'VERSION_CONFLICT', message: 'The defaults are at version 1, not at 0.' },
      );
    });
  });

  it('refuses defaults that contradict a tenant registered in the same moment', async () => {
    const [, refused] = await Promise.allSettled([
      commands.handle(register('acme', { pool: { minConnections: 9 } }), meta),
      commands.handle(setDefaults({ maxConnections: 8 }), meta),
    ]);
    assert.equal(refused.status, 'rejected');
    assert.match(String(refused.reason), /\(9\) is above max_connections \(8\) for tenant "acme"/);
  });

  describe('dry run', () => {
    it('answers as if, and keeps nothing', async () => {
      const rehearsal = { ...meta, mode: 'dry_run' } as const;
      const [tried, registered] = await Promise.all([
        commands.handle(register('acme', { port: 1 }), rehearsal),
        commands.handle(register('acme', { port: 2 }), meta),
      ]);
      assert.deepEqual([tried.version, tried.view?.config.port], [1, 1]);
      assert.deepEqual([registered.version, registered.view?.config.port], [1, 2]);
      assert.equal(store.head(), 1);
    });

    it('refuses what would be refused', async () => {
      await assert.rejects(commands.handle(remove('acme'), { ...meta, mode: 'dry_run' }), {
        code: 'TENANT_NOT_FOUND',
      });
    });
  });

  describe('handleAll', () => {
    it('does all in one transaction, each seeing those before it', async () => {
      const results = await commands.handleAll(
        [register('a'), setDefaults({ maxConnections: 5 }), update('a', { port: 1 })],
        meta,
      );
      assert.deepEqual(
        results.map((result) => [result.version, result.position]),
        [
          [1, 1],
          [1, 2],
          [2, 3],
        ],
      );
      assert.equal(commits, 1);
    });

    it('does none when one is refused', async () => {
      await assert.rejects(commands.handleAll([register('a'), remove('b')], meta), {
        code: 'TENANT_NOT_FOUND',
      });
      assert.equal(store.head(), 0);
    });
  });

  it(`refuses command ${QUEUE_LIMITS.waitingMax + 1} in line and does the others`, async () => {
    const waiting = Array.from({ length: QUEUE_LIMITS.waitingMax }, (_, i) =>
      commands.handle(remove(`t${i}`), meta),
    );
    await assert.rejects(commands.handle(register('acme'), meta), {
      code: 'STORE_BUSY',
      message: '10000 commands wait; at most 10000 may.',
    });
    const outcomes = await Promise.allSettled(waiting);
    assert.ok(outcomes.every((outcome) => outcome.status === 'rejected'));
    await commands.handle(register('acme'), meta);
  });

  it('does what waits when it is closed, and refuses what comes later', async () => {
    const waiting = commands.handle(register('acme'), meta);
    const closed = commands.close();
    assert.equal(store.head(), 1);
    assert.equal((await waiting).position, 1);
    await assert.rejects(commands.handle(register('b'), meta), { code: 'STORE_CLOSED' });
    await closed;
  });
});
