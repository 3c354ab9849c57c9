/**
 * What a proxy keeps on disk to start from: it comes back whole or not at all, no failure of the
 * disk reaches the proxy, and nobody else can read it.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { encodeConfig } from '@dbbouncer/shared/contract/config-text.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { LogFields, Logger } from '@dbbouncer/shared/kernel/log.ts';
import { someConfig, someTenant } from '../routing/testing.ts';
import { DiskCopy } from './disk-copy.ts';

let root: string;
let dir: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'disk-copy-'));
});
after(async () => {
  await rm(root, { recursive: true });
});
beforeEach(async () => {
  dir = await mkdtemp(join(root, 'proxy-'));
});

function copyIn(folder: string, log: Logger = silentLogger, delayMs = 5): DiskCopy {
  return new DiskCopy({ dir: folder, clock: systemClock, log, delayMs });
}

describe('DiskCopy', () => {
  const config = someConfig([someTenant('acme'), someTenant('globex')], { position: 42 });

  it('loads what was saved', async () => {
    const copy = copyIn(dir);
    copy.save(config);
    await copy.flush();
    const loaded = await copyIn(dir).load();
    assert(loaded !== undefined);
    assert.equal(encodeConfig(loaded), encodeConfig(config));
  });

  it('is readable by its owner alone and leaves no draft behind', async () => {
    await writeFile(join(dir, 'config.json.new'), 'half a config', { mode: 0o644 });
    const copy = copyIn(dir);
    copy.save(config);
    await copy.flush();
    assert.equal((await stat(join(dir, 'config.json'))).mode & 0o777, 0o600);
    assert.deepEqual(await readdir(dir), ['config.json']);
  });

  it('writes by itself after the delay, the newest only', async () => {
    const written = Promise.withResolvers<void>();
    const clock = {
      ...systemClock,
      after: (delayMs: number, fire: () => void) => {
        written.resolve();
        return systemClock.after(delayMs, fire);
      },
    };
    const copy = new DiskCopy({ dir, clock, log: silentLogger, delayMs: 1 });
    copy.save(config);
    copy.save({ ...config, position: 43 });
    await written.promise;
    await copy.flush();
    assert.equal((await copy.load())?.position, 43);
  });

  it('has on disk what was saved while it was writing, once flush resolves', async () => {
    const copy = copyIn(dir);
    copy.save(config);
    const first = copy.flush();
    copy.save({ ...config, position: 43 });
    await Promise.all([first, copy.flush()]);
    assert.equal((await copy.load())?.position, 43);
  });

  it('loads, with a seal, what was written with one of its keys, and no more', async () => {
    const [former, current, foreign] = [1, 2, 3].map((byte) => Buffer.alloc(32, byte));
    assert(former !== undefined && current !== undefined && foreign !== undefined);
    const sealing = (keys: readonly Buffer[], unsealed: 'accepted' | 'refused' = 'refused') => {
      const first = () => {
        if (keys[0] === undefined) throw new Error('there is no key');
        return keys[0];
      };
      const seal = { key: first, keys: () => [first(), ...keys.slice(1)], unsealed };
      return new DiskCopy({ dir, clock: systemClock, log: silentLogger, seal });
    };
    const loads = async (copy: DiskCopy) => (await copy.load())?.position;
    const copy = sealing([former]);
    copy.save(config);
    await copy.flush();
    assert.equal(await loads(sealing([former])), 42);
    assert.equal(await loads(sealing([current, former])), 42);
    assert.equal(await loads(sealing([foreign])), undefined);
    assert.equal(await loads(sealing([])), undefined);
    const path = join(dir, 'config.json');
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('"position":42', '"position":43'));
    assert.equal(await loads(sealing([former])), undefined);
    await writeFile(path, text.replace(/\nhmac-sha256 .*\n$/, ''));
    assert.equal(await loads(sealing([former])), undefined);
    assert.equal(await loads(sealing([former], 'accepted')), 42);
    assert.equal(await loads(sealing([])), 42);
  });

  it('loads nothing where there is no copy', async () => {
    assert.equal(await copyIn(dir).load(), undefined);
  });

  it('loads nothing from a copy that is cut short, and says so', async () => {
    const warnings: LogFields[] = [];
    const log: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) };
    await writeFile(join(dir, 'config.json'), encodeConfig(config).slice(0, -10));
    assert.equal(await copyIn(dir, log).load(), undefined);
    assert.deepEqual(warnings, [{ path: join(dir, 'config.json'), reason: 'SyntaxError' }]);
  });

  it('survives a folder that is gone: logs it and goes on', async () => {
    const warnings: LogFields[] = [];
    const log: Logger = { ...silentLogger, warn: (fields) => void warnings.push(fields) };
    const copy = copyIn(join(dir, 'gone'), log);
    copy.save(config);
    await copy.flush();
    assert.equal(warnings.length, 1);
  });

  it('keeps the former copy whole when a write fails', async () => {
    const copy = copyIn(dir);
    copy.save(config);
    await copy.flush();
    const before = await readFile(join(dir, 'config.json'), 'utf8');
    const broken = {
      ...config,
      get tenants(): never {
        throw new Error('broken');
      },
    };
    copy.save(broken);
    await copy.flush();
    assert.equal(await readFile(join(dir, 'config.json'), 'utf8'), before);
  });
});
