/**
 * The demo as a newcomer meets it: printed lines that work when pasted, and nothing left behind.
 */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { Program } from '../support/processes.ts';
import { dbbouncer, processesMentioning, shell } from '../support/processes.ts';

const ANY_PORTS = ['--api-port', '0', '--postgres-port', '0', '--metrics-port', '0'];
const GONE_WITHIN_MS = 10_000;

describe('dbbouncer demo', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dbbouncer-demo-test-'));
    // As root, its PostgreSQL runs as another user.
    await chmod(folder, 0o755);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const start = (...args: string[]): Program =>
    dbbouncer(['demo', '--clients', '2', ...args], { env: { TMPDIR: folder } });

  async function assertNothingLeft(): Promise<void> {
    const deadline = performance.now() + GONE_WITHIN_MS;
    let left: string[] = [];
    do {
      left = [...(await readdir(folder)), ...processesMentioning(folder)];
      if (left.length === 0) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    } while (performance.now() < deadline);
    assert.deepEqual(left, []);
  }

  it('prints psql lines that answer from the database of their tenant', async () => {
    const demo = start(...ANY_PORTS);
    await demo.says(/Ctrl-C ends the demo/);
    const lines = [...demo.stdout.matchAll(/^ {2}(psql .*)$/gm)].map(([, line = '']) => line);
    assert.equal(lines.length, 2);
    const answers = await Promise.all(lines.map((line) => shell(line)));
    assert.match(answers[0]?.stdout ?? '', /acme +\| acme_shop/, answers[0]?.stderr);
    assert.match(answers[1]?.stdout ?? '', /globex +\| globex_shop/, answers[1]?.stderr);
    demo.signal('SIGINT');
    assert.equal((await demo.ended()).code, 0);
    await assertNothingLeft();
  });

  it('prints a curl line that lists both tenants and shows the load', async () => {
    const demo = start(...ANY_PORTS);
    await demo.says(/Ctrl-C ends the demo/);
    const [, line = ''] = await demo.says(/^ {2}(curl .*)$/m);
    const { tenants } = JSON.parse((await shell(`${line} -sS`)).stdout) as {
      tenants: { id: string }[];
    };
    assert.deepEqual(
      tenants.map(({ id }) => id),
      ['acme', 'globex'],
    );
    await demo.says(/acme [1-9]\d* queries\/s {2}globex [1-9]\d* queries\/s {2}4 clients share/);
    demo.signal('SIGTERM');
    assert.equal((await demo.ended()).code, 0);
    await assertNothingLeft();
  });

  it('leaves nothing behind when it is killed', async () => {
    const demo = start(...ANY_PORTS);
    await demo.says(/Ctrl-C ends the demo/);
    demo.signal('SIGKILL');
    assert.equal((await demo.ended()).signal, 'SIGKILL');
    await assertNothingLeft();
  });

  it('leaves nothing behind when it is told to stop while it starts', async () => {
    const demo = start(...ANY_PORTS);
    await demo.says(/Starting PostgreSQL/);
    demo.signal('SIGINT');
    assert.equal((await demo.ended()).code, 0);
    await assertNothingLeft();
  });

  it('runs twice at a time, the second on other ports than the first', async () => {
    const first = start();
    await first.says(/Ctrl-C ends the demo/);
    const second = start();
    await second.says(/Ctrl-C ends the demo/);
    const ports = [first, second].map(({ stdout }) => /port=(\d+)/.exec(stdout)?.[1]);
    assert.notEqual(ports[0], ports[1]);
    assert.match(second.stdout, /Port \d+ is in use; the demo takes \d+ instead/);
    first.signal('SIGINT');
    second.signal('SIGINT');
    assert.deepEqual([(await first.ended()).code, (await second.ended()).code], [0, 0]);
    await assertNothingLeft();
  });
});
