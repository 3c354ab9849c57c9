/**
 * A disk of a few megabytes that a test can fill: a tmpfs where this user may mount one.
 * Where not, there is none, and who needs it has the kernel say so instead (failing-disk.ts).
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const CHUNK = Buffer.alloc(64 * 1024);

export class SmallDisk {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** At `folder`, which is made; nothing when this user may not mount. */
  static mount(folder: string, megabytes: number): SmallDisk | undefined {
    mkdirSync(folder, { recursive: true });
    const options = ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder];
    return spawnSync('mount', options).status === 0 ? new SmallDisk(folder) : undefined;
  }

  /** Until not one byte more fits. */
  fill(): void {
    const file = openSync(join(this.#folder, 'filler'), 'w');
    try {
      for (let bytes = CHUNK.length; bytes >= 1; bytes = Math.floor(bytes / 2)) {
        writeWhileRoom(file, CHUNK.subarray(0, bytes));
      }
    } finally {
      closeSync(file);
    }
  }

  free(): void {
    rmSync(join(this.#folder, 'filler'));
  }

  unmount(): void {
    spawnSync('umount', ['-l', this.#folder]);
  }
}

function writeWhileRoom(file: number, bytes: Buffer): void {
  for (;;) {
    try {
      writeSync(file, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      return;
    }
  }
}
