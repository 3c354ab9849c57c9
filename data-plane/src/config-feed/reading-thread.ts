/**
 * Reads a large snapshot in a thread of its own, which ends with it: clients of this one are served
 * meanwhile as if nothing were read, and the memory that reading takes is given back as a whole.
 * Leaves: the reading itself to judge.ts, the other side to reading-thread-main.ts.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ConfigSnapshot } from '@dbbouncer/shared/contract/config-snapshot.ts';
import type { ConfigVerifier } from '@dbbouncer/shared/contract/signed-message.ts';
import { findInconsistency } from '@dbbouncer/shared/contract/routing-config.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { PackedMap } from '@dbbouncer/shared/kernel/packed-map.ts';
import type { BaseParts } from '@dbbouncer/shared/kernel/packed-base.ts';
import { markConsistent } from '../routing/snapshot.ts';
import { readSnapshot } from './judge.ts';
import type { DecodedSnapshot } from './judge.ts';

/** Below it a thread takes longer to begin than reading takes. */
const APART_BYTES_MIN = 512 * 1024;

/** What it makes on its way it forgets at once. */
const LIMITS = Object.freeze({ maxYoungGenerationSizeMb: 8, maxOldGenerationSizeMb: 512 });

const MAIN = new URL('./reading-thread-main.ts', import.meta.url);

/** A decoded snapshot as one thread posts it to another. */
export type PostedSnapshot =
  | Extract<DecodedSnapshot, { kind: 'undecodable' }>
  | {
      readonly kind: 'parts';
      readonly rest: SnapshotRest;
      readonly tenants: BaseParts;
      readonly inconsistency: string | undefined;
    };

interface SnapshotRest extends Omit<ConfigSnapshot, 'config'> {
  readonly config: Omit<ConfigSnapshot['config'], 'tenants'>;
}

/**
 * As `readSnapshot`, of what is genuine. The signature is checked here, where the keys are.
 * @param message the caller's own, and gone afterwards
 */
export async function readSnapshotApart(
  message: Uint8Array,
  verifier: ConfigVerifier,
): Promise<DecodedSnapshot> {
  const opened = await verifier.open('snapshot', message);
  if (opened.outcome === 'refused') {
    return { kind: 'undecodable', position: undefined, reason: opened.reason };
  }
  const data = opened.payload;
  if (data.byteLength < APART_BYTES_MIN) return await readSnapshot(data);
  const transferList = [data.buffer as ArrayBuffer];
  const worker = new Worker(MAIN, { workerData: data, transferList, resourceLimits: LIMITS });
  try {
    const [posted] = (await once(worker, 'message')) as [PostedSnapshot];
    return posted.kind === 'parts' ? fromParts(posted) : posted;
  } finally {
    await worker.terminate();
  }
}

export function toPosted(decoded: DecodedSnapshot): PostedSnapshot {
  if (decoded.kind === 'undecodable') return decoded;
  const { config, ...place } = decoded.snapshot;
  const { tenants, ...rest } = config;
  const inconsistency = findInconsistency(config);
  const parts = tenants.toParts();
  return { kind: 'parts', rest: { ...place, config: rest }, tenants: parts, inconsistency };
}

function fromParts({
  rest,
  tenants,
  inconsistency,
}: Extract<PostedSnapshot, { kind: 'parts' }>): DecodedSnapshot {
  const config = { ...rest.config, tenants: PackedMap.fromParts<TenantConfig>(tenants) };
  if (inconsistency === undefined) markConsistent(config);
  return { kind: 'snapshot', snapshot: { ...rest, config } };
}
