/**
 * From PgBouncer to DBBouncer: a real pgbouncer.ini serves clients, is imported, and the same
 * clients are served by `dbbouncer up` with what came out; the list of settings is held against the
 * one that PgBouncer itself tells.
 */
import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { PGBOUNCER_SETTINGS } from '@dbbouncer/cli/import/pgbouncer-settings.ts';
import { freePort } from '@dbbouncer/cli/demo/ports.ts';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { pgbouncerProgram } from '../bench/pgbouncer.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { dbbouncer, Program, shell } from '../support/processes.ts';
import { ApiClient } from './api-client.ts';

const KEY = 'a-key-of-the-import-test';
const ENV = { DBBOUNCER_API_KEY: KEY };

let cluster: PostgresCluster;
let folder: string;
let pgbouncerPort: number;
let pgbouncer: Program;
let up: DbbouncerProcess;

tellLogsOfFailures();

const run = (...args: string[]) => dbbouncer(args, { cwd: folder, env: ENV }).ended();

async function psql(port: number, login: string, password: string, sql: string): Promise<string> {
  const command = `psql -w -XAtq "host=127.0.0.1 port=${port} ${login}" -c "${sql}"`;
  const { code, stdout, stderr } = await shell(command, { env: { PGPASSWORD: password } });
  return code === 0 ? stdout.trim() : stderr.trim();
}

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: 'superuser' });
  // PgBouncer reads it as who it becomes.
  folder = await mkdtemp(join(tmpdir(), 'dbbouncer-import-'));
  await chmod(folder, 0o755);
  const sql = (text: string) => cluster.sql('postgres', text);
  await sql("CREATE ROLE app LOGIN PASSWORD 'app secret'");
  await sql("CREATE ROLE report LOGIN PASSWORD 'report secret'");
  await sql("CREATE ROLE owner LOGIN PASSWORD 'it''s ours'");
  for (const name of ['acme_shop', 'globex']) await sql(`CREATE DATABASE ${name}`);
  pgbouncerPort = await freePort('127.0.0.1');
  await writeFile(
    join(folder, 'userlist.txt'),
    `"app" "app secret"\n"report" "report secret"\n"postgres" "superuser"\n`,
  );
  await writeFile(
    join(folder, 'databases.ini'),
    `[databases]
acme = host=127.0.0.1 port=${cluster.port} dbname=acme_shop pool_size=3
globex = host=127.0.0.1 port=${cluster.port} user=owner password='it''s ours' timezone=Asia/Tokyo
`,
  );
  await writeFile(
    join(folder, 'pgbouncer.ini'),
    `%include ${join(folder, 'databases.ini')}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${pgbouncerPort}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'userlist.txt')}
pool_mode = transaction
admin_users = postgres
[users]
report = pool_mode=session
`,
  );
  // It refuses to run as root.
  const asNobody = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  pgbouncer = new Program(pgbouncerProgram(), [...asNobody, '-q', join(folder, 'pgbouncer.ini')]);
  await eventually(
    'PgBouncer answers',
    async () =>
      (await psql(pgbouncerPort, 'user=app dbname=acme', 'app secret', 'SELECT 1')) === '1',
    { withinMs: 10_000, onFailure: () => pgbouncer.stderr },
  );
  const imported = await run('config', 'import', 'pgbouncer', 'pgbouncer.ini', '-o', 'ours.yaml');
  assert.deepEqual([imported.code, imported.stdout], [0, ''], imported.stderr);
  up = await DbbouncerProcess.start({
    command: 'up',
    env: ENV,
    prepare: async (cwd) => {
      const text = await readFile(join(folder, 'ours.yaml'), 'utf8');
      await writeFile(join(cwd, 'dbbouncer.yaml'), text);
    },
  });
});
after(async () => {
  pgbouncer.signal('SIGINT');
  await Promise.all([pgbouncer.ended(), up.stop()]);
  await cluster.remove();
  await rm(folder, { recursive: true });
});

const WHO = 'SELECT current_database(), current_user';

describe('clients of PgBouncer', () => {
  const cases: readonly (readonly [string, string, string, string, RegExp])[] = [
    ['who they are', 'user=app dbname=acme', 'app secret', WHO, /^acme_shop\|app$/],
    ['in session mode', 'user=report dbname=acme', 'report secret', WHO, /^acme_shop\|report$/],
    ['as the user of the database', 'user=app dbname=globex', 'app secret', WHO, /^globex\|owner$/],
    [
      'what its connections have set',
      'user=report dbname=globex',
      'report secret',
      'SHOW timezone',
      /^Asia\/Tokyo$/,
    ],
    [
      'a refusal of a wrong password',
      'user=app dbname=acme',
      'a wrong one',
      WHO,
      /authentication failed/,
    ],
  ];
  for (const [what, login, password, sql, answer] of cases) {
    it(`read the same with what was imported: ${what}`, async () => {
      const [before, now] = await Promise.all([
        psql(pgbouncerPort, login, password, sql),
        psql(up.postgresPort, login, password, sql),
      ]);
      assert.match(before, answer);
      assert.match(now, answer);
    });
  }
});

describe('the table of settings', () => {
  it('has every setting of PgBouncer, with its default where one is written down', async () => {
    const told = await psql(
      pgbouncerPort,
      'user=postgres dbname=pgbouncer',
      'superuser',
      'SHOW CONFIG',
    );
    const settings = told.split('\n').map((line) => line.split('|'));
    assert.ok(settings.length > 60, told);
    for (const [name = '', , initial] of settings) {
      const row = PGBOUNCER_SETTINGS[name];
      assert.ok(row !== undefined, `${name} is not in the table`);
      if (row.to === 'nowhere' || row.initial === undefined) continue;
      assert.equal(row.initial, initial, name);
    }
  });
});

describe('dbbouncer config import --apply', () => {
  it('registers what a rehearsal allows, and the events say where it is from', async () => {
    await writeFile(
      join(folder, 'more.csv'),
      'id,host,port,dbname,username,password\n' +
        `one,127.0.0.1,${cluster.port},globex,app,app secret\n` +
        `two,127.0.0.1,${cluster.port},acme_shop,app,app secret\n`,
    );
    const args = ['config', 'import', 'csv', 'more.csv', '--apply', '--api', up.apiUrl];
    const api = new ApiClient(up.apiUrl, KEY);
    const rehearsed = await run(...args, '--dry-run');
    assert.match(rehearsed.stdout, /^2 tenants can be registered at http/, rehearsed.stderr);
    assert.equal((await api.call('GET', '/tenants/one')).status, 404);
    const applied = await run(...args);
    const [, request] =
      /^2 tenants registered at http:\S+, as request (import-\S+)\.\n$/.exec(applied.stdout) ?? [];
    const { events } = (await api.get(`/events?request_id=${request}`)) as {
      events: readonly { reason: string; type: string }[];
    };
    assert.deepEqual(
      events.map(({ reason, type }) => [type, reason]),
      [
        ['TenantRegistered', 'imported from more.csv'],
        ['TenantRegistered', 'imported from more.csv'],
      ],
    );
    await eventually('it is served', async () =>
      /^globex\|app$/.test(await psql(up.postgresPort, 'user=app dbname=one', 'app secret', WHO)),
    );
    const again = await run(...args);
    assert.deepEqual([again.code, again.stdout], [1, '']);
    assert.match(again.stderr, /409 BATCH_REFUSED[^]*Tenant "one" exists already/);
  });

  it('ends with 1 and changes nothing when a line is wrong', async () => {
    await writeFile(
      join(folder, 'wrong.csv'),
      'id,host,dbname,username,password\nx y,h,d,u,pl4nted\n',
    );
    const args = ['config', 'import', 'csv', 'wrong.csv', '--apply', '--api', up.apiUrl];
    const { code, stdout, stderr } = await run(...args);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(stderr, /^wrong\.csv:2: column 1, id must be 1 to 63/);
    assert.doesNotMatch(stderr, /pl4nted/);
    const half = await run('config', 'import', 'csv', 'wrong.csv', '--apply');
    assert.deepEqual([half.code, half.stdout], [2, '']);
    assert.match(half.stderr, /--apply needs --api URL/);
  });

  it('makes no password of bytes that are not UTF-8, and names their place', async () => {
    const csv = Buffer.from('id,host,dbname,username,password\na,h,d,u,pl4nted\xe4\n', 'latin1');
    const ini = Buffer.from('[databases]\na = host=h user=u password=pl4nted\xe4\n', 'latin1');
    await writeFile(join(folder, 'latin.csv'), csv);
    await writeFile(join(folder, 'latin.ini'), ini);
    for (const [kind, place] of [
      ['csv', /^latin\.csv:2:16: it is not UTF-8 here; save the file in that encoding\n$/],
      ['pgbouncer', /^latin\.ini:2:35: it is not UTF-8 here; save the file in that encoding\n$/],
    ] as const) {
      const file = kind === 'csv' ? 'latin.csv' : 'latin.ini';
      const { code, stdout, stderr } = await run('config', 'import', kind, file);
      assert.equal(stdout, '');
      assert.notEqual(code, 0);
      assert.match(stderr, place);
      assert.doesNotMatch(stderr, /pl4nted/);
    }
  });
});

describe('config import of what is no file', { concurrency: 2 }, () => {
  const no: readonly (readonly [string, string, RegExp])[] = [
    ['csv', '.', /^\.:1: \. cannot be read: it is a folder; name the file in it\n$/],
    ['pgbouncer', '.', /^\.:1:1: \. cannot be read: it is a folder; name the file in it\n$/],
    ['csv', 'none.csv', /^none\.csv:1: none\.csv cannot be read: there is no such file\n$/],
    ['csv', '/dev/null', /^\/dev\/null:1: \/dev\/null cannot be read: it is no file: a pipe,/],
  ];
  for (const [kind, file, words] of no) {
    it(`is told in words for ${kind} ${file}`, async () => {
      const { code, stdout, stderr } = await run('config', 'import', kind, file);
      assert.deepEqual([code, stdout], [1, '']);
      assert.match(stderr, words);
    });
  }
});

describe('a config file that breaks while it serves', () => {
  it('changes nothing for clients, and is applied once it is mended', async () => {
    const file = join(up.folder, 'dbbouncer.yaml');
    const right = await readFile(file, 'utf8');
    const api = new ApiClient(up.apiUrl, KEY);
    const state = async () => (await api.get('/config-file'))['state'];
    await writeFile(file, right.replace('pool_mode: transaction', 'pool_mode: transactoin'));
    await eventually('it is rejected', async () => (await state()) === 'rejected');
    assert.deepEqual((await api.get('/ready'))['config_file'], 'rejected');
    assert.match(up.log, /dbbouncer\.yaml:\d+:14: defaults\.pool_mode must be/);
    const login = ['user=app dbname=acme', 'app secret'] as const;
    assert.equal(await psql(up.postgresPort, ...login, WHO), 'acme_shop|app');
    await writeFile(file, right.replace('dbname: acme_shop', 'dbname: globex'));
    await eventually('it is applied', async () => (await state()) === 'applied');
    await eventually('the proxy has it', async () =>
      (await psql(up.postgresPort, ...login, WHO)).startsWith('globex|'),
    );
  });
});
