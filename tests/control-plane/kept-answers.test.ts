/** Kept answers, by both event stores: what is found again, for how long, and how much is kept. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import Database from 'better-sqlite3';
import { projectViews } from '@dbbouncer/control-plane/projections/tenant-views.ts';
import type { EventStore } from '@dbbouncer/control-plane/store/event-store.ts';
import { KEPT_ANSWER_LIMITS } from '@dbbouncer/control-plane/store/kept-answers.ts';
import type { KeptAnswer } from '@dbbouncer/control-plane/store/kept-answers.ts';
import { createMemoryEventStore } from '@dbbouncer/control-plane/store/memory-event-store.ts';
import { openSqliteEventStore } from '@dbbouncer/control-plane/store/sqlite-event-store.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { temporaryDirectory } from './core-harness.ts';

interface Opened {
  readonly store: EventStore;
  readonly clock: ManualClock;
  readonly file: string;
}

function openSqlite(t: TestContext): Opened {
  const clock = new ManualClock();
  const file = join(temporaryDirectory(t), 'events.db');
  const store = openSqliteEventStore({
    file,
    clock,
    durability: 'normal',
    log: silentLogger,
    project: projectViews,
  });
  t.after(() => store.close());
  return { store, clock, file };
}

function openMemory(t: TestContext): Opened {
  const clock = new ManualClock();
  const store = createMemoryEventStore({ clock, project: projectViews });
  t.after(() => store.close());
  return { store, clock, file: '' };
}

function kept(fields: Partial<KeptAnswer> = {}): KeptAnswer {
  return {
    actor: 'api:1',
    key: 'k',
    fingerprint: 'f',
    status: 201,
    headers: { etag: '"1"' },
    body: '{"id":"acme"}',
    position: 7,
    ...fields,
  };
}

const { ageMaxMs, answersMax, bytesMax } = KEPT_ANSWER_LIMITS;

for (const [name, open] of [
  ['SQLite', openSqlite],
  ['memory', openMemory],
] as const) {
  describe(`kept answers: ${name}`, () => {
    it('are found as they were kept, under their actor and key alone', (t) => {
      const { store } = open(t);
      const answers = [kept(), kept({ key: 'none', body: null, headers: {}, status: 204 })];
      for (const answer of answers) store.answers.keep(answer);
      assert.deepEqual(store.answers.find('api:1', 'k'), answers[0]);
      assert.deepEqual(store.answers.find('api:1', 'none'), answers[1]);
      assert.equal(store.answers.find('api:1', 'K'), undefined);
      assert.equal(store.answers.find('api:2', 'k'), undefined);
    });

    it('are undone with the transaction they were kept in', (t) => {
      const { store } = open(t);
      const undone = new Error('undone');
      assert.throws(
        () =>
          store.atomically(() => {
            store.answers.keep(kept());
            throw undone;
          }),
        undone,
      );
      assert.equal(store.answers.find('api:1', 'k'), undefined);
      store.answers.keep(kept());
    });

    it('are forgotten after 24 h, and their keys are new then', async (t) => {
      const { store, clock } = open(t);
      store.answers.keep(kept());
      await clock.pass(ageMaxMs - 1);
      assert.ok(store.answers.find('api:1', 'k'));
      await clock.pass(1);
      assert.equal(store.answers.find('api:1', 'k'), undefined);
      store.answers.keep(kept({ fingerprint: 'another' }));
      assert.equal(store.answers.find('api:1', 'k')?.fingerprint, 'another');
    });
  });
}

describe('the room for kept answers', () => {
  const full = { code: 'IDEMPOTENCY_KEYS_FULL', kind: 'capacity' };

  function pretend(file: string, answers: number, bytes: number): void {
    const client = new Database(file);
    client.exec(`UPDATE kept_answer_totals SET answers = ${answers}, bytes = ${bytes}`);
    client.close();
  }

  it('ends at 100,000 keys of an actor, told with both numbers', (t) => {
    const { store, file } = openSqlite(t);
    store.answers.keep(kept());
    pretend(file, answersMax, 1_000);
    assert.throws(() => store.answers.keep(kept({ key: 'one-more' })), {
      ...full,
      message: /used 100000 idempotency keys within 24 h.*at most 100000 keys/,
    });
    store.answers.keep(kept({ actor: 'api:2' }));
  });

  it('ends at 256 MiB of answers of an actor', (t) => {
    const { store, file } = openSqlite(t);
    store.answers.keep(kept());
    pretend(file, 1, bytesMax - 10);
    assert.throws(() => store.answers.keep(kept({ key: 'one-more' })), full);
  });

  it('comes back as answers grow old, 20 with each that is kept', async (t) => {
    const { store, clock, file } = openSqlite(t);
    for (let i = 0; i < 30; i++) store.answers.keep(kept({ key: `old-${i}` }));
    await clock.pass(ageMaxMs);
    store.answers.keep(kept());
    const client = new Database(file, { readonly: true });
    t.after(() => client.close());
    const totals = client.prepare('SELECT answers FROM kept_answer_totals');
    assert.deepEqual(totals.all(), [{ answers: 11 }]);
    store.answers.keep(kept({ key: 'second' }));
    assert.deepEqual(totals.all(), [{ answers: 2 }]);
    assert.deepEqual(client.prepare('SELECT count(*) AS n FROM kept_answers').get(), { n: 2 });
  });
});
