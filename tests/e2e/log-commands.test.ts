/**
 * verify, replay, backup, restore and rebuild as a person types them, on the data folder of a
 * control plane that runs and goes on writing.
 */
import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import { dbbouncer } from '../support/processes.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { ApiClient } from './api-client.ts';

const KEY = 'a-key-of-the-log-commands-test';
let plane: DbbouncerProcess;
let api: ApiClient;
let folder: string;
/** When acme had its first host, as the API says it. */
let firstTime: string;

const run = (...args: string[]) => dbbouncer(args, { cwd: folder }).ended();
const onPlane = (...args: string[]) => run(...args, '--data-dir', plane.dataDir);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dbbouncer-log-'));
  plane = await DbbouncerProcess.start({ command: 'up', env: { DBBOUNCER_API_KEY: KEY } });
  api = new ApiClient(plane.apiUrl, KEY);
  const tenant = { port: 1, dbname: 'd', username: 'u', password: 'planted-secret' };
  const added = await api.addTenant({ id: 'acme', host: 'one', ...tenant });
  firstTime = String(added.body['created_at']);
  while (new Date().toISOString() <= firstTime) await api.fleet();
  await api.call('POST', '/tenants/acme/pause');
  await api.addTenant({ id: 'beta', host: 'two', ...tenant, password: '${BETA}' });
});
after(async () => {
  await plane.stop();
  await rm(folder, { recursive: true });
});
tellLogsOfFailures();

describe('dbbouncer verify', () => {
  it('finds the log of a running control plane whole, while that goes on writing', async () => {
    const verified = new AbortController();
    const writing = (async () => {
      while (!verified.signal.aborted) await api.call('POST', '/tenants/beta/reconnect');
    })();
    const { code, stdout, stderr } = await onPlane('verify');
    verified.abort();
    await writing;
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^The log is whole: \d+ events, [^]*\nHash of the last: [0-9a-f]{64}\n$/);
  });

  it('ends with 1 and the position when a byte of a backup is another one', async () => {
    const data = join(folder, 'tampered');
    await mkdir(data);
    const file = join(data, 'dbbouncer.db');
    assert.equal((await onPlane('backup', file)).code, 0);
    // Everywhere it stands: pages keep what was moved off them.
    const written = await readFile(file, 'latin1');
    const changed = written.replaceAll(
      '"databases":[],"host":"two"',
      '"databases":[],"host":"Two"',
    );
    assert.notEqual(changed, written);
    await writeFile(file, changed, 'latin1');
    const { code, stdout, stderr } = await run('verify', '--data-dir', data);
    assert.deepEqual([code, stdout], [1, '']);
    assert.equal(stderr, 'dbbouncer: position 3: its content does not have its hash\n');
    const copy = join(folder, 'copy-of-tampered');
    const backup = await run('backup', copy, '--data-dir', data);
    assert.equal(backup.code, 1);
    assert.match(backup.stderr, /not as it was written: position 3: its content/);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.startsWith('copy')),
      [],
    );
  });

  it('ends with 2 where there is no log', async () => {
    const { code, stderr } = await run('verify', '--data-dir', 'nowhere');
    assert.equal(code, 2);
    assert.match(stderr, /^dbbouncer: There is no event log at .*nowhere\/dbbouncer\.db/);
  });
});

describe('dbbouncer verify --nats', () => {
  it('compares the log with the bus, of which restore makes the same log', async (t) => {
    const nats = await startNatsServer();
    t.after(() => nats.stop());
    const args = ['--nats', nats.url];
    const env = { DBBOUNCER_API_KEY: KEY };
    const control = await DbbouncerProcess.start({ command: 'control-plane', args, env });
    t.after(() => control.kill());
    const own = new ApiClient(control.apiUrl, KEY);
    await own.addTenant({ id: 'a', port: 1, dbname: 'd', username: 'u', password: '${P}' });
    await eventually('the event is on the bus', async () => {
      const { publishers } = (await own.get('/fleet')) as { publishers: Publishers };
      return publishers.events.position === 1;
    });
    const same = await run('verify', '--data-dir', control.dataDir, ...args);
    assert.deepEqual([same.code, same.stderr], [0, '']);
    assert.match(same.stdout, /\nThe bus has the same: 1 event\.\n$/);

    const data = join(folder, 'from-the-bus');
    const restored = await run('restore', '--data-dir', data, ...args);
    assert.deepEqual([restored.code, restored.stderr], [0, '']);
    const again = await run('verify', '--data-dir', data, ...args);
    assert.deepEqual([again.code, again.stdout], [0, same.stdout], again.stderr);
    assert.ok(!(await readdir(data)).includes('received'), 'what it worked in is gone');

    // Another log, and the bus of the first.
    const other = await run('verify', '--data-dir', plane.dataDir, ...args);
    assert.equal(other.code, 1);
    assert.equal(other.stderr, 'dbbouncer: position 1: is another event on the bus\n');
  });
});

interface Publishers {
  readonly events: { readonly position: number };
}

describe('dbbouncer replay', () => {
  it('prints the config of a position as YAML, and no secret', async () => {
    const { code, stdout } = await onPlane('replay', '--at', '2');
    assert.equal(code, 0);
    assert.match(stdout, /^position: 2\ndefaults:\n {2}pool_mode: session\n/);
    assert.match(stdout, /\n {2}acme:\n {4}db_type: postgres\n {4}host: one\n/);
    assert.match(stdout, /\n {4}password_source: sealed\n/);
    assert.match(stdout, /\n {4}state: paused\n/);
    assert.doesNotMatch(stdout, /beta|planted/);
  });

  it('prints the config of a time, and of now, as JSON', async () => {
    const asJson = async (...args: string[]) => {
      const { stdout } = await onPlane('replay', '--format', 'json', ...args);
      return JSON.parse(stdout) as { position: number; tenants: Record<string, unknown> };
    };
    const [then, now] = await Promise.all([asJson('--at', firstTime), asJson()]);
    assert.deepEqual([then.position, Object.keys(then.tenants)], [1, ['acme']]);
    assert.deepEqual(Object.keys(now.tenants), ['acme', 'beta']);
    assert.equal((now.tenants['beta'] as Record<string, unknown>)['password_source'], '${BETA}');
  });

  it('ends with 2 for a position that has not come, and what is no time', async () => {
    const [late, odd] = await Promise.all(
      ['999999', 'noon'].map((at) => onPlane('replay', '--at', at)),
    );
    assert.deepEqual([late?.code, odd?.code], [2, 2]);
    assert.match(late?.stderr ?? '', /--at is 999999; the log ends at \d+/);
    assert.match(odd?.stderr ?? '', /--at must be a position or a time such as/);
  });
});

describe('dbbouncer backup and restore', () => {
  it('bring tenants, history and passwords to another folder', async () => {
    const file = join(folder, 'log.backup');
    const backup = await onPlane('backup', file);
    assert.deepEqual([backup.code, backup.stderr], [0, '']);
    assert.match(backup.stdout, /log\.backup holds \d+ events, all of them whole\./);
    assert.equal((await stat(file)).mode & 0o777, 0o600);

    const data = join(folder, 'restored', 'data');
    const restore = await run('restore', file, '--data-dir', data);
    assert.deepEqual([restore.code, restore.stderr], [0, '']);
    assert.equal((await stat(join(data, 'dbbouncer.db'))).mode & 0o777, 0o600);
    await copyFile(join(plane.dataDir, 'master.key'), join(data, 'master.key'));
    const ports = ['--api-port', '0', '--postgres-port', '0', '--metrics-port', '0'];
    const args = ['up', ...ports, '--host', '127.0.0.1', '--data-dir', data];
    const restored = dbbouncer(args, { cwd: folder, env: { DBBOUNCER_API_KEY: KEY } });
    const [, url = ''] = await restored.says(/REST API +(http:\S+),/);
    const before = await new ApiClient(url, KEY).get('/tenants');
    const now = await api.get('/tenants');
    const facts = (body: typeof now) =>
      (body['tenants'] as readonly Record<string, unknown>[]).map((tenant) =>
        ['id', 'host', 'version', 'state', 'created_at'].map((name) => tenant[name]),
      );
    assert.deepEqual(facts(before), facts(now));

    const again = await run('restore', file, '--data-dir', data);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /Another control plane writes to/);
    restored.signal('SIGTERM');
    await restored.ended();
    const over = await run('restore', file, '--data-dir', data);
    assert.equal(over.code, 2);
    assert.match(over.stderr, /dbbouncer\.db is there already[^]*empty folder/);
  });

  it('refuse a folder that is in use before they ask NATS for anything', async () => {
    const nowhere = ['--nats', 'nats://127.0.0.1:1'];
    const { code, stderr } = await onPlane('restore', ...nowhere);
    assert.equal(code, 1);
    assert.match(stderr, /Another control plane writes to/);
  });

  it('overwrite no file, and put nothing broken in place', async () => {
    const taken = join(folder, 'taken');
    await writeFile(taken, 'mine');
    const { code, stderr } = await onPlane('backup', taken);
    assert.equal(code, 2);
    assert.match(stderr, /taken is there already/);
    assert.equal(await readFile(taken, 'utf8'), 'mine');

    const data = join(folder, 'empty');
    const broken = await run('restore', taken, '--data-dir', data);
    assert.equal(broken.code, 1);
    assert.match(broken.stderr, /^dbbouncer: .*\/taken is no whole backup; nothing was restored\./);
    await assert.rejects(stat(join(data, 'dbbouncer.db')), { code: 'ENOENT' });
    const missing = await run('restore', join(folder, 'nothing'), '--data-dir', data);
    assert.equal(missing.code, 2);
    const homeless = await onPlane('backup', join(folder, 'no-folder', 'log.backup'));
    assert.equal(homeless.code, 2);
    assert.match(homeless.stderr, /^dbbouncer: There is no folder .*\/no-folder\.\n/);
  });
});

describe('dbbouncer rebuild', () => {
  it('mends what queries see while the control plane runs, and tells what it was', async () => {
    const env = { DBBOUNCER_API_KEY: KEY };
    const rebuild = () => dbbouncer(['rebuild', '--api', plane.apiUrl], { env }).ended();
    const database = new Database(join(plane.dataDir, 'dbbouncer.db'));
    database.exec(`UPDATE tenants SET data = replace(data, '"two"', '"eve"') WHERE key = 'beta'`);
    database.close();
    assert.equal((await api.get('/tenants/beta'))['host'], 'eve');
    const mended = await rebuild();
    assert.deepEqual([mended.code, mended.stderr], [0, '']);
    assert.match(mended.stdout, /^The read models are those of event \d+ again\.\nMended/);
    assert.match(mended.stdout, /tenants, beta, data\.host: is not what the events say\.\n$/);
    assert.equal((await api.get('/tenants/beta'))['host'], 'two');
    assert.match((await rebuild()).stdout, /Nothing was amiss in them\.\n$/);
    const { rebuilt_up_to: upTo, position } = await api.get('/read-models');
    assert.deepEqual([upTo, typeof position], [null, 'number']);
  });

  it('ends with 2 without a URL', async () => {
    const { code, stderr } = await run('rebuild');
    assert.deepEqual([code, stderr], [2, 'dbbouncer: rebuild needs --api URL.\n']);
  });
});
