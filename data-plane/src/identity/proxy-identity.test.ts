/**
 * A proxy keeps its id over restarts and crashes, and no two living ones of a data folder share
 * one: shown with real processes that start at once and are killed.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { isAlive, ownMark } from './process-mark.ts';
import { familyId, takeIdentity, takeWorkerIdentity } from './proxy-identity.ts';

let root: string;
let dataDir: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'proxy-identity-'));
});
after(async () => {
  await rm(root, { recursive: true });
});
beforeEach(async () => {
  dataDir = await mkdtemp(join(root, 'data-'));
});

/** Another process that holds an identity until it is killed. */
async function holder(): Promise<{ child: ChildProcess; proxyId: string; dir: string }> {
  const module = new URL('./proxy-identity.ts', import.meta.url).href;
  const script = `
    const { takeIdentity } = await import(${JSON.stringify(module)});
    const { proxyId, dir } = takeIdentity(${JSON.stringify(dataDir)});
    process.stdout.write(JSON.stringify({ proxyId, dir }));
    setInterval(() => {}, 60_000);`;
  const args = ['--input-type=module', '-e', script];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, ...(JSON.parse(line.toString()) as { proxyId: string; dir: string }) };
}

async function killHard(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

describe('takeIdentity', () => {
  it('makes an id of "p-" and 8 base32 characters and keeps it over restarts', () => {
    const first = takeIdentity(dataDir);
    assert.match(first.proxyId, /^p-[a-z2-7]{8}$/);
    assert.equal(first.dir, join(dataDir, 'proxies', '1'));
    first.release();
    const second = takeIdentity(dataDir);
    assert.equal(second.proxyId, first.proxyId);
    assert.equal(second.dir, first.dir);
  });

  it('gives a second proxy of one data directory another folder and another id', () => {
    const first = takeIdentity(dataDir);
    const second = takeIdentity(dataDir);
    assert.notEqual(second.dir, first.dir);
    assert.notEqual(second.proxyId, first.proxyId);
    first.release();
    assert.equal(takeIdentity(dataDir).proxyId, first.proxyId);
  });

  it('takes over from a proxy that was ended with kill -9, not from one that lives', async () => {
    const dead = await holder();
    const alive = await holder();
    try {
      assert.notEqual(alive.dir, dead.dir);
      await killHard(dead.child);
      const own = takeIdentity(dataDir);
      assert.deepEqual([own.proxyId, own.dir], [dead.proxyId, dead.dir]);
      assert.equal(takeIdentity(dataDir).dir, join(dataDir, 'proxies', '3'));
    } finally {
      await killHard(alive.child);
    }
  });

  it('takes the folder of one that was killed before one that was left in order', async () => {
    const first = takeIdentity(dataDir);
    const killed = await holder();
    first.release();
    await killHard(killed.child);
    const [back, next] = [takeIdentity(dataDir), takeIdentity(dataDir)];
    assert.deepEqual([back.proxyId, back.dir], [killed.proxyId, killed.dir]);
    assert.deepEqual([next.proxyId, next.dir], [first.proxyId, first.dir]);
  });

  it('gives 6 proxies that start at once 6 folders, stale locks in the way', async () => {
    const stale = JSON.stringify({ kind: 'held', pid: process.pid, startedAt: 'long ago' });
    for (const slot of ['1', '2', '3']) {
      await mkdir(join(dataDir, 'proxies', slot), { recursive: true });
      await writeFile(join(dataDir, 'proxies', slot, 'lock.7'), stale);
    }
    const holders = await Promise.all(Array.from({ length: 6 }, holder));
    await Promise.all(holders.map(async ({ child }) => await killHard(child)));
    assert.equal(new Set(holders.map(({ dir }) => dir)).size, 6);
    assert.equal(new Set(holders.map(({ proxyId }) => proxyId)).size, 6);
    assert.deepEqual((await readdir(join(dataDir, 'proxies'))).toSorted(), [
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
    ]);
  });

  it('does not take a process with the same pid for one that ended long ago', () => {
    assert.equal(isAlive(ownMark()), true);
    assert.equal(isAlive({ pid: process.pid, startedAt: 'long ago' }), false);
  });

  it('takes the configured id and does not keep it', () => {
    const configured = takeIdentity(dataDir, 'edge-1');
    assert.equal(configured.proxyId, 'edge-1');
    configured.release();
    assert.match(takeIdentity(dataDir).proxyId, /^p-/);
  });

  it('refuses a configured id of unknown form', () => {
    assert.throws(() => takeIdentity(dataDir, 'no spaces'), {
      code: 'SETTINGS_INVALID',
      message: '"no spaces" cannot be a proxy id',
    });
  });

  it('refuses a data directory that is a file, naming it', async () => {
    const file = join(dataDir, 'file');
    await writeFile(file, '');
    assert.throws(() => takeIdentity(file), {
      code: 'SETTINGS_INVALID',
      message: `Data directory "${file}" cannot be used: ENOTDIR`,
    });
  });

  it('survives damaged files: the lock counts as free, the id is made anew', async () => {
    const first = takeIdentity(dataDir);
    first.release();
    await writeFile(join(first.dir, 'identity.json'), '{"proxyId":');
    for (const name of await readdir(first.dir)) {
      if (name.startsWith('lock.')) await writeFile(join(first.dir, name), '');
    }
    const second = takeIdentity(dataDir);
    assert.equal(second.dir, first.dir);
    assert.match(second.proxyId, /^p-[a-z2-7]{8}$/);
    assert.notEqual(second.proxyId, first.proxyId);
  });

  it('leaves one lock and one identity behind, for the owner alone', async () => {
    for (let restart = 0; restart < 5; restart++) takeIdentity(dataDir).release();
    const { dir } = takeIdentity(dataDir);
    const files = (await readdir(dir)).toSorted();
    assert.deepEqual(files, ['identity.json', 'lock.6']);
    assert.equal((await stat(dir)).mode & 0o777, 0o700);
    for (const file of files) assert.equal((await stat(join(dir, file))).mode & 0o777, 0o600);
  });

  it('can be released after its folder is gone', async () => {
    const identity = takeIdentity(dataDir);
    await rm(dataDir, { recursive: true });
    identity.release();
  });
});

describe('takeWorkerIdentity', () => {
  it('names each worker after the supervisor and its folder', () => {
    const family = familyId(dataDir, 'eu');
    const [one, two] = [takeWorkerIdentity(dataDir, family), takeWorkerIdentity(dataDir, family)];
    assert.deepEqual([one.proxyId, two.proxyId], ['eu-1', 'eu-2']);
    assert.equal(two.dir, join(dataDir, 'proxies', '2'));
    one.release();
    const third = takeWorkerIdentity(dataDir, family);
    assert.equal(third.proxyId, 'eu-1', 'the folder that is free, and the id of whoever has it');
    third.release();
    two.release();
  });

  it('does not touch the id that is kept in the folder', () => {
    const alone = takeIdentity(dataDir);
    alone.release();
    takeWorkerIdentity(dataDir, familyId(dataDir)).release();
    const again = takeIdentity(dataDir);
    assert.equal(again.proxyId, alone.proxyId);
    again.release();
  });
});

describe('familyId', () => {
  it('is made once and kept', () => {
    const made = familyId(dataDir);
    assert.match(made, /^p-[a-z2-7]{8}$/);
    assert.equal(familyId(dataDir), made);
  });

  it('may be configured with 27 characters, not with 28', () => {
    assert.equal(familyId(dataDir, 'x'.repeat(27)).length, 27);
    assert.throws(() => familyId(dataDir, 'x'.repeat(28)), {
      code: 'SETTINGS_INVALID',
      message: /has 28 characters; with several workers 27 are allowed$/,
    });
    assert.throws(() => familyId(dataDir, 'no id'), { code: 'SETTINGS_INVALID' });
  });
});
