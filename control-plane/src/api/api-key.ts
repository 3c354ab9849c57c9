/**
 * The API key: where it comes from, how one is recognised, and the name under which its holder
 * appears in events.
 * Owns: all of that. Leaves: which routes need one to server.ts.
 * Source: RFC 6750 (bearer tokens).
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { createSecretFile } from '@dbbouncer/shared/secrets/secret-file.ts';

const GENERATED_KEY_BYTES = 24;
const USABLE_KEY = /^[\x21-\x7e]{1,512}$/;
const BEARER = /^Bearer +(\S+) *$/i;

export interface LoadedApiKey {
  readonly key: string;
  /** Where a generated key is kept; absent when the settings gave one. */
  readonly file: string | undefined;
}

/**
 * The key of the settings, else the one in `<dataDir>/api.key`, which is made (mode 0600) when it
 * is not there.
 * @throws SETTINGS_INVALID when the file holds no usable key; the file system's error when it
 * cannot be read or made.
 */
export function loadApiKey(given: string | undefined, dataDir: string): LoadedApiKey {
  if (given !== undefined) return { key: given, file: undefined };
  const file = join(dataDir, 'api.key');
  createSecretFile(file, () => `dbb_${randomBytes(GENERATED_KEY_BYTES).toString('base64url')}`);
  const key = readFileSync(file, 'utf8').trim();
  if (USABLE_KEY.test(key)) return { key, file };
  throw sharedErrors.fail('SETTINGS_INVALID', `${file} holds no usable API key.`, {
    hint: 'Remove it to have one made, or set DBBOUNCER_API_KEY.',
  });
}

/** Recognises one key. Comparing takes the same time whatever is presented. */
export class ApiKeyGuard {
  readonly #digest: Buffer;
  /**
   * How events name the holder: `api:` and eight characters from which nobody without `nameSecret`
   * can test guesses.
   */
  readonly actor: string;

  /** @param nameSecret any secret that stays the same over restarts. */
  constructor(key: string, nameSecret: Buffer) {
    this.#digest = sha256(key);
    this.actor = `api:${createHmac('sha256', nameSecret).update(key).digest('hex').slice(0, 8)}`;
  }

  /** @param authorization the header of that name. */
  admits(authorization: string | undefined): boolean {
    const presented = BEARER.exec(authorization ?? '')?.[1];
    return presented !== undefined && timingSafeEqual(sha256(presented), this.#digest);
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
