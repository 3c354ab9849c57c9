/**
 * Files that hold a generated secret: made once, readable by their owner alone, never half written.
 */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder, syncPath } from '../files/durable-folder.ts';

export type SecretFileOutcome = 'created' | 'existed';

/**
 * Makes `path` (mode 0600) holding `content()` and a line end, unless it exists; also its folder
 * (mode 0700) where there is none. Both are on disk when this returns: what is sealed with a key
 * must not outlive it. When two processes make it at once, one wins and the other sees the
 * winner's.
 * @throws the file system's error, for example when the folder cannot be written.
 */
export function createSecretFile(path: string, content: () => string): SecretFileOutcome {
  makeFolder(dirname(path));
  // Where it is there, a start needs no room on the disk.
  if (existsSync(path)) return 'existed';
  const draft = `${path}.${randomBytes(6).toString('hex')}`;
  writeDraft(draft, content());
  try {
    placeExclusively(draft, path);
    syncPath(dirname(path));
    return 'created';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return 'existed';
  } finally {
    rmSync(draft, { force: true });
  }
}

/** A copy where the file system has no links: not atomic, but it does not overwrite either. */
function placeExclusively(draft: string, path: string): void {
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw error;
    copyFileSync(draft, path, constants.COPYFILE_EXCL);
  }
}

function writeDraft(path: string, text: string): void {
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, `${text}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
