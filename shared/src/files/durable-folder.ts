/**
 * Folders and names that survive a power loss: a new name is on disk once the folder that holds it
 * was synced. Leaves: what is in a file to whoever writes it.
 * Source: fsync(2) ("an explicit fsync() on a file descriptor for the directory is also needed").
 */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder (mode 0700), and those above it that are not there, and has them on disk when it
 * returns. @throws the file system's error.
 */
export function makeFolder(path: string): void {
  const folder = resolve(path);
  const first = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  const above = dirname(first);
  for (let holder = dirname(folder); ; holder = dirname(holder)) {
    syncPath(holder);
    if (holder === above) return;
  }
}

/** Waits until a file, or the names in a folder, are on disk. @throws the file system's error. */
export function syncPath(path: string): void {
  const handle = openSync(path, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
