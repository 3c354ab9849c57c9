/** A queue of commands on a store of tests. */
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { EventStore } from '../store/event-store.ts';
import { CommandQueue } from './command-queue.ts';
import { LocalKeeping } from './local-keeping.ts';
import { WriteGate } from './write-gate.ts';

export function queueOn(store: EventStore): CommandQueue {
  const tryWriting = () => store.tryWriting();
  const gate = new WriteGate({ tryWriting, clock: systemClock, log: silentLogger });
  return new CommandQueue(store, new LocalKeeping(store, gate));
}
