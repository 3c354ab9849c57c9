/**
 * What writes with an Idempotency-Key were answered, so that a repetition is answered the same and
 * changes nothing. Kept in the transaction that appends; unlike read models they are not rebuilt.
 * Owns: what is kept, for how long and how much of it. Leaves: what makes two requests the same to
 * api/.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { controlErrors } from '../errors.ts';

export const KEPT_ANSWER_LIMITS = Object.freeze({
  /** After a day the same key is a new one. */
  ageMaxMs: 24 * 60 * 60 * 1000,
  /** Of each actor; a further key is refused with IDEMPOTENCY_KEYS_FULL. */
  answersMax: 100_000,
  /** Of each actor, over all it has kept. */
  bytesMax: 256 * 1024 * 1024,
  /** Answers that are too old and go with each that is kept: they need no clearing of their own. */
  forgottenAtOnce: 20,
});

export interface KeptAnswer {
  /** Who asked: the keys of others are other keys. */
  readonly actor: string;
  readonly key: string;
  /** Equal for equal requests; no request can be told from it. */
  readonly fingerprint: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON; null when the answer had no body. */
  readonly body: string | null;
  /** Of the last event: proxies that applied it know of the change. */
  readonly position: Position;
}

export interface AnswerBook {
  /** The answer that was kept under `key`, unless it is older than `ageMaxMs`. */
  find(actor: string, key: string): KeptAnswer | undefined;
  /**
   * Keeps an answer under a key that `find` does not know.
   * @throws IDEMPOTENCY_KEYS_FULL: nothing was kept.
   */
  keep(answer: KeptAnswer): void;
}

/** What an actor has kept already. */
export interface KeptTotals {
  readonly answers: number;
  readonly bytes: number;
}

/** What an answer counts for. */
export function bytesOf({ actor, key, fingerprint, headers, body }: KeptAnswer): number {
  const text = actor + key + fingerprint + JSON.stringify(headers) + (body ?? '');
  return Buffer.byteLength(text);
}

/** @throws IDEMPOTENCY_KEYS_FULL */
export function requireRoom({ actor }: KeptAnswer, bytes: number, kept: KeptTotals): void {
  const { answersMax, bytesMax } = KEPT_ANSWER_LIMITS;
  const isFull = kept.answers >= answersMax || kept.bytes + bytes > bytesMax;
  if (!isFull) return;
  throw controlErrors.fail(
    'IDEMPOTENCY_KEYS_FULL',
    `${actor} has used ${kept.answers} idempotency keys within 24 h, with ${kept.bytes} bytes of` +
      ` answers; at most ${answersMax} keys with ${bytesMax} bytes are kept.`,
    { hint: 'Write without Idempotency-Key, or wait until the oldest keys are a day old.' },
  );
}

/** The time at which an answer of now, as milliseconds since 1970, would have been too old. */
export function tooOldMs(nowMs: number): number {
  return nowMs - KEPT_ANSWER_LIMITS.ageMaxMs;
}

/** Keeps an answer of another control plane, unless its actor has used up what it may. */
export function keepWhereRoomIs(book: AnswerBook, answer: KeptAnswer): void {
  try {
    book.keep(answer);
  } catch (error) {
    if (!controlErrors.is(error) || error.code !== 'IDEMPOTENCY_KEYS_FULL') throw error;
  }
}
