/**
 * What a person sees who types `dbbouncer ...`: help, exit codes, and mistakes told in one line.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { dbbouncer, Program, ROOT } from '../support/processes.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dbbouncer-cli-'));
});
after(() => rm(folder, { recursive: true }));

const run = (...args: string[]) => dbbouncer(args, { cwd: folder }).ended();

/** Ports of their own, so that tests can run beside each other and beside a real installation. */
const ANY_PORTS = ['--api-port', '0', '--postgres-port', '0', '--metrics-port', '0'];
const LOCAL = ['--host', '127.0.0.1', ...ANY_PORTS];

describe('dbbouncer help', () => {
  it('names every command and ends with 0', async () => {
    const { code, stdout } = await run('--help');
    assert.equal(code, 0);
    for (const name of ['up', 'control-plane', 'proxy', 'demo', 'config', 'version']) {
      assert.match(stdout, new RegExp(`^  ${name}\\b`, 'm'));
    }
  });

  it('shows each flag with its default and its variable', async () => {
    const { stdout } = await run('up', '--help');
    const flat = stdout.replaceAll(/\s+/g, ' ');
    assert.match(flat, /--postgres-port <N> [^<]*\(default 6432, DBBOUNCER_POSTGRES_PORT\)/);
    assert.match(flat, /--nats <URL> [^<]*\(DBBOUNCER_NATS\)/);
  });

  it('offers a command only the flags it heeds', async () => {
    const [control, proxy] = await Promise.all([
      run('control-plane', '--help'),
      run('proxy', '--help'),
    ]);
    assert.doesNotMatch(control.stdout, /--postgres-port <N>/);
    assert.doesNotMatch(proxy.stdout, /--api-port <N>/);
  });

  it('goes to stderr with exit code 2 when no command is given', async () => {
    const { code, stdout, stderr } = await run();
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
    assert.match(stderr, /Usage: dbbouncer/);
  });

  it('prints the version of the package', async () => {
    const { code, stdout } = await run('version');
    assert.equal(code, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });
});

describe('dbbouncer told something it cannot use', () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['an unknown command', ['uo'], /^dbbouncer: unknown command 'uo'/],
    ['an unknown flag', ['up', '--prot', '1'], /^dbbouncer: unknown option '--prot'/],
    ['a flag without its value', ['up', '--api-port'], /^dbbouncer: .*'--api-port <N>'/],
    ['an argument too many', ['up', 'now'], /^dbbouncer: too many arguments/],
    ['a port that is none', ['up', '--api-port', '65536'], /--api-port must be .* got "65536"/],
    ['a missing config file', ['up', '--config', 'no.yaml'], /no\.yaml:1:1: cannot be read/],
    ['control-plane without NATS', ['control-plane'], /--nats URL[^]*dbbouncer up/],
    ['proxy without NATS', ['proxy'], /--nats URL[^]*dbbouncer up/],
    [
      'a proxy id too long for the names of workers',
      ['proxy', '--nats', 'nats://n', '--workers', '3', '--proxy-id', 'x'.repeat(28)],
      /has 28 characters; with several workers 27 are allowed/,
    ],
    ['a load that is no number', ['demo', '--clients', 'many'], /--clients must be .* "many"/],
  ];
  for (const [what, args, words] of cases) {
    it(`ends with 2 and says why: ${what}`, async () => {
      const { code, stdout, stderr } = await run(...args);
      assert.deepEqual({ code, stdout }, { code: 2, stdout: '' });
      assert.match(stderr, words);
      assert.doesNotMatch(stderr, /^\s+at /m);
    });
  }
});

describe('dbbouncer config check', () => {
  it('ends with 0 for a right file and with 1 and the places of what is wrong', async () => {
    const right = join(folder, 'right.yaml');
    const wrong = join(folder, 'wrong.yaml');
    await writeFile(right, 'listen: { postgres_port: 7000 }\n');
    await writeFile(wrong, 'listen:\n  postgres_port: 70000\n');
    const good = await run('config', 'check', right);
    assert.deepEqual([good.code, good.stderr], [0, '']);
    const bad = await run('config', 'check', wrong);
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /wrong\.yaml:2:\d+: listen\.postgres_port must be/);
    assert.match(bad.stderr, /\n {2}2 \| {3}postgres_port: 70000\n {4}\| {18}\^\n/);
  });
});

describe('dbbouncer up', () => {
  it('says where everything is, and ends with 0 on SIGTERM', async () => {
    const program = dbbouncer(['up', ...LOCAL, '--data-dir', 'data'], { cwd: folder });
    const [, url = ''] = await program.says(/REST API +(http:\S+),/);
    await program.says(/psql "host=127\.0\.0\.1 port=\d+ [^]*Ctrl-C stops it\./);
    assert.equal((await fetch(`${url}/health`)).status, 200);
    assert.equal((await fetch(`${url}/tenants`)).status, 401);
    assert.equal((await stat(join(folder, 'data', 'api.key'))).mode & 0o777, 0o600);
    program.signal('SIGTERM');
    const { code, stderr } = await program.ended();
    assert.equal(code, 0, stderr);
  });

  it('ends with a code other than 0 and names the flag when a port is in use', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const args = ['up', ...LOCAL, '--postgres-port', String(port), '--data-dir', 'taken'];
    const { code, stderr } = await run(...args);
    taken.close();
    assert.ok(code === 1 || code === 2, `exit code ${code}`);
    assert.match(stderr, new RegExp(`${port}[^]*--postgres-port`));
    assert.doesNotMatch(stderr, /^\s+at /m);
  });
});

describe('the launcher', () => {
  it('runs from the checkout as npx finds it', async () => {
    const linked = join(ROOT, 'node_modules', '.bin', 'dbbouncer');
    const { code, stdout } = await new Program(linked, ['version'], { cwd: folder }).ended();
    assert.equal(code, 0);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  });
});
