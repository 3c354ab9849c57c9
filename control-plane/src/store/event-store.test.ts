/** Both event stores, held to the same contract. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { projectViews } from '../projections/tenant-views.ts';
import { eventSearchContract } from './event-search.contract.ts';
import { eventStoreContract } from './event-store.contract.ts';
import type { OpenedStore } from './event-store.contract.ts';
import { createMemoryEventStore } from './memory-event-store.ts';
import { replicatedChangeContract } from './replicated-change.contract.ts';
import { openSqliteEventStore } from './sqlite-event-store.ts';

function openMemory(): OpenedStore {
  const clock = new ManualClock();
  const store = createMemoryEventStore({ clock, project: projectViews });
  return { store, clock, dispose: () => store.close() };
}

function openSqlite(): OpenedStore {
  const directory = mkdtempSync(join(tmpdir(), 'dbbouncer-store-'));
  const clock = new ManualClock();
  const store = openSqliteEventStore({
    file: join(directory, 'events.db'),
    // Contract tests do not pull the plug.
    durability: 'normal',
    clock,
    log: silentLogger,
    project: projectViews,
  });
  return {
    store,
    clock,
    dispose: () => {
      store.close();
      rmSync(directory, { recursive: true });
    },
  };
}

for (const [name, open] of [
  ['memory', openMemory],
  ['SQLite', openSqlite],
] as const) {
  eventStoreContract(name, open);
  eventSearchContract(name, open);
  replicatedChangeContract(name, open);
}
