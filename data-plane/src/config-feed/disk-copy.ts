/**
 * The last good config on the proxy's own disk, for a start while the bus cannot be reached. Holds
 * what the config holds: secrets sealed or by reference, never in clear; and a seal in its last
 * line, so that nobody without the key can change it. Leaves: when to use it to feed.ts.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
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
  /** Without it the copy is believed as it is. */
  readonly seal?: CopySeal;
  readonly clock: Clock;
  readonly log: Logger;
  /** How long a change waits for more before it is written. Default is 500. */
  readonly delayMs?: number;
  /** What has to be on disk before a copy is; while it fails, no copy is written. */
  readonly before?: () => Promise<void>;
  /** Told once a copy is on disk. */
  readonly written?: () => void;
}

export interface CopySeal {
  /** What a seal is made with. @throws while there is none */
  readonly key: () => Uint8Array;
  /** What it may have been made with. @throws while there is none */
  readonly keys: () => readonly Uint8Array[];
  /** Whether a copy without a seal is believed. */
  readonly unsealed: 'accepted' | 'refused';
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
      const text = unsealed(await readFile(this.#path), this.#options.seal);
      const config = await finishWithRests(configFrom(text));
      if (this.#keptPosition === 0) this.#keptPosition = config.position;
      return config;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      const reason = error instanceof SealProblem ? error.message : (error as Error).name;
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
      await replaceFile(this.#path, sealed(configPieces(config), this.#options.seal));
      this.#keptPosition = config.position;
      written?.();
    } catch (error) {
      log.warn({ error, path: this.#path }, 'the config copy cannot be written');
    }
    this.#lastWriteMs = clock.nowMs() - startedMs;
  }
}

class SealProblem extends Error {
  override readonly name = 'SealProblem';
}

const SEAL = /^\nhmac-sha256 ([0-9a-f]{64})\n$/;
const SEAL_BYTES = 78;

/** The pieces, and behind them the seal; without one while there is no key. */
function* sealed(pieces: Iterable<Buffer>, seal: CopySeal | undefined): Iterable<Buffer> {
  const [key] = orNone(() => (seal === undefined ? [] : [seal.key()]));
  const mac = key === undefined ? undefined : createHmac('sha256', key);
  for (const piece of pieces) {
    mac?.update(piece);
    yield piece;
  }
  if (mac !== undefined) yield Buffer.from(`\nhmac-sha256 ${mac.digest('hex')}\n`);
}

/** @throws SealProblem when it is not what a process with one of the keys has written */
function unsealed(data: Buffer, seal: CopySeal | undefined): Buffer {
  const [, claimed] = SEAL.exec(data.subarray(-SEAL_BYTES).toString('latin1')) ?? [];
  const keys = orNone(() => seal?.keys() ?? []);
  if (claimed === undefined) {
    if (seal?.unsealed !== 'refused' || keys.length === 0) return data;
    throw new SealProblem('it bears no seal');
  }
  const text = data.subarray(0, -SEAL_BYTES);
  if (seal === undefined) return text;
  const isOurs = keys.some((key) =>
    timingSafeEqual(createHmac('sha256', key).update(text).digest(), Buffer.from(claimed, 'hex')),
  );
  if (isOurs) return text;
  throw new SealProblem(keys.length === 0 ? 'there is no key for its seal' : 'its seal is broken');
}

function orNone(keys: () => readonly Uint8Array[]): readonly Uint8Array[] {
  try {
    return keys();
  } catch {
    // A proxy without a master key has secrets by reference alone.
    return [];
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
