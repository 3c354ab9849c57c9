/**
 * A folder that one living process holds at a time, without any help from the holder's end: kill -9
 * frees it.
 *
 * How it works: the holder is named in the file `lock.<generation>` of the highest generation there
 * is.
 * 1. Who finds no such file, or one whose process is gone, makes the next generation. The file
 *   appears under its name complete (link), and for one process only.
 * 2. It looks again: a higher generation means that its view was old, and it gives way.
 * 3. The holder removes the lower generations. The highest is never removed, only outbid, so
 *   numbers do not come back; a holder that leaves in order writes `free` into its own.
 */
import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import { isAlive, ownMark } from './process-mark.ts';

const holderSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('held'), pid: z.int(), startedAt: z.string() }),
  z.strictObject({ kind: z.literal('free') }),
]);
type Holder = Readonly<z.infer<typeof holderSchema>>;

/** Frees the folder; once. */
export type ReleaseSlot = () => void;

/**
 * Takes `dir`, which exists, for this process; nothing when another living process, or this one,
 * holds it.
 */
export function takeSlot(dir: string): ReleaseSlot | undefined {
  for (;;) {
    const highest = highestGeneration(dir);
    if (highest > 0 && isHeld(dir, highest)) return undefined;
    const own = highest + 1;
    if (!place(dir, own, { kind: 'held', ...ownMark() })) continue;
    if (highestGeneration(dir) !== own) {
      rmSync(pathOf(dir, own), { force: true });
      continue;
    }
    for (const generation of generations(dir)) {
      if (generation < own) rmSync(pathOf(dir, generation), { force: true });
    }
    return () => free(dir, own);
  }
}

function pathOf(dir: string, generation: number): string {
  return join(dir, `lock.${generation}`);
}

function generations(dir: string): readonly number[] {
  return readdirSync(dir).flatMap((name) => {
    const found = /^lock\.([1-9][0-9]{0,14})$/.exec(name)?.[1];
    return found === undefined ? [] : [Number(found)];
  });
}

function highestGeneration(dir: string): number {
  return Math.max(0, ...generations(dir));
}

/** Whether its last holder is gone and has not freed it: killed, or the machine went down. */
export function isAbandoned(dir: string): boolean {
  const highest = highestGeneration(dir);
  const holder = highest === 0 ? undefined : holderOf(dir, highest);
  return holder?.kind === 'held' && !isAlive(holder);
}

function isHeld(dir: string, generation: number): boolean {
  const holder = holderOf(dir, generation);
  return holder?.kind === 'held' && isAlive(holder);
}

/**
 * A lock that cannot be read names nobody: files appear complete, so it was damaged from outside.
 */
function holderOf(dir: string, generation: number): Holder | undefined {
  try {
    return holderSchema.parse(JSON.parse(readFileSync(pathOf(dir, generation), 'utf8')));
  } catch {
    return undefined;
  }
}

/** Makes the lock of this generation; false when there is one. */
function place(dir: string, generation: number, holder: Holder): boolean {
  const draft = writeDraft(dir, holder);
  try {
    linkSync(draft, pathOf(dir, generation));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function free(dir: string, generation: number): void {
  // The folder may be gone with its parent: then there is nothing left to free.
  try {
    renameSync(writeDraft(dir, { kind: 'free' }), pathOf(dir, generation));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function writeDraft(dir: string, holder: Holder): string {
  const draft = join(dir, `.lock-${randomBytes(8).toString('hex')}`);
  writeFileSync(draft, JSON.stringify(holder), { mode: 0o600, flag: 'wx' });
  return draft;
}
