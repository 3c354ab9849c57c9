/**
 * What the tests of the config feed have in common: a control plane reduced to what it publishes,
 * and waiting for the status of a feed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ConfigFeed } from '@dbbouncer/data-plane/config-feed/feed.ts';
import type { FeedStatus } from '@dbbouncer/data-plane/config-feed/status.ts';
import { someTenant } from '@dbbouncer/data-plane/routing/testing.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { encodeDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import { encodeSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { CONFIG_LOG, SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';

const encoder = new TextEncoder();
const WAITS_FOR_MS = 20_000;

/** The first status that `fits`, now or later. @throws Error with the last one after 20 s */
export async function status(
  feed: ConfigFeed,
  fits: (status: FeedStatus) => boolean,
): Promise<FeedStatus> {
  if (fits(feed.status)) return feed.status;
  return await new Promise((resolve, reject) => {
    const end = feed.onStatus((next) => {
      if (!fits(next)) return;
      clearTimeout(limit);
      end();
      resolve(next);
    });
    const limit = setTimeout(() => {
      end();
      reject(new Error(`no status fits; it is ${JSON.stringify(feed.status)}`));
    }, WAITS_FOR_MS);
  });
}

export const at = (position: number) => (now: FeedStatus) => now.appliedPosition === position;
export const isFollowing = (now: FeedStatus) => now.phase === 'following';

export function set(id: string, host = 'db.internal') {
  return [{ kind: 'tenant_set', tenant: someTenant(id, { host }) }] as const;
}

let appends = 0;
export async function appendText(bus: Bus, text: string): Promise<void> {
  const id = `${process.pid}-${appends++}`;
  await persist(() => bus.log(CONFIG_LOG).append(id, encoder.encode(text)));
}

/** A bus that is away is asked again, as the publisher does. @throws its last error after 20 s */
async function persist<T>(work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + WAITS_FOR_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const isLate = performance.now() > deadline;
      if (isLate || !sharedErrors.is(error) || !error.retryable) throw error;
      await pause(10);
    }
  }
}

/** Publishes a delta of term 1 from the position before `to`, unless said otherwise. */
export async function append(
  bus: Bus,
  delta: Partial<ConfigDelta> & { to: number },
): Promise<void> {
  await appendText(bus, encodeDelta({ epoch: 1, from: delta.to - 1, changes: [], ...delta }));
}

export async function putSnapshotBytes(bus: Bus, text: string): Promise<void> {
  const objects = bus.objects(SUBJECTS.snapshotBucket);
  await persist(() => objects.put(SUBJECTS.snapshotObject, encoder.encode(text)));
}

/** Stores a snapshot that contains the log up to now, or to where `place` says. */
export async function putSnapshot(
  bus: Bus,
  config: RoutingConfig,
  place: { readonly logCreatedAt?: string; readonly logSequence?: number } = {},
): Promise<void> {
  const state = await persist(() => bus.log(CONFIG_LOG).state());
  const { createdAt: logCreatedAt, lastSequence: logSequence } = state;
  await putSnapshotBytes(bus, encodeSnapshot({ logCreatedAt, logSequence, config, ...place }));
}

/** A control plane that stores `config()` when it is asked; counts how often. */
export function answerSnapshotRequests(bus: Bus, config: () => RoutingConfig): { asked: number } {
  const seen = { asked: 0 };
  bus.respond(SUBJECTS.snapshotRequest, async () => {
    seen.asked += 1;
    await putSnapshot(bus, config());
    return new Uint8Array();
  });
  return seen;
}
