/** Both event stores, held to the same contract. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { projectViews } from '../projections/tenant-views.ts';
import { eventStoreContract } from './event-store.contract.ts';
import { createMemoryEventStore } from './memory-event-store.ts';
import { openSqliteEventStore } from './sqlite-event-store.ts';

eventStoreContract('memory', () => {
  const store = createMemoryEventStore({ clock: new ManualClock(), project: projectViews });
  return { store, dispose: () => store.close() };
});

eventStoreContract('SQLite', () => {
  const directory = mkdtempSync(join(tmpdir(), 'dbbouncer-store-'));
  const store = openSqliteEventStore({
    file: join(directory, 'events.db'),
    // Contract tests do not pull the plug.
    durability: 'normal',
    clock: new ManualClock(),
    log: silentLogger,
    project: projectViews,
  });
  return {
    store,
    dispose: () => {
      store.close();
      rmSync(directory, { recursive: true });
    },
  };
});
