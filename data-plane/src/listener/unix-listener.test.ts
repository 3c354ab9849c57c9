/** Socket files: which are replaced, which are left alone, and what is left at the end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { UnixListener } from './unix-listener.ts';

const folder = mkdtempSync(join(tmpdir(), 'dbb-unix-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const listen = (path: string) =>
  UnixListener.listen({
    path,
    pathBytesMax: 107,
    mode: 0o777,
    keepaliveIdleMs: 0,
    backlog: 10,
    log: silentLogger,
    // Whoever only knocks is gone before it can be greeted.
    accept: (socket) => socket.on('error', () => {}).end('welcome'),
  });

async function greetingAt(path: string): Promise<string> {
  const [chunk] = (await once(connect(path), 'data')) as [Buffer];
  return chunk.toString();
}

describe('UnixListener', () => {
  it('replaces a file on which nobody listens, and removes its own at the end', async () => {
    const path = join(folder, 'stale');
    const killed = createServer().listen(join(folder, 'before'));
    await once(killed, 'listening');
    // Closing removes the file where it was made: under another name it stays, as after kill -9.
    renameSync(join(folder, 'before'), path);
    await new Promise((resolve) => killed.close(resolve));
    assert.equal(existsSync(path), true);
    const listener = await listen(path);
    assert.equal(await greetingAt(path), 'welcome');
    await listener.stop();
    assert.equal(existsSync(path), false);
  });

  it('leaves a file alone on which somebody listens', async () => {
    const path = join(folder, 'live');
    const first = await listen(path);
    await assert.rejects(listen(path), { code: 'SETTINGS_INVALID', message: /is in use$/ });
    assert.equal(await greetingAt(path), 'welcome');
    await first.stop();
  });

  it('leaves a file alone that is no socket', async () => {
    const path = join(folder, 'notes');
    writeFileSync(path, 'precious');
    await assert.rejects(listen(path), { message: /is there and is no socket$/ });
    assert.equal(readFileSync(path, 'utf8'), 'precious');
  });

  it('refuses a path of 108 bytes, and a folder that is not there', async () => {
    const long = join(folder, 'x'.repeat(107 - folder.length));
    await assert.rejects(listen(long), { message: /has 108 bytes; 107 are allowed$/ });
    await assert.rejects(listen(join(folder, 'none', 'file')), { code: 'SETTINGS_INVALID' });
  });
});
