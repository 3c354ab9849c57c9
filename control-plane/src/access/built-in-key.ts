/**
 * The API key that is there before any other was created: an admin's, from the settings or from a
 * file of the data folder. Leaves: recognising keys to key-guard.ts.
 */
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { createSecretFile } from '@dbbouncer/shared/secrets/secret-file.ts';
import { generateKey, KEY_TEXT } from './key-text.ts';

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
  createSecretFile(file, generateKey);
  const key = readFileSync(file, 'utf8').trim();
  if (KEY_TEXT.test(key)) return { key, file };
  throw sharedErrors.fail('SETTINGS_INVALID', `${file} holds no usable API key.`, {
    hint: 'Remove it to have one made, or set DBBOUNCER_API_KEY.',
  });
}

/**
 * The id under which it is listed: eight characters from which nobody without `nameSecret` can test
 * guesses.
 * @param nameSecret any secret that stays the same over restarts.
 */
export function builtInKeyId(key: string, nameSecret: Buffer): string {
  return createHmac('sha256', nameSecret).update(key).digest('hex').slice(0, 8);
}
