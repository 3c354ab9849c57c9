/**
 * Tells when the content of one file has changed: edited in place, replaced by a rename, or swapped
 * behind a symbolic link as Kubernetes does with ConfigMaps. Owns: noticing, and waiting until a
 * writer is done. Leaves: the meaning.
 *
 * The folder is watched, since a rename leaves a watched file behind; the file is also looked at
 * every few seconds, since no notice comes over network file systems, from behind links, or once
 * the system is out of watches.
 */
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { watch } from 'chokidar';
import type { Clock, Timer } from '../kernel/clock.ts';
import type { Logger } from '../kernel/log.ts';
import { contentDigest } from './content-digest.ts';

export interface FileWatcherOptions {
  readonly path: string;
  /**
   * `contentDigest` of what is known already; anything else is a change, even one from before the
   * start.
   */
  readonly knownDigest: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called after each change of the content; the next call waits for its promise. */
  readonly onChange: () => Promise<void>;
  /** Default: 3 s. */
  readonly pollIntervalMs?: number;
  /**
   * Whether its writer may not be done, by the content, or by there being none. Such a content
   * counts as written after a second of rest.
   */
  readonly isDoubtful?: (content: string | undefined) => boolean;
}

const POLL_INTERVAL_MS = 3_000;
/** The content must be the same twice, this far apart, before it counts as written. */
const SETTLE_MS = 150;
/** And for so long what looks as if its writer were not done. */
const SETTLE_DOUBTFUL_MS = 1_000;

/** Where Kubernetes keeps the present version of a mounted ConfigMap. */
const CONFIG_MAP_LINK = '..data';

/** `again`: something happened while it looked. */
type Phase = 'idle' | 'looking' | 'again' | 'closed';

export class FileWatcher {
  readonly #options: FileWatcherOptions;
  readonly #watcher;
  #phase: Phase = 'idle';
  #poll: Timer | undefined;
  #seen: string | undefined;
  #stamp: string | undefined;
  #look: Promise<void> = Promise.resolve();
  #endRest: () => void = () => {};

  constructor(options: FileWatcherOptions) {
    this.#options = options;
    this.#seen = options.knownDigest;
    const { path } = options;
    const folder = dirname(path);
    const watched = new Set([folder, path, join(folder, CONFIG_MAP_LINK)]);
    this.#watcher = watch(folder, {
      depth: 0,
      ignoreInitial: true,
      persistent: false,
      followSymlinks: false,
      ignored: (candidate) => !watched.has(candidate),
    });
    this.#watcher.on('ready', () => this.#notice());
    this.#watcher.on('all', () => this.#notice());
    this.#watcher.on('error', (error) => this.#warn(error));
    this.#schedulePoll();
  }

  /** Waits for a change that is being handled; afterwards none is any more. */
  async close(): Promise<void> {
    this.#phase = 'closed';
    this.#poll?.cancel();
    this.#endRest();
    await this.#watcher.close();
    await this.#look;
  }

  #notice(): void {
    if (this.#phase === 'looking') this.#phase = 'again';
    if (this.#phase !== 'idle') return;
    this.#phase = 'looking';
    this.#look = this.#lookUntilSettled();
  }

  async #lookUntilSettled(): Promise<void> {
    do {
      if (this.#is('again')) this.#phase = 'looking';
      if ((await this.#lookOnce()) === 'unsettled' && this.#is('looking')) this.#phase = 'again';
    } while (this.#is('again'));
    if (this.#is('looking')) this.#phase = 'idle';
  }

  async #lookOnce(): Promise<'settled' | 'unsettled'> {
    const { path, onChange, isDoubtful = () => false } = this.#options;
    const first = await contentOf(path);
    await this.#rest(SETTLE_MS);
    const second = await contentOf(path);
    if (first !== second) return 'unsettled';
    const digest = second === undefined ? undefined : contentDigest(second);
    if (digest === this.#seen) return 'settled';
    if (isDoubtful(second)) {
      await this.#rest(SETTLE_DOUBTFUL_MS - SETTLE_MS);
      if ((await contentOf(path)) !== second) return 'unsettled';
    }
    if (this.#is('closed')) return 'settled';
    this.#seen = digest;
    await onChange();
    return 'settled';
  }

  /** Cut short when it is closed. */
  async #rest(ms: number): Promise<void> {
    if (this.#is('closed')) return;
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(ms, resolve);
      this.#endRest = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #is(phase: Phase): boolean {
    return this.#phase === phase;
  }

  #schedulePoll(): void {
    const { clock, pollIntervalMs = POLL_INTERVAL_MS } = this.#options;
    this.#poll = clock.after(pollIntervalMs, () => void this.#pollOnce());
  }

  async #pollOnce(): Promise<void> {
    const stamp = await stampOf(this.#options.path);
    if (this.#is('closed')) return;
    if (stamp !== this.#stamp) this.#notice();
    this.#stamp = stamp;
    this.#schedulePoll();
  }

  #warn(error: unknown): void {
    const { log, path } = this.#options;
    log.warn({ error, file: basename(path) }, 'cannot watch a file; looking at it instead');
  }
}

/** Nothing while the file cannot be read, or is none: a pipe would hold its reader for ever. */
async function contentOf(path: string): Promise<string | undefined> {
  try {
    if (!(await stat(path)).isFile()) return undefined;
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Changes whenever the file behind the path does; cheap. */
async function stampOf(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(path);
    return [ino, size, mtimeMs, ctimeMs].join(' ');
  } catch {
    return undefined;
  }
}
