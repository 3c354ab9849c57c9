/**
 * Master keys as text: from DBBOUNCER_MASTER_KEY or the key file. Owns: their syntax, derivation
 * and ids. Leaves: what is done with a key to keyring.ts, where the text comes from to
 * key-source.ts.
 * Source: RFC 7914 (scrypt), RFC 5869 (HKDF).
 */
import { createHash, hkdfSync, scryptSync } from 'node:crypto';
import { sharedErrors } from '../errors.ts';

export interface MasterKey {
  readonly id: string;
  /** What it was called before anybody named it: as that it may have sealed, too. */
  readonly unnamedId: string;
  /** 32 bytes; never used itself, only to derive the keys of one purpose each (`deriveKey`). */
  readonly bytes: Uint8Array;
}

export const MASTER_KEY_BYTES = 32;
export const MASTER_KEY_TEXT_CHARS_MIN = 16;
const MASTER_KEYS_MAX = 16;
const BASE64_OF_32_BYTES = /^[A-Za-z0-9+/_-]{43}=?$/;
const NAMED_KEY = /^([A-Za-z0-9_-]{1,32}):(.+)$/s;

/**
 * Fixed, since every process must derive the same key from the same text and share nothing else.
 */
const SCRYPT_SALT = 'dbbouncer/master-key/v1';
const SCRYPT_COST = Object.freeze({ N: 16_384, r: 8, p: 1 });

/**
 * The keys that `text` holds, the primary one first: `key` or `id:key`, several separated by commas
 * or line ends. A key is the base64 of 32 bytes, or any other text of at least 16 characters, from
 * which scrypt makes one. An unnamed key is named after a short hash of itself.
 * @param source what to call the text in an error; the text itself is never in one.
 * @throws SETTINGS_INVALID (kind config)
 */
export function parseMasterKeys(text: string, source: string): readonly MasterKey[] {
  const entries = text
    .split(/[,\r\n]+/)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  if (entries.length === 0) throw refuse(source, 'holds no key');
  if (entries.length > MASTER_KEYS_MAX) {
    throw refuse(source, `holds ${entries.length} keys; ${MASTER_KEYS_MAX} are allowed`);
  }
  const keys = entries.map((entry, index) => parseEntry(entry, index, source));
  const ids = new Set(keys.map((key) => key.id));
  if (ids.size < keys.length) throw refuse(source, 'names two keys alike');
  return keys;
}

/**
 * The key of one purpose: never the same bytes for two purposes, so that no use weakens another.
 */
export function deriveKey(key: MasterKey, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key.bytes, '', `dbbouncer/${purpose}/v1`, 32));
}

function parseEntry(entry: string, index: number, source: string): MasterKey {
  const named = NAMED_KEY.exec(entry);
  const text = named?.[2] ?? entry;
  const bytes = keyBytes(text);
  if (bytes === undefined) {
    throw refuse(
      source,
      `holds a key (no. ${index + 1}) of ${text.length} characters; it must be the base64 of` +
        ` ${MASTER_KEY_BYTES} bytes or text of at least ${MASTER_KEY_TEXT_CHARS_MIN} characters` +
        ' without "," and line ends',
    );
  }
  const unnamedId = shortHash(bytes);
  return Object.freeze({ id: named?.[1] ?? unnamedId, unnamedId, bytes });
}

function keyBytes(text: string): Uint8Array | undefined {
  if (BASE64_OF_32_BYTES.test(text)) return Buffer.from(text, 'base64');
  if (text.length < MASTER_KEY_TEXT_CHARS_MIN) return undefined;
  return scryptSync(text, SCRYPT_SALT, MASTER_KEY_BYTES, SCRYPT_COST);
}

function shortHash(bytes: Uint8Array): string {
  return createHash('sha256')
    .update('dbbouncer/key-id/v1')
    .update(bytes)
    .digest('hex')
    .slice(0, 12);
}

function refuse(source: string, problem: string): Error {
  return sharedErrors.fail('SETTINGS_INVALID', `${source} ${problem}`, {
    hint: 'Make one with: openssl rand -base64 32',
  });
}
