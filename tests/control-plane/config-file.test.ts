/**
 * The config file as a source of events: at start, and after edits of every kind that editors and
 * Kubernetes make.
 */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { tenantBody, TestControlPlane } from './harness.ts';

type Tenants = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

function yaml(tenants: Tenants, more = ''): string {
  const entries = Object.entries(tenants).map(([id, extra]) => {
    const { id: _, ...entry } = tenantBody(id, extra);
    return `  ${id}: ${JSON.stringify(entry)}`;
  });
  return `${more}\ntenants:\n${entries.join('\n')}\n`;
}

async function startWith(text: string, env = {}): Promise<TestControlPlane> {
  const plane = new TestControlPlane({ DBBOUNCER_API_KEY: 'test-key-0123456789', ...env });
  writeFileSync(file(plane), text);
  await plane.start();
  return plane;
}

function file(plane: TestControlPlane): string {
  return join(plane.dir, 'dbbouncer.yaml');
}

/** Id and the field of each tenant. */
async function tenants(plane: TestControlPlane, field: string): Promise<Record<string, unknown>> {
  const { json } = await plane.call('GET', '/tenants');
  const list = json['tenants'] as readonly Record<string, unknown>[];
  return Object.fromEntries(list.map((tenant) => [tenant['id'], tenant[field]]));
}

const APPLIED = /config file applied/;
const REFUSED = /config file refused/;

describe('the config file at start', () => {
  it('registers its tenants as its own, under its defaults', async () => {
    await using plane = await startWith(yaml({ a: {}, b: {} }, 'defaults: { max_connections: 7 }'));
    assert.deepEqual(await tenants(plane, 'origin'), { a: 'file', b: 'file' });
    const { json } = await plane.call('GET', '/tenants/a');
    assert.equal((json['effective'] as Record<string, unknown>)['max_connections'], 7);
  });

  it('makes no event when nothing changed over a restart, and keeps the API tenants', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    await plane.call('POST', '/tenants', { body: tenantBody('b') });
    const before = await plane.call('GET', '/fleet');
    await plane.stop();
    await plane.start();
    assert.equal((await plane.call('GET', '/fleet')).json['position'], before.json['position']);
    assert.deepEqual(await tenants(plane, 'version'), { a: 1, b: 1 });
  });

  it('refuses to start with a file that is wrong, naming every place', async () => {
    await using plane = new TestControlPlane();
    writeFileSync(file(plane), 'tenants:\n  a: { db_type: x }\nworkers: none\n');
    await assert.rejects(plane.start(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'SETTINGS_INVALID');
      assert.match(error.message, /dbbouncer\.yaml:2:17: tenants\.a\.db_type must be/);
      assert.match(error.message, /dbbouncer\.yaml:3:10: workers must be/);
      return true;
    });
  });
});

describe('the config file while running', () => {
  it('is applied as a diff after an edit in place', async () => {
    await using plane = await startWith(yaml({ a: {}, gone: {} }));
    await plane.call('POST', '/tenants', { body: tenantBody('api') });
    writeFileSync(file(plane), yaml({ a: { host: 'new.example' }, c: {} }));
    await plane.logged(APPLIED, 2);
    assert.deepEqual(await tenants(plane, 'host'), {
      a: 'new.example',
      api: 'db.example.com',
      c: 'db.example.com',
    });
    assert.deepEqual(await tenants(plane, 'origin'), { a: 'file', api: 'api', c: 'file' });
  });

  it('is applied after an atomic rename, and after the next one', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    for (const [index, host] of ['one.example', 'two.example'].entries()) {
      const draft = join(plane.dir, `draft-${index}`);
      writeFileSync(draft, yaml({ a: { host } }));
      renameSync(draft, file(plane));
      await plane.logged(APPLIED, 2 + index);
      assert.deepEqual(await tenants(plane, 'host'), { a: host });
    }
  });

  it('is applied after Kubernetes swapped the folder behind a ConfigMap', async () => {
    await using plane = new TestControlPlane({ DBBOUNCER_API_KEY: 'test-key-0123456789' });
    const versions = ['v1.example', 'v2.example'];
    for (const [index, host] of versions.entries()) {
      const folder = join(plane.dir, `..version-${index}`);
      mkdirSync(folder);
      writeFileSync(join(folder, 'dbbouncer.yaml'), yaml({ a: { host } }));
    }
    symlinkSync('..version-0', join(plane.dir, '..data'));
    symlinkSync(join('..data', 'dbbouncer.yaml'), file(plane));
    await plane.start();
    symlinkSync('..version-1', join(plane.dir, '..data_tmp'));
    renameSync(join(plane.dir, '..data_tmp'), join(plane.dir, '..data'));
    rmSync(join(plane.dir, '..version-0'), { recursive: true });
    await plane.logged(APPLIED, 2);
    assert.deepEqual(await tenants(plane, 'host'), { a: 'v2.example' });
  });

  it('is refused whole when it is wrong, empty or gone, and what was loaded stays', async () => {
    await using plane = await startWith(yaml({ a: {}, b: {} }));
    const bad = [yaml({ a: { host: 'x' }, b: { port: 0 } }), '', 'tenants: [', undefined];
    for (const [index, text] of bad.entries()) {
      if (text === undefined) rmSync(file(plane));
      else writeFileSync(file(plane), text);
      await plane.logged(REFUSED, index + 1);
      assert.deepEqual(await tenants(plane, 'host'), { a: 'db.example.com', b: 'db.example.com' });
    }
    assert.match(plane.log, /dbbouncer\.yaml:4:\d+: tenants\.b\.port must be at least 1; got 0/);
    writeFileSync(file(plane), yaml({ a: { host: 'right.example' } }));
    await plane.logged(APPLIED, 2);
    assert.deepEqual(await tenants(plane, 'host'), { a: 'right.example' });
  });

  it('is refused whole when the control plane refuses one of its tenants', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    await plane.call('POST', '/tenants', { body: tenantBody('own', { min_connections: 15 }) });
    writeFileSync(file(plane), yaml({ a: { host: 'x' } }, 'defaults: { max_connections: 10 }'));
    await plane.logged(REFUSED);
    assert.match(plane.log, /min_connections \(15\) is above max_connections \(10\).*own/);
    assert.deepEqual(await tenants(plane, 'host'), { a: 'db.example.com', own: 'db.example.com' });
  });

  it('says which changed settings wait for the next start', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    writeFileSync(file(plane), yaml({ a: {} }, 'listen: { postgres_port: 7000 }'));
    await plane.logged(/"settings":\["listen\.postgres_port"\].*take effect at the next start/);
  });

  it('fills in variables and leaves a password that is one to the proxy', async () => {
    const text = yaml({ a: { host: '${DB_HOST}', password: '${DB_PW}' } });
    await using plane = await startWith(text, { DB_HOST: 'env.example', DB_PW: 'never-read' });
    assert.deepEqual(await tenants(plane, 'host'), { a: 'env.example' });
    assert.deepEqual(await tenants(plane, 'password_source'), { a: '${DB_PW}' });
  });

  it('never logs a password', async () => {
    await using plane = await startWith(yaml({ a: { password: 'pl4nted' } }));
    writeFileSync(file(plane), yaml({ a: { password: 'pl4nted2' } }));
    await plane.logged(APPLIED, 2);
    writeFileSync(file(plane), yaml({ a: { password: ['pl4nted3'] } }));
    await plane.logged(REFUSED);
    assert.ok(!plane.log.includes('pl4nted'));
  });
});
