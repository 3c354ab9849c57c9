/**
 * The last good config on the proxy's own disk, for a start while the bus cannot be reached. Holds
 * what the config holds: secrets sealed or by reference, never in clear. Leaves: when to use it to
 * feed.ts.
 */
import { open, readFile, rename, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { configFrom, configPieces } from '@dbbouncer/shared/contract/config-text.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { finishWithRests } from '@dbbouncer/shared/kernel/steps.ts';

export interface DiskCopyOptions {
  /** `config.json` in it is the copy; the folder exists and belongs to this process alone. */
  readonly dir: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a change waits for more before it is written. Default is 500. */
  readonly delayMs?: number;
  /** What has to be on disk before a copy is; while it fails, no copy is written. */
  readonly before?: () => Promise<void>;
  /** Told once a copy is on disk. */
  readonly written?: () => void;
}

const DELAY_MS = 500;
/** At most one part in so many of the time goes into writing, however large the config is. */
const WRITE_TIME_SHARE = 10;

export class DiskCopy {
  readonly #path: string;
  readonly #options: DiskCopyOptions;
  #unsaved: RoutingConfig | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> | undefined;
  #lastWriteMs = 0;
  #keptPosition: Position = 0;

  constructor(options: DiskCopyOptions) {
    this.#path = join(options.dir, 'config.json');
    this.#options = options;
  }

  /** Of the copy on disk, as far as it was read or written: no older config will be served. */
  get keptPosition(): Position {
    return this.#keptPosition;
  }

  /** The copy, or nothing when there is none that can be read. */
  async load(): Promise<RoutingConfig | undefined> {
    try {
      const config = await finishWithRests(configFrom(await readFile(this.#path)));
      if (this.#keptPosition === 0) this.#keptPosition = config.position;
      return config;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      const reason = error instanceof Error ? error.name : 'unknown';
      this.#options.log.warn({ path: this.#path, reason }, 'the config copy cannot be used');
      return undefined;
    }
  }

  /** Has `config` written soon; a later one replaces it while it waits. */
  save(config: RoutingConfig): void {
    this.#unsaved = config;
    if (this.#timer !== undefined || this.#writing !== undefined) return;
    const delayMs = this.#options.delayMs ?? DELAY_MS;
    const restMs = Math.max(delayMs, this.#lastWriteMs * WRITE_TIME_SHARE);
    this.#timer = this.#options.clock.after(restMs, () => {
      this.#timer = undefined;
      this.#writing = this.#writeUnsaved();
    });
  }

  /**
   * Writes now what waits; resolves when all of it is on disk. A failure is logged: the proxy
   * serves without.
   */
  async flush(): Promise<void> {
    while (this.#unsaved !== undefined || this.#writing !== undefined) {
      this.#timer?.cancel();
      this.#timer = undefined;
      this.#writing ??= this.#writeUnsaved();
      await this.#writing;
    }
  }

  async #writeUnsaved(): Promise<void> {
    const config = this.#unsaved;
    this.#unsaved = undefined;
    if (config !== undefined) await this.#write(config);
    this.#writing = undefined;
    if (this.#unsaved !== undefined) this.save(this.#unsaved);
  }

  async #write(config: RoutingConfig): Promise<void> {
    const { clock, log, before, written } = this.#options;
    const startedMs = clock.nowMs();
    try {
      await before?.();
      await replaceFile(this.#path, configPieces(config));
      this.#keptPosition = config.position;
      written?.();
    } catch (error) {
      log.warn({ error, path: this.#path }, 'the config copy cannot be written');
    }
    this.#lastWriteMs = clock.nowMs() - startedMs;
  }
}

/** Readers find the old or the new content whole, also after a loss of power. */
async function replaceFile(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const draft = `${path}.new`;
  await rm(draft, { force: true });
  const file = await open(draft, 'wx', 0o600);
  try {
    for (const chunk of chunks) await file.writeFile(chunk);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  await syncFolder(dirname(path));
}

async function syncFolder(path: string): Promise<void> {
  const folder: FileHandle = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
