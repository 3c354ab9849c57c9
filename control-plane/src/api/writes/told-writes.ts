/**
 * What the log says of a write that was accepted: one line, who and what, however much it was. What
 * it changed is in the events.
 */
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { tenantKeyOfStream } from '../../domain/tenant/events.ts';
import type { StoredEvent } from '../../store/event.ts';

/** Nothing where nothing was changed. */
export function tellWrite(log: Logger, events: readonly StoredEvent[]): void {
  const [first] = events;
  const last = events.at(-1);
  if (first === undefined || last === undefined) return;
  const streams = new Set(events.map(({ stream }) => stream));
  const tenants = [...streams].flatMap((stream) => tenantKeyOfStream(stream) ?? []);
  const isOne = streams.size === 1;
  const { actor, requestId } = first;
  log.info(
    {
      actor,
      requestId,
      ...(isOne && (tenants.length === 1 ? { tenant: tenants[0] } : { stream: first.stream })),
      ...(!isOne && { tenantCount: tenants.length }),
      types: [...new Set(events.map(({ type }) => type))],
      position: last.position,
    },
    'write accepted',
  );
}
