/**
 * A client that a public generator makes of the API description: its code passes the strict
 * compiler together with a user's program, and that program, run, takes a tenant through its life.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { API_KEY, TestControlPlane } from './harness.ts';

const exec = promisify(execFile);
const ROOT = dirname(dirname(import.meta.dirname));
const PROGRAMS = join(ROOT, 'node_modules', '.bin');

const CLIENT = './client.ts';

/** What a user writes against the generated functions; tells what it saw as JSON. */
const PROGRAM = `
import * as api from '${CLIENT}';

const [, , url = '', key = ''] = process.argv;
api.defaults.baseUrl = url;
api.defaults.headers = { authorization: \`Bearer \${key}\` };

type DataOf<A, S> = A extends { status: S; data: infer D } ? D : never;

function ok<A extends { status: number }, S extends A['status']>(answer: A, status: S) {
  if (answer.status !== status) throw new Error(JSON.stringify(answer));
  return (answer as unknown as { data: DataOf<A, S> }).data;
}

const body = {
  id: 'acme', db_type: 'postgres', host: 'db.example.com', dbname: 'd', username: 'u',
  password: 'planted', max_connections: 7,
} as const;
const made = ok(await api.registerTenant(body, { xReason: 'first' }), 201);
const again = await api.registerTenant(body);
const read = ok(await api.getTenant('acme'), 200);
const unnamed = await api.updateTenant('acme', { host: 'two' });
const ifMatch = \`"\${read.version}"\`;
const changed = ok(await api.updateTenant('acme', { host: 'two' }, { ifMatch }), 200);
if (!('host' in changed)) throw new Error('only rehearsed');
const stale = await api.updateTenant('acme', { host: 'three' }, { ifMatch });
ok(await api.pauseTenant('acme'), 200);
const list = ok(await api.listTenants({ limit: 10, search: 'two' }), 200);
const history = ok(await api.getTenantHistory('acme'), 200);
const back = ok(await api.rollBackTenant('acme', { to: 1, reason: 'as it was' }), 200);
ok(await api.removeTenant('acme', { force: 'true' }), 204);
const gone = await api.getTenant('acme');
const { events } = ok(await api.listEvents({ tenant: 'acme', limit: 50 }), 200);
const seen = [
  [made.version, made.max_connections, read.host],
  [again.status === 409 ? again.data.code : '', unnamed.status, stale.status, gone.status],
  [changed.host, changed.version, 'host' in back ? back.host : ''],
  [
    ...list.tenants.map(({ id, state }) => \`\${id} \${state}\`),
    ...history.events.map(({ summary }) => summary),
  ],
  events.map(({ type }) => type),
];
console.log(JSON.stringify(seen));
`;

let plane: TestControlPlane;
let folder: string;
before(async () => {
  plane = await TestControlPlane.start();
  folder = await mkdtemp(join(tmpdir(), 'dbbouncer-client-'));
  // Where the generated code finds the generator's runtime.
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const { text } = await plane.call('GET', '/openapi.json', { key: undefined });
  await writeFile(join(folder, 'openapi.json'), text);
  const made = [join(folder, 'openapi.json'), join(folder, CLIENT)];
  await exec(join(PROGRAMS, 'oazapfts'), made);
  await writeFile(join(folder, 'program.ts'), PROGRAM);
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe('a client generated from /openapi.json', () => {
  it('passes the strict compiler with a program that uses it', async () => {
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--allowImportingTsExtensions'];
    const target = ['--target', 'esnext', '--module', 'nodenext', '--types', 'node'];
    const args = [...options, ...target, '--typeRoots', join(ROOT, 'node_modules', '@types')];
    const told = await exec(join(PROGRAMS, 'tsc'), ['--ignoreConfig', ...args, 'program.ts'], {
      cwd: folder,
    }).catch(({ stdout }: { stdout: string }) => ({ stdout }));
    assert.equal(told.stdout, '');
  });

  it('takes a tenant through its life', async () => {
    const args = [join(folder, 'program.ts'), plane.running.apiUrl, API_KEY];
    const { stdout } = await exec(process.execPath, args);
    const [made, refused, changed, seen, events] = JSON.parse(stdout) as readonly unknown[][];
    assert.deepEqual(made, [1, 7, 'db.example.com']);
    assert.deepEqual(refused, ['TENANT_EXISTS', 428, 412, 404]);
    assert.deepEqual(changed, ['two', 2, 'db.example.com']);
    const first = 'registered: db.example.com:5432/d as u';
    assert.deepEqual(seen, ['acme paused', 'paused', 'host db.example.com -> two', first]);
    const types = ['Registered', 'Updated', 'Paused', 'RolledBack', 'Removed'];
    assert.deepEqual(
      events,
      types.map((type) => `Tenant${type}`),
    );
  });
});
