/**
 * What an API key looks like, and what of it may be shown.
 */
import { randomBytes } from 'node:crypto';

/** Any key that was ever given to us: visible ASCII without blanks. */
export const KEY_TEXT = /^[\x21-\x7e]{1,512}$/;
/** Chosen keys of fewer characters can be guessed; they are for development alone. */
export const CHOSEN_KEY_CHARS_MIN = 16;

const GENERATED_KEY_BYTES = 24;
const GENERATED_KEY = /^dbb_[\w-]{32}$/;
const GENERATED_PREFIX_CHARS = 8;
const CHOSEN_PREFIX_CHARS_MAX = 4;

/** A new key of 192 random bits. */
export function generateKey(): string {
  return `dbb_${randomBytes(GENERATED_KEY_BYTES).toString('base64url')}`;
}

/**
 * The part of a key that lists show and that finds it again: 24 of the 192 bits of a generated one,
 * a quarter of a chosen one, and four characters at most.
 */
export function prefixOf(key: string): string {
  const chars = GENERATED_KEY.test(key)
    ? GENERATED_PREFIX_CHARS
    : Math.min(CHOSEN_PREFIX_CHARS_MAX, Math.floor(key.length / 4));
  return key.slice(0, chars);
}
