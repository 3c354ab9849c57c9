/**
 * Where a proxy begins: the newest snapshot on the bus, and the place in the delta log from which
 * to go on.
 * Leaves: what to make of the snapshot to judge.ts, following to feed.ts.
 */
import type { ConfigVerifier } from '@dbbouncer/shared/contract/signed-message.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { DecodedSnapshot } from './judge.ts';
import { readSnapshotApart } from './reading-thread.ts';

/**
 * `stored`: what the object store holds will do. `fresh`: it did not help, so the control plane is
 * asked first.
 */
export type SnapshotDemand = 'stored' | 'fresh';

export interface Base {
  /** Nothing when no control plane has published one yet. */
  readonly decoded: DecodedSnapshot | undefined;
  readonly followFrom: number;
  /** The newest delta there was; nothing when the log holds none behind the snapshot. */
  readonly catchUpTo: number | undefined;
  /** Life of the log that `followFrom` counts in. */
  readonly logCreatedAt: string;
}

const REQUEST_TIMEOUT_MS = 2_000;

/**
 * The newest snapshot and where to follow from: after the last delta it contains, or from the first
 * one when there is no snapshot or it counts in another life of the log.
 * @throws BUS_UNAVAILABLE
 */
export async function fetchBase(
  bus: Bus,
  verifier: ConfigVerifier,
  demand: SnapshotDemand,
): Promise<Base> {
  let data = demand === 'stored' ? await readObject(bus) : undefined;
  if (data === undefined) {
    await requestSnapshot(bus);
    data = await readObject(bus);
  }
  const decoded = data === undefined ? undefined : await readSnapshotApart(data, verifier);
  const { createdAt, firstSequence, lastSequence } = await bus.log(CONFIG_LOG).state();
  const counts = decoded?.kind === 'snapshot' && decoded.snapshot.logCreatedAt === createdAt;
  const followFrom = counts ? decoded.snapshot.logSequence + 1 : 1;
  const hasMore = lastSequence >= Math.max(followFrom, firstSequence, 1);
  const catchUpTo = hasMore ? lastSequence : undefined;
  return { decoded, followFrom, catchUpTo, logCreatedAt: createdAt };
}

async function readObject(bus: Bus): Promise<Uint8Array | undefined> {
  return await bus.objects(SUBJECTS.snapshotBucket).get(SUBJECTS.snapshotObject);
}

/** Has the control plane store its newest snapshot; without one, what is stored has to do. */
async function requestSnapshot(bus: Bus): Promise<void> {
  try {
    await bus.request(SUBJECTS.snapshotRequest, new Uint8Array(), REQUEST_TIMEOUT_MS);
  } catch (error) {
    if (!sharedErrors.is(error)) throw error;
  }
}
