/** Whether a disk that was full has room for more than the next write. */
import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { controlErrors } from '../errors.ts';

/** Some dozens of writes: less would be used up at once. */
const FREE_BYTES_MIN = 1024 * 1024;

/** @throws STORE_FULL naming both numbers; the file system's error when it cannot say. */
export function requireFreeRoom(file: string): void {
  const { bavail, bsize } = statfsSync(dirname(file));
  const bytes = bavail * bsize;
  if (bytes >= FREE_BYTES_MIN) return;
  throw controlErrors.fail('STORE_FULL', `The disk of ${file} has ${bytes} bytes left.`, {
    hint: `Writing goes on by itself when ${FREE_BYTES_MIN} are free.`,
  });
}
