/**
 * `dbbouncer config export` as a person types it, of a running control plane and of its data
 * folder; what it prints makes another control plane the same.
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { dbbouncer } from '../support/processes.ts';
import { ApiClient } from './api-client.ts';

const KEY = 'a-key-of-the-config-commands-test';
const MASTER = { DBBOUNCER_MASTER_KEY: 'a-master-key-of-the-config-commands' };
const ENV = { DBBOUNCER_API_KEY: KEY, ...MASTER };
let plane: DbbouncerProcess;
let api: ApiClient;
let folder: string;

const run = (...args: string[]) => dbbouncer(args, { cwd: folder, env: ENV }).ended();

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dbbouncer-config-'));
  plane = await DbbouncerProcess.start({ command: 'up', env: ENV });
  api = new ApiClient(plane.apiUrl, KEY);
  const tenant = { port: 5433, dbname: 'd ${X}', username: 'u' };
  await api.addTenant({ id: 'acme', ...tenant, password: 'pl4nted', max_connections: 7 });
  await api.addTenant({ id: 'beta', ...tenant, password: '${BETA}', port: 5432 });
  await api.call('PATCH', '/defaults?force=true', { max_queries: 9 });
  await api.call('POST', '/tenants/beta/pause');
});
after(async () => {
  await plane.stop();
  await rm(folder, { recursive: true });
});
tellLogsOfFailures();

const WITHOUT_HEAD = `
defaults:
  max_queries: 9
tenants:
  acme:
    db_type: postgres
    host: 127.0.0.1
    port: 5433
    dbname: d $\${X}
    username: u
    password: \${TENANT_ACME_PASSWORD}
    max_connections: 7
  beta:
    db_type: postgres
    host: 127.0.0.1
    dbname: d $\${X}
    username: u
    password: \${BETA}
`;

describe('dbbouncer config export', { concurrency: 2 }, () => {
  it('prints the same of a running control plane and of its data folder', async () => {
    const fromApi = await run('config', 'export', '--api', plane.apiUrl);
    assert.deepEqual([fromApi.code, fromApi.stderr], [0, '']);
    const offline = await run('config', 'export', '--data-dir', plane.dataDir);
    assert.deepEqual([offline.code, offline.stderr], [0, '']);
    for (const { stdout } of [fromApi, offline]) {
      assert.equal(stdout.slice(stdout.indexOf('\n\n') + 1), WITHOUT_HEAD);
      assert.match(
        stdout,
        /^# Config of DBBouncer: 2 tenants and the defaults,\n# as of position 4 of/,
      );
      assert.match(stdout, /written at 20\d\d-\d\d-\d\dT/);
      assert.match(stdout, /\n# {3}TENANT_ACME_PASSWORD {3}password of acme\n/);
      assert.match(stdout, /\n# {3}beta was paused\n/);
    }
  });

  it('prints what was, and writes a file for its owner alone, once', async () => {
    const args = ['config', 'export', '--api', plane.apiUrl, '--at', '1', '-o', 'then.yaml'];
    const { code, stdout } = await run(...args);
    assert.deepEqual([code, stdout], [0, '']);
    const file = join(folder, 'then.yaml');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.doesNotMatch(await readFile(file, 'utf8'), /beta:|defaults:/);
    const again = await run(...args);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^dbbouncer: then\.yaml is there already/);
  });

  it('makes another control plane the same, with sealed passwords too', async () => {
    const [sealed, revealed] = await Promise.all([
      run('config', 'export', '--data-dir', plane.dataDir, '--sealed'),
      run('config', 'export', '--data-dir', plane.dataDir, '--reveal-secrets'),
    ]);
    assert.match(sealed.stdout, /password: sealed:/);
    assert.doesNotMatch(sealed.stdout, /pl4nted/);
    const other = await DbbouncerProcess.start({
      command: 'up',
      env: ENV,
      prepare: (cwd) => writeFile(join(cwd, 'dbbouncer.yaml'), sealed.stdout),
    });
    await other.stop();
    const again = await run('config', 'export', '--data-dir', other.dataDir, '--reveal-secrets');
    const withoutHead = (text: string) => text.slice(text.indexOf('\n\n'));
    assert.match(revealed.stdout, /password: pl4nted\n/);
    assert.equal(withoutHead(again.stdout), withoutHead(revealed.stdout));
  });

  it('ends with 2 and says why when it is asked for what cannot be', async () => {
    const refusals: readonly (readonly [readonly string[], RegExp])[] = [
      [['--sealed', '--reveal-secrets'], /exclude each other/],
      [['--sealed', '--api', 'http://x'], /is for a data folder/],
      [['--api', 'x'], /--api must be a URL/],
      [['--at', '99'], /--at is 99; the log ends at/],
      [['--data-dir', 'nowhere'], /There is no event log/],
    ];
    const refused = refusals.map(async ([args, words]) => {
      const ended = await run('config', 'export', '--data-dir', plane.dataDir, ...args);
      assert.deepEqual([ended.code, ended.stdout], [2, ''], ended.stderr);
      assert.match(ended.stderr, words);
    });
    await Promise.all(refused);
  });

  it('says why a control plane gives nothing', async () => {
    await writeFile(join(folder, 'wrong.key'), 'not-the-key-at-all\n');
    const args = ['config', 'export', '--api', plane.apiUrl, '--api-key-file', 'wrong.key'];
    const { code, stderr } = await run(...args);
    assert.equal(code, 1);
    assert.match(stderr, /GET http:\S+\/config\?limit=200: 401 UNAUTHORIZED/);
    const nobody = await run('config', 'export', '--api', 'http://127.0.0.1:1');
    assert.match(nobody.stderr, /^dbbouncer: http:\/\/127\.0\.0\.1:1 cannot be reached: /);
  });
});
