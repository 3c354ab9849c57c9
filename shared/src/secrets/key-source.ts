/**
 * Where master keys come from: the text of DBBOUNCER_MASTER_KEY, else `<data-dir>/master.key`.
 * Owns: reading and, for the process that may, making the key file. Leaves: the syntax to
 * master-key.ts.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createSecretFile } from './secret-file.ts';
import { MASTER_KEY_BYTES, parseMasterKeys } from './master-key.ts';
import type { MasterKey } from './master-key.ts';

export interface KeySourceOptions {
  /** The value of DBBOUNCER_MASTER_KEY, when it is set. */
  readonly masterKey: string | undefined;
  readonly dataDir: string;
  /** The control plane makes a missing key file; a proxy waits for it. */
  readonly whenAbsent: 'create' | 'wait';
  /** Files elsewhere that hold keys of this process: no tenant's password may be read from them. */
  readonly ownFiles?: readonly (string | undefined)[];
}

export interface KeySource {
  /** What to call it in an error or a log line. */
  readonly name: string;
  /** The folder of this process's own keys; no tenant's password may be read from it. */
  readonly dataDir: string;
  readonly ownFiles: readonly string[];
  /**
   * The keys as they are now, the primary one first; none while there is no key file yet.
   * @throws SETTINGS_INVALID when what is there is not a key.
   */
  read(): readonly MasterKey[];
}

/**
 * @throws SETTINGS_INVALID when what is given or lies there is not a key.
 * @throws the file system's error when the key file can be neither read nor made.
 */
export function openKeySource(options: KeySourceOptions): KeySource {
  const { dataDir } = options;
  const ownFiles = (options.ownFiles ?? []).filter((path) => path !== undefined);
  if (options.masterKey !== undefined) {
    const keys = parseMasterKeys(options.masterKey, 'DBBOUNCER_MASTER_KEY');
    return Object.freeze({ name: 'DBBOUNCER_MASTER_KEY', dataDir, ownFiles, read: () => keys });
  }
  const path = join(dataDir, 'master.key');
  if (options.whenAbsent === 'create') {
    createSecretFile(path, () => randomBytes(MASTER_KEY_BYTES).toString('base64'));
  }
  return Object.freeze({ name: path, dataDir, ownFiles, read: () => readKeyFile(path) });
}

function readKeyFile(path: string): readonly MasterKey[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return parseMasterKeys(text, path);
}
