/**
 * Tamper evidence: each event carries the hash of the one before it, so a change anywhere shows at
 * that place.
 * hash = SHA-256(prev_hash as 32 bytes ‖ canonical JSON of every other field), in lower-case hex.
 * It shows what somebody changed who did not rehash the rest; an anchor outside shows that too (not
 * here).
 */
import { createHash } from 'node:crypto';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { canonicalJson } from './canonical-json.ts';
import type { StoredEvent } from './event.ts';
import type { EventReader } from './event-store.ts';

/** What the first event has before it. */
export const GENESIS_HASH = '0'.repeat(64);

export function hashEvent(event: Omit<StoredEvent, 'hash'>): string {
  return createHash('sha256')
    .update(Buffer.from(event.prevHash, 'hex'))
    .update(
      canonicalJson({
        position: event.position,
        stream: event.stream,
        streamVersion: event.streamVersion,
        type: event.type,
        data: event.data,
        actor: event.actor,
        reason: event.reason,
        requestId: event.requestId,
        occurredAt: event.occurredAt,
        epoch: event.epoch,
      }),
    )
    .digest('hex');
}

export type ChainReport =
  | { readonly status: 'clean'; readonly position: Position; readonly hash: string }
  | { readonly status: 'broken'; readonly position: Position; readonly reason: string };

/** Walks the whole log. Names the first position that is not as it was written. */
export function verifyChain(log: EventReader): ChainReport {
  let position = 0;
  let hash = GENESIS_HASH;
  try {
    for (const event of log.readAll(0)) {
      const reason = findBreak(event, position, hash);
      if (reason !== undefined) return { status: 'broken', position: position + 1, reason };
      position = event.position;
      hash = event.hash;
    }
  } catch (error) {
    return { status: 'broken', position: position + 1, reason: `unreadable: ${String(error)}` };
  }
  return { status: 'clean', position, hash };
}

function findBreak(event: StoredEvent, before: Position, hashBefore: string): string | undefined {
  if (event.position !== before + 1) return `missing: the next event is at ${event.position}`;
  if (event.prevHash !== hashBefore) return 'does not follow from the event before it';
  if (event.hash !== hashEvent(event)) return 'its content does not have its hash';
  return undefined;
}
