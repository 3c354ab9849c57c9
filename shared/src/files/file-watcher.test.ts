/**
 * When a change of the file is told: once it is settled, also where no notice comes, and never
 * after closing.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { systemClock } from '../kernel/clock.ts';
import { silentLogger } from '../kernel/log.ts';
import { contentDigest } from './content-digest.ts';
import { FileWatcher } from './file-watcher.ts';

let folder: string;
let watcher: FileWatcher | undefined;
/** The watcher's own timers keep no process alive. */
let alive: NodeJS.Timeout;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'dbb-watch-'));
  alive = setInterval(() => {}, 1_000);
});
afterEach(async () => {
  await watcher?.close();
  clearInterval(alive);
  rmSync(folder, { recursive: true });
});

class Changes {
  #count = 0;
  #notify = (): void => {};

  get count(): number {
    return this.#count;
  }

  add(): void {
    this.#count += 1;
    this.#notify();
  }

  async reached(count: number): Promise<void> {
    while (this.count < count) {
      await new Promise<void>((resolve) => {
        this.#notify = resolve;
      });
    }
  }
}

function watch(
  path: string,
  pollIntervalMs = 60_000,
  isDoubtful?: (content: string | undefined) => boolean,
): Changes {
  const changes = new Changes();
  watcher = new FileWatcher({
    path,
    knownDigest: contentDigest('a'),
    clock: systemClock,
    log: silentLogger,
    pollIntervalMs,
    ...(isDoubtful && { isDoubtful }),
    onChange: async () => changes.add(),
  });
  return changes;
}

describe('FileWatcher', () => {
  it('tells a burst of writes once, when the last one is there', async () => {
    const path = join(folder, 'c.yaml');
    writeFileSync(path, 'a');
    const changes = watch(path);
    for (const text of ['ab', 'abc', 'abcd']) writeFileSync(path, text);
    await changes.reached(1);
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(changes.count, 1);
  });

  it('tells a change from before it was started', async () => {
    const path = join(folder, 'c.yaml');
    writeFileSync(path, 'b');
    await watch(path).reached(1);
  });

  it('waits a second for the rest of what looks as if its writer were not done', async () => {
    const path = join(folder, 'c.yaml');
    writeFileSync(path, 'a');
    const changes = watch(path, 60_000, (content) => content?.endsWith('\n') !== true);
    writeFileSync(path, 'first half of');
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(changes.count, 0);
    writeFileSync(path, 'first half of it, and the second\n');
    await changes.reached(1);
    const before = performance.now();
    writeFileSync(path, 'that is all of it');
    await changes.reached(2);
    assert.ok(performance.now() - before >= 950);
  });

  it('does not tell what leaves the content as it was', async () => {
    const path = join(folder, 'c.yaml');
    writeFileSync(path, 'a');
    const changes = watch(path);
    utimesSync(path, 1, 1);
    writeFileSync(path, 'a');
    writeFileSync(join(folder, 'other.yaml'), 'b');
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(changes.count, 0);
  });

  it('finds by looking what no notice tells: a change behind a link elsewhere', async () => {
    const elsewhere = join(folder, 'elsewhere');
    mkdirSync(elsewhere);
    writeFileSync(join(elsewhere, 'real.yaml'), 'a');
    mkdirSync(join(folder, 'etc'));
    const path = join(folder, 'etc', 'c.yaml');
    symlinkSync(join(elsewhere, 'real.yaml'), path);
    const changes = watch(path, 50);
    writeFileSync(join(elsewhere, 'real.yaml'), 'b');
    await changes.reached(1);
  });

  it('tells that a file went and that it came back', async () => {
    const path = join(folder, 'c.yaml');
    writeFileSync(path, 'a');
    const changes = watch(path, 50);
    rmSync(path);
    await changes.reached(1);
    writeFileSync(path, 'a');
    await changes.reached(2);
  });

  it('tells nothing after it was closed', async () => {
    const path = join(folder, 'c.yaml');
    writeFileSync(path, 'a');
    const changes = watch(path, 20);
    writeFileSync(path, 'b');
    await watcher?.close();
    const atClose = changes.count;
    writeFileSync(path, 'c');
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(changes.count, atClose);
  });
});
