/**
 * A dial that must not go on: what it had occupied is not the proxy's any more. It says nothing of
 * the server, and nobody is told.
 */
import type { ServerEvents } from './upstream.ts';

export class SlotGone extends Error {
  override readonly name = 'SlotGone';

  constructor() {
    super('the proxy has no slot for this server connection any more');
  }
}

/** @throws SlotGone */
export function assertSlot(events: ServerEvents): void {
  if (events.mayGoOn?.() === false) throw new SlotGone();
}
