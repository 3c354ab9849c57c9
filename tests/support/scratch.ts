/**
 * The one temporary folder of this test process; it and the processes registered with it are gone
 * when the test process ends, be it by kill -9 (cli/src/demo/scratch-folder.ts).
 */
import { createScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';
import type { ScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';

let scratch: Promise<ScratchFolder> | undefined;

export function scratchOfTest(): Promise<ScratchFolder> {
  scratch ??= createScratchFolder('owner');
  return scratch;
}
