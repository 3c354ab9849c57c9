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
  return hashRecord(event, canonicalJson(event.data));
}

/**
 * The same for an event whose data is at hand as text. Another text than the canonical one of its
 * data has another hash: where the data ends in the whole, JSON leaves no choice.
 */
export function hashRecord(event: Omit<StoredEvent, 'data' | 'hash'>, data: string): string {
  const is = canonicalJson;
  return createHash('sha256')
    .update(event.prevHash, 'hex')
    .update(
      // The members in the order of their names.
      `{"actor":${is(event.actor)},"data":${data},"epoch":${is(event.epoch)}` +
        `,"occurredAt":${is(event.occurredAt)},"position":${is(event.position)}` +
        `,"reason":${is(event.reason)},"requestId":${is(event.requestId)}` +
        `,"stream":${is(event.stream)},"streamVersion":${is(event.streamVersion)}` +
        `,"type":${is(event.type)}}`,
    )
    .digest('hex');
}

export type ChainReport =
  | { readonly status: 'clean'; readonly position: Position; readonly hash: string }
  | { readonly status: 'broken'; readonly position: Position; readonly reason: string };

/** Walks the whole log. Names the first position that is not as it was written. */
export function verifyChain(log: EventReader): ChainReport {
  const chain = new ChainWalk();
  try {
    for (const event of log.readAll(0)) {
      const reason = chain.follow(event);
      if (reason !== undefined) return { status: 'broken', position: chain.next, reason };
    }
  } catch (error) {
    return { status: 'broken', position: chain.next, reason: `unreadable: ${String(error)}` };
  }
  return { status: 'clean', position: chain.position, hash: chain.hash };
}

/** One walk over the log, event by event, from the first on. */
export class ChainWalk {
  #position: Position = 0;
  #hash = GENESIS_HASH;

  /** The last event that was as it was written; 0 before the first. */
  get position(): Position {
    return this.#position;
  }

  /** Where the next event belongs. */
  get next(): Position {
    return this.#position + 1;
  }

  /** Of the event at `position`. */
  get hash(): string {
    return this.#hash;
  }

  /**
   * Goes on to `event`, or says why it is not what was written behind those before it.
   * @param data the text that is stored for its data, where that is at hand.
   */
  follow(event: StoredEvent, data = canonicalJson(event.data)): string | undefined {
    if (event.position !== this.next) return `missing: the next event is at ${event.position}`;
    if (event.prevHash !== this.#hash) return 'does not follow from the event before it';
    if (event.hash !== hashRecord(event, data)) return 'its content does not have its hash';
    this.#position = event.position;
    this.#hash = event.hash;
    return undefined;
  }
}
