/** What can be read again and again: who reads a pipe waits for a writer that may never come. */
import { statSync } from 'node:fs';

/** Also behind a link; `no` for pipes, sockets, devices and folders, and where nothing is. */
export function isRegularFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
