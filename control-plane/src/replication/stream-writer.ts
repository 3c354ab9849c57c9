/**
 * Writes events to the stream on the bus, each message directly behind the one that was last: who
 * was deposed writes nothing any more, whatever he believes. Owns: what became of a message whose
 * sender heard nothing. Leaves: what is in the stream and in no log to stream-reader.ts.
 */
import type { BusLog, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { lastEventIn } from '../publish/event-message.ts';
import type { ReplicatedChange } from '../store/replicated-change.ts';
import { packed } from './packing.ts';
import type { PackedMessage } from './packing.ts';

/** `refused`: not in the stream, and never will be. `unclear`: it may be, or come to be. */
export type NotStored = 'refused' | 'unclear';

export interface Written {
  /** How many of the events are in the stream: they have happened. */
  readonly stored: number;
  /** The message that holds the last of them. */
  readonly sequence: number;
  /** What became of the others; nothing when there are none. */
  readonly others: NotStored | undefined;
}

const RETRY_AFTER_MS = 100;
/** For reading one message that must be there. */
const READ_TIMEOUT_MS = 3_000;

export interface WriterPorts {
  readonly stream: BusLog;
  readonly clock: Clock;
  /** Whether it is worth while to go on trying. */
  readonly mayWrite: () => boolean;
}

/** Writes behind `sequence`, several messages under way at once. Never throws. */
export async function writeBehind(
  sequence: number,
  change: ReplicatedChange,
  ports: WriterPorts,
): Promise<Written> {
  const appends = packed(change).map((message, index) => ({
    message,
    outcome: append(message, sequence + index, ports.stream),
  }));
  let stored = 0;
  let reached = sequence;
  let others: NotStored | undefined;
  for (const { message, outcome } of appends) {
    const first = await outcome;
    if (others !== undefined) continue;
    const settled = await settle(message, reached, first, ports);
    if (typeof settled === 'number') {
      stored += message.events.length;
      reached = settled;
    } else {
      others = settled;
    }
  }
  return { stored, sequence: reached, others };
}

type Outcome = 'stored' | 'conflict' | 'unknown';

async function append(
  { id, data }: PackedMessage,
  expectedLastSequence: number,
  stream: BusLog,
): Promise<Outcome> {
  try {
    const { sequence } = await stream.append(id, data, { expectedLastSequence });
    return sequence === expectedLastSequence + 1 ? 'stored' : 'conflict';
  } catch (error) {
    const isConflict = sharedErrors.is(error) && error.code === 'BUS_SEQUENCE_CONFLICT';
    return isConflict ? 'conflict' : 'unknown';
  }
}

/**
 * A repetition is the same message in the same place: it is stored now, or known to have been, or
 * something is there. Then it is looked what. What is foreign is nothing: the place behind it is as
 * good. @returns where it is, or that it is not
 */
async function settle(
  message: PackedMessage,
  behind: number,
  outcome: Outcome,
  ports: WriterPorts,
): Promise<number | NotStored> {
  let last = behind;
  let latest = outcome;
  for (;;) {
    if (latest === 'stored') return last + 1;
    if (latest === 'conflict') {
      const found = await messageBehind(last, ports);
      if (found === 'unreachable') return 'unclear';
      if (found === 'elsewhere') return 'refused';
      if (found !== 'none' && found.origin === 'foreign') last = found.sequence;
      else if (found !== 'none') return isIn(message, found) ? found.sequence : 'refused';
      // Or else the one before it had not come yet.
    }
    if (!ports.mayWrite()) return 'unclear';
    if (latest === 'unknown') await pause(ports.clock);
    latest = await append(message, last, ports.stream);
  }
}

function pause(clock: Clock): Promise<void> {
  return new Promise((resolve) => void clock.after(RETRY_AFTER_MS, resolve));
}

function isIn({ id }: PackedMessage, { data }: LogMessage): boolean {
  try {
    return lastEventIn(data).hash === id;
  } catch {
    return false;
  }
}

type Found = LogMessage | 'none' | 'elsewhere' | 'unreachable';

/** The message directly behind `last`; `elsewhere`: the stream ends before that. */
async function messageBehind(last: number, { stream, clock }: WriterPorts): Promise<Found> {
  try {
    const { lastSequence } = await stream.state();
    if (lastSequence <= last) return lastSequence === last ? 'none' : 'elsewhere';
  } catch {
    return 'unreachable';
  }
  return await new Promise((resolve) => {
    const end = (found: Found) => {
      timer.cancel();
      following.close();
      resolve(found);
    };
    const timer = clock.after(READ_TIMEOUT_MS, () => end('unreachable'));
    const following = stream.follow(last + 1, (message) =>
      end(message.sequence === last + 1 ? message : 'elsewhere'),
    );
  });
}
