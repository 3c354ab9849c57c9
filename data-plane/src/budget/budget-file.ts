/**
 * What a proxy keeps of the budget, in its own folder: a whole in the first line, a change in each
 * line after it. What was saved is on the disk itself, not in a cache.
 * Owns: the file, counting the lives of the proxy. Leaves: what is in it to kept-budget.ts.
 *
 * A line that is cut off was never acknowledged: it ends the file. A file that cannot be read at
 * all means that nothing is known, which is safe: the proxy has no part of anything until a control
 * plane gives it one.
 */
import { open, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { syncPath } from '@dbbouncer/shared/files/durable-folder.ts';
import { timestampMs } from '@dbbouncer/shared/kernel/clock.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { bothOf, keptAfter, keptChangeSchema, NOTHING_KEPT, wholeOf } from './kept-budget.ts';
import type { KeptBudget, KeptChange } from './kept-budget.ts';

export interface BudgetFileOptions {
  /** `budget.jsonl` in it is the file; the folder exists and belongs to this process alone. */
  readonly dir: string;
  /** `configured`: an id may outlive its folder, and so may connections under its name. */
  readonly id: 'configured' | 'kept';
  readonly clock: Clock;
  readonly log: Logger;
}

/** A file that has grown by so much, and to twice its first line, is written anew. */
const CHANGES_BYTES_MAX = 256 * 1024;

export class BudgetFile {
  readonly #path: string;
  readonly #log: Logger;
  #kept: KeptBudget;
  /** As it was when this life began. */
  readonly atStart: KeptBudget;
  /** How long no control plane had been heard of then. */
  readonly silentMs: number;
  /** Whether earlier lives may have left server connections behind. */
  readonly left: 'nothing' | 'maybe';
  #unsaved: KeptChange | undefined;
  #saving: Promise<void> | undefined;
  #wholeBytes = 0;
  #changesBytes = 0;

  /** Begins another life, on disk. @throws the file system's error */
  constructor({ dir, id, clock, log }: BudgetFileOptions) {
    this.#path = join(dir, 'budget.jsonl');
    this.#log = log;
    const before = this.#read();
    const wallMs = timestampMs(clock.timestamp());
    // Of lives that are not known any more a later one has to have a higher number too.
    const isLost = before.life === 0 && id === 'configured';
    const life = isLost ? Math.floor(wallMs / 1_000) : before.life + 1;
    this.left = isLost || (before.life > 0 && before.ending === 'unknown') ? 'maybe' : 'nothing';
    this.atStart = { ...before, life, ending: 'unknown' };
    this.silentMs = silence(before, wallMs);
    this.#kept = this.atStart;
    this.#writeWhole();
  }

  get life(): number {
    return this.atStart.life;
  }

  /** Resolves when it is on disk, and all before it. @throws the file system's error */
  async save(change: KeptChange): Promise<void> {
    this.#unsaved = this.#unsaved === undefined ? change : bothOf(this.#unsaved, change);
    await this.settled();
  }

  /** Resolves when everything is on disk that was to be saved. @throws the file system's error */
  async settled(): Promise<void> {
    while (this.#unsaved !== undefined || this.#saving !== undefined) {
      this.#saving ??= this.#saveUnsaved().finally(() => (this.#saving = undefined));
      await this.#saving;
    }
  }

  /** What could not be saved is saved with what comes next. */
  async #saveUnsaved(): Promise<void> {
    const change = this.#unsaved;
    if (change === undefined) return;
    this.#unsaved = undefined;
    try {
      await this.#write(change);
    } catch (error) {
      const later: KeptChange | undefined = this.#unsaved;
      this.#unsaved = later === undefined ? change : bothOf(change, later);
      throw error;
    }
  }

  async #write(change: KeptChange): Promise<void> {
    const next = keptAfter(this.#kept, change);
    const line = lineOf(change);
    const most = Math.max(CHANGES_BYTES_MAX, this.#wholeBytes);
    if (this.#changesBytes === -1 || this.#changesBytes + line.length > most) {
      const whole = lineOf(wholeOf(next));
      await replaceFile(this.#path, whole);
      this.#wholeBytes = whole.length;
      this.#changesBytes = 0;
    } else {
      const written = this.#changesBytes;
      // Until it is known to be whole, nothing may follow it.
      this.#changesBytes = -1;
      await appendTo(this.#path, line);
      this.#changesBytes = written + line.length;
    }
    this.#kept = next;
  }

  #writeWhole(): void {
    const line = lineOf(wholeOf(this.#kept));
    const file = openSync(`${this.#path}.new`, 'w', 0o600);
    try {
      writeSync(file, line);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(`${this.#path}.new`, this.#path);
    syncPath(join(this.#path, '..'));
    this.#wholeBytes = line.length;
  }

  #read(): KeptBudget {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      return NOTHING_KEPT;
    }
    let kept = NOTHING_KEPT;
    const lines = text.split('\n');
    // What follows the last line end was cut off.
    lines.pop();
    for (const [index, line] of lines.entries()) {
      try {
        kept = keptAfter(kept, keptChangeSchema.parse(JSON.parse(line)));
      } catch (error) {
        const fields = { error, path: this.#path, line: index + 1 };
        this.#log.warn(fields, 'what was kept of the budget cannot be read: nothing is ours');
        return { ...NOTHING_KEPT, life: kept.life, term: kept.term };
      }
    }
    return kept;
  }
}

/** A clock that was set back says nothing: then it has been too long. */
function silence({ heardAt }: KeptBudget, wallMs: number): number {
  if (heardAt === undefined) return 0;
  const silentMs = wallMs - timestampMs(heardAt);
  return silentMs < -CLOCK_TOLERANCE_MS ? Infinity : Math.max(0, silentMs);
}

const CLOCK_TOLERANCE_MS = 60_000;

function lineOf(change: KeptChange): Buffer {
  return Buffer.from(`${JSON.stringify(change)}\n`);
}

async function appendTo(path: string, line: Buffer): Promise<void> {
  await withFile(path, 'a', async (file) => {
    await file.writeFile(line);
    await file.datasync();
  });
}

async function replaceFile(path: string, line: Buffer): Promise<void> {
  await withFile(`${path}.new`, 'w', async (file) => {
    await file.writeFile(line);
    await file.sync();
  });
  await rename(`${path}.new`, path);
  await withFile(join(path, '..'), 'r', async (folder) => await folder.sync());
}

async function withFile(
  path: string,
  flags: string,
  work: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags, 0o600);
  try {
    await work(file);
  } finally {
    await file.close();
  }
}
