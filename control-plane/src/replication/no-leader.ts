/**
 * For a control plane that writes alone: whether another one leads on the same bus. Two that write
 * would not agree on what happened.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { HistoryConflict } from '../publish/history.ts';
import { decodeLease } from './lease-record.ts';
import type { Lease } from './lease-record.ts';

/** Between two looks at a lease that may have lapsed. */
const LOOK_EVERY_MS = 500;

/**
 * A bus that does not say counts as one where nobody leads: its user may not be allowed to ask.
 * @throws HistoryConflict naming the one that leads
 */
export async function requireNoLeader(bus: Bus, clock: Clock): Promise<void> {
  const leader = await leaderOn(bus, clock).catch(unlessUnavailable);
  if (leader === undefined) return;
  throw new HistoryConflict(
    `The control plane ${leader.holder} at ${leader.apiUrl} leads on this bus. Beside another,` +
      ' a control plane must run with durability replicated (--durability replicated).',
  );
}

/** The lease that was written last, whether it counts or not. @throws BUS_UNAVAILABLE */
export async function lastLease(bus: Bus): Promise<Lease | undefined> {
  const entry = await bus.keys({ bucket: SUBJECTS.leaderBucket }).get(SUBJECTS.leaseKey);
  return entry && decodeLease(entry.value);
}

/**
 * The one that holds a lease and renews it, looked at for as long as that lasts; nothing at once
 * where there is none, or it was given back. @throws BUS_UNAVAILABLE
 */
export async function leaderOn(bus: Bus, clock: Clock): Promise<Lease | undefined> {
  const keys = bus.keys({ bucket: SUBJECTS.leaderBucket });
  const first = await keys.get(SUBJECTS.leaseKey);
  const lease = first && decodeLease(first.value);
  if (lease?.state !== 'held') return undefined;
  for (let waitedMs = 0; waitedMs < lease.leaseMs; waitedMs += LOOK_EVERY_MS) {
    await new Promise<void>((resolve) => void clock.after(LOOK_EVERY_MS, resolve));
    const now = await keys.get(SUBJECTS.leaseKey);
    if (now === undefined || now.revision === first?.revision) continue;
    const renewed = decodeLease(now.value);
    return renewed?.state === 'held' ? renewed : undefined;
  }
  return undefined;
}

function unlessUnavailable(error: unknown): undefined {
  if (sharedErrors.is(error) && error.code === 'BUS_UNAVAILABLE') return undefined;
  throw error;
}
