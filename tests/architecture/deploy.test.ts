/**
 * The examples in deploy/: what they set exists, what they ask exists, and whoever stops a proxy
 * waits for longer than transactions may go on.
 * Leaves: the grants of nats.conf to references.test.ts and tests/e2e/nats-grants.test.ts.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { settingsFlags } from '@dbbouncer/shared/settings/setting-list.ts';
import { ROOT } from './source-tree.ts';

const DEPLOY = join(ROOT, 'deploy');
const files = readdirSync(DEPLOY, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath, entry.name));
const textOf = (name: string) => readFileSync(join(DEPLOY, name), 'utf8');

/** Seconds; closing server connections and a supervisor's own margin come on top. */
const { settings } = resolveSettings({ flags: {}, env: {}, cwd: '/' });
const STOPS_WITHIN_S = settings.shutdownTimeoutMs / 1_000 + 8;

function secondsIn(text: string, pattern: RegExp): number {
  const found = pattern.exec(text);
  assert.ok(found !== null, `${pattern} is in it`);
  return Number(found[1]);
}

describe('the examples of deployments', () => {
  it('set variables that there are', () => {
    const known = new Set(settingsFlags.map(({ env }) => env));
    for (const file of files) {
      for (const [name] of readFileSync(file, 'utf8').matchAll(/\bDBBOUNCER_[A-Z_]+\b/g)) {
        // Of NATS, not of the processes: its streams and buckets.
        if (file.endsWith('nats.conf')) continue;
        assert.ok(known.has(name), `${name} in ${file} is a setting`);
      }
    }
  });

  it('wait for a proxy that stops for as long as it may take', () => {
    const compose = secondsIn(textOf('compose.yaml'), /stop_grace_period: (\d+)s/);
    assert.ok(compose >= STOPS_WITHIN_S, `compose waits ${compose} s`);
    const unit = secondsIn(textOf('systemd/dbbouncer-proxy.service'), /TimeoutStopSec=(\d+)s/);
    assert.ok(unit >= STOPS_WITHIN_S, `systemd waits ${unit} s`);
    const [, proxy = ''] = textOf('kubernetes/dbbouncer.yaml').split('name: dbbouncer-proxies, ');
    const grace = secondsIn(proxy, /terminationGracePeriodSeconds: (\d+)/);
    const asleep = secondsIn(proxy, /command: \[sleep, '(\d+)'\]/);
    assert.ok(grace - asleep >= STOPS_WITHIN_S, `Kubernetes waits ${grace} - ${asleep} s`);
  });

  it('ask for liveness and readiness where they are answered', () => {
    const probes = textOf('kubernetes/dbbouncer.yaml').matchAll(
      /(\w+)Probe:\s+\{ httpGet: \{ (.+?) \}/g,
    );
    assert.deepEqual(
      [...probes].map(([, kind, get]) => `${kind} { ${get}`),
      ['control plane', 'proxy'].flatMap(() => [
        'readiness { path: /ready, port: http',
        'liveness { path: /health, port: http',
      ]),
    );
    const images = ['control-plane', 'data-plane'].map((name) => textOf(`${name}.Dockerfile`));
    const [control = '', data = ''] = images;
    assert.match(control, new RegExp(`127\\.0\\.0\\.1:${settings.apiPort}/health'`));
    assert.match(data, new RegExp(`127\\.0\\.0\\.1:${settings.metricsPort}/healthz?'`));
  });

  it('name no key of the secret that its own line does not make', () => {
    const text = textOf('kubernetes/dbbouncer.yaml');
    const made = new Set([...text.matchAll(/--from-literal=([\w-]+)=/g)].map(([, key]) => key));
    const used = [...text.matchAll(/secretKeyRef: \{ name: dbbouncer, key: ([\w-]+) \}/g)];
    assert.deepEqual(new Set(used.map(([, key]) => key)), made);
  });
});

describe('the units of systemd', () => {
  const units = ['dbbouncer-proxy.service', 'dbbouncer-control-plane.service'];

  it('are understood by systemd', async () => {
    const run = promisify(execFile);
    const isHere = await run('systemd-analyze', ['--version']).catch(() => undefined);
    // Nothing else knows them; the machines that this is developed on have it.
    if (isHere === undefined) return;
    const folder = await mkdtemp(join(tmpdir(), 'units-'));
    try {
      for (const name of units) {
        const path = join(folder, name);
        await writeFile(path, textOf(`systemd/${name}`).replaceAll('/opt/dbbouncer', ROOT));
        const { stdout, stderr } = await run('systemd-analyze', ['verify', path]);
        // It may complain of other units of this machine.
        const ours = `${stdout}${stderr}`.split('\n').filter((line) => line.includes(name));
        assert.deepEqual(ours, []);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('replace workers at a reload, and outlive one that had no memory', () => {
    const unit = textOf('systemd/dbbouncer-proxy.service');
    for (const line of ['ExecReload=/bin/kill -USR2 $MAINPID', 'OOMPolicy=continue']) {
      assert.ok(unit.split('\n').includes(line), line);
    }
  });
});
