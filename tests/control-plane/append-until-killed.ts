/**
 * A program: a control plane that registers and changes tenants as fast as it can, and
 * prints the position of each change once it is acknowledged. It runs until it is killed.
 */
import { writeSync } from 'node:fs';
import { openCore } from '@dbbouncer/control-plane/core.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { META, register, update } from './core-harness.ts';

export const APPEND_UNTIL_KILLED = import.meta.filename;

if (import.meta.main) {
  const [, , dataDir = '', run = ''] = process.argv;
  const core = openCore({ dataDir, bus: createMemoryBus(), clock: systemClock, log: silentLogger });

  for (let i = 0; ; i++) {
    const id = `run${run}-${i}`;
    const results = await Promise.all([
      core.commands.handle(register(id), META),
      core.commands.handle(update(id, { port: 6_000 }), META),
      core.commands.handle(register(`${id}-b`), META),
    ]);
    // Written at once: what a kill leaves in a buffer of this process would prove nothing.
    for (const { position } of results) writeSync(1, `${position}\n`);
  }
}
