/** Looks at the event stream now and then: whether it is still the one that the log goes with. */
import type { BusLog, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { controlErrors } from '../errors.ts';
import type { EventStore } from '../store/event-store.ts';
import { requireSameStream } from './stream-reader.ts';

const LOOK_EVERY_MS = 1_000;

export interface WatchPorts {
  readonly store: EventStore;
  readonly stream: BusLog;
  readonly clock: Clock;
}

/** Tells what makes the stream unusable; a bus that is away is none of that. */
export function watchStream(
  { store, stream, clock }: WatchPorts,
  tell: (error: Error) => void,
): Subscription {
  let timer: Timer | undefined;
  let life: 'open' | 'closed' = 'open';
  const isOpen = () => life === 'open';
  const look = async () => {
    try {
      requireSameStream(store.streamPlace, await stream.state());
    } catch (error) {
      if (controlErrors.is(error) && isOpen()) tell(error);
    }
    next();
  };
  const next = () => {
    if (isOpen()) timer = clock.after(LOOK_EVERY_MS, () => void look());
  };
  next();
  return {
    close: () => {
      life = 'closed';
      timer?.cancel();
    },
  };
}
