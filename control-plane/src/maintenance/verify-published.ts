/**
 * Whether the events on the bus are those of the log. Reads both and changes neither. A copy that
 * is behind is no fault: the control plane goes on with it. One that says something else is.
 */
import type { Bus, BusLog, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { decodeEventMessage } from '../publish/event-message.ts';
import type { StoredEvent } from '../store/event.ts';
import type { EventReader } from '../store/event-store.ts';
import type { Broken, OnProgress } from './verify.ts';

export type PublishedVerdict =
  { readonly outcome: 'whole'; readonly position: Position; readonly behind: number } | Broken;

type Log = Pick<EventReader, 'head' | 'readAll'>;

const CONNECT_WITHIN_MS = 10_000;
/** Between two messages. */
const SILENCE_MS_MAX = 10_000;

/**
 * Compares every message there is now, each with the event at its position.
 * @throws BUS_UNAVAILABLE when the bus is not reached, or falls silent, for 10 s.
 */
export async function verifyPublished(
  log: Log,
  bus: Bus,
  clock: Clock,
  onProgress: OnProgress = () => {},
): Promise<PublishedVerdict> {
  await connected(bus, clock);
  const copy = bus.log({ stream: SUBJECTS.eventStream, subject: SUBJECTS.event });
  const comparison = new Comparison(log);
  const { lastSequence } = await copy.state();
  if (lastSequence > 0 && (await copy.last()) !== undefined) {
    const broken = await readUpTo(copy, lastSequence, clock, (message) => {
      const problem = comparison.problemWith(message);
      onProgress(comparison.position, log.head());
      return problem;
    });
    if (broken !== undefined) return broken;
  }
  const { position } = comparison;
  return { outcome: 'whole', position, behind: log.head() - position };
}

class Comparison {
  readonly #log: Log;
  #position: Position = 0;
  /** Whether a message was read: the oldest ones may have been dropped. */
  #state: 'empty' | 'begun' = 'empty';

  constructor(log: Log) {
    this.#log = log;
  }

  /** Of the last message that was compared. */
  get position(): Position {
    return this.#position;
  }

  problemWith({ data, sequence }: LogMessage): Broken | undefined {
    const copy = decode(data);
    if (copy === undefined) return broken(`message ${sequence} on the bus`, 'is no event');
    const { position } = copy;
    // A copy that was begun again begins with the first event.
    const follows = position === this.#position + 1 || position === 1 || this.#state === 'empty';
    if (!follows) {
      return broken(`position ${this.#position + 1}`, `the bus goes on with ${position} instead`);
    }
    this.#state = 'begun';
    this.#position = position;
    const [own] = this.#log.readAll(position - 1, 1);
    if (own?.position !== position) {
      return broken(`position ${position}`, 'is on the bus and not in the log');
    }
    const isSame = JSON.stringify(sorted(own)) === JSON.stringify(sorted(copy));
    return isSame ? undefined : broken(`position ${position}`, 'is another event on the bus');
  }
}

/** Data is canonical already: only the fields of the record have no order. */
function sorted({ data, ...fields }: StoredEvent): unknown {
  const names = Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return [names, data];
}

function decode(data: Uint8Array): StoredEvent | undefined {
  try {
    return decodeEventMessage(data);
  } catch {
    return undefined;
  }
}

function readUpTo(
  copy: BusLog,
  lastSequence: number,
  clock: Clock,
  judge: (message: LogMessage) => Broken | undefined,
): Promise<Broken | undefined> {
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined;
    const end = (settle: () => void) => {
      timer?.cancel();
      following.close();
      settle();
    };
    const wait = () => {
      timer?.cancel();
      timer = clock.after(SILENCE_MS_MAX, () => end(() => reject(silent())));
    };
    const following = copy.follow(1, (message) => {
      wait();
      try {
        const problem = judge(message);
        if (problem !== undefined || message.sequence >= lastSequence) end(() => resolve(problem));
      } catch (error) {
        end(() => reject(error instanceof Error ? error : new Error(String(error))));
      }
    });
    wait();
  });
}

function silent(): Error {
  const message = `The bus has sent no event for ${SILENCE_MS_MAX / 1_000} s.`;
  return sharedErrors.fail('BUS_UNAVAILABLE', message);
}

function connected(bus: Bus, clock: Clock): Promise<void> {
  if (bus.status === 'connected') return Promise.resolve();
  return new Promise((resolve, reject) => {
    const statuses = bus.onStatus((status) => {
      if (status !== 'connected') return;
      timer.cancel();
      statuses.close();
      resolve();
    });
    const timer = clock.after(CONNECT_WITHIN_MS, () => {
      statuses.close();
      const within = `within ${CONNECT_WITHIN_MS / 1_000} s`;
      reject(sharedErrors.fail('BUS_UNAVAILABLE', `The bus was not reached ${within}.`));
    });
  });
}

function broken(where: string, reason: string): Broken {
  return { outcome: 'broken', where, reason };
}
