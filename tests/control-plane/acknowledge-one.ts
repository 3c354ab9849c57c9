/**
 * A program: a control plane in a folder that is not there yet registers one tenant, and prints
 * `acknowledged` when that is done.
 */
import { writeSync } from 'node:fs';
import { openCore } from '@dbbouncer/control-plane/core.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import { META, register } from './core-harness.ts';

export const ACKNOWLEDGE_ONE = import.meta.filename;

if (import.meta.main) {
  const [, , dataDir = ''] = process.argv;
  openKeySource({ masterKey: undefined, dataDir, whenAbsent: 'create' });
  const bus = createMemoryBus();
  const core = openCore({ dataDir, bus, clock: systemClock, log: silentLogger });
  await core.commands.handle(register('acme'), META);
  writeSync(1, 'acknowledged\n');
  await core.close();
  await bus.close();
}
