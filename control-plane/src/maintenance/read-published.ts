/**
 * The events on the bus, once through, up to the last there is now. Changes nothing there.
 */
import type { Bus, BusLog, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';

const CONNECT_WITHIN_MS = 10_000;
/** Between two messages. */
const SILENCE_MS_MAX = 10_000;

/**
 * Gives `judge` each message that was appended, in order, until it answers something; that is
 * the result.
 * @throws BUS_UNAVAILABLE when the bus is not reached, or falls silent, for 10 s; what `judge`
 * throws.
 */
export async function readPublished<T>(
  bus: Bus,
  clock: Clock,
  judge: (message: LogMessage) => T | undefined,
): Promise<T | undefined> {
  await connected(bus, clock);
  const copy = bus.log({ stream: SUBJECTS.eventStream, subject: SUBJECTS.event });
  const { lastSequence } = await copy.state();
  if (lastSequence === 0 || (await copy.last()) === undefined) return undefined;
  return await readUpTo(copy, lastSequence, clock, judge);
}

function readUpTo<T>(
  copy: BusLog,
  lastSequence: number,
  clock: Clock,
  judge: (message: LogMessage) => T | undefined,
): Promise<T | undefined> {
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
        const answer = message.origin === 'foreign' ? undefined : judge(message);
        if (answer !== undefined || message.sequence >= lastSequence) end(() => resolve(answer));
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
      const why = bus.problem === undefined ? '' : `: ${bus.problem}`;
      reject(
        sharedErrors.fail('BUS_UNAVAILABLE', `The bus was not reached ${within}${why}.`, {
          hint: 'Look whether NATS runs where --nats or DBBOUNCER_NATS says.',
        }),
      );
    });
  });
}
