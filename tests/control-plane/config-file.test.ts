/**
 * The config file as a source of events: at start, and after edits of every kind that editors and
 * Kubernetes make.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { until } from './core-harness.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import { stepsOn } from './published.ts';

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

describe('the config file while running', { concurrency: 4 }, () => {
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
    const port = /dbbouncer\.yaml:4:\d+: tenants\.b\.port must be at least 1; got 0/;
    const bad: readonly (readonly [string | undefined, string, RegExp])[] = [
      [yaml({ a: { host: 'x' }, b: { port: 0 } }), 'rejected', port],
      ['tenants: [\n', 'rejected', /:2:1: .*\]/],
      ['\n', 'rejected', /:1:1: it is empty/],
      [undefined, 'missing', /config file is gone/],
    ];
    for (const [text, state, words] of bad) {
      if (text === undefined) rmSync(file(plane));
      else writeFileSync(file(plane), text);
      await plane.logged(words);
      assert.deepEqual(await tenants(plane, 'host'), { a: 'db.example.com', b: 'db.example.com' });
      assert.deepEqual((await plane.call('GET', '/ready')).json, {
        status: 'ready',
        config_file: state,
      });
      assert.match((await plane.call('GET', '/metrics')).text, /reload_successful 0\n/);
    }
    writeFileSync(file(plane), yaml({ a: { host: 'right.example' } }));
    await plane.logged(APPLIED, 2);
    assert.deepEqual(await tenants(plane, 'host'), { a: 'right.example' });
    assert.deepEqual((await plane.call('GET', '/ready')).json, { status: 'ready' });
    const { text } = await plane.call('GET', '/metrics');
    assert.match(text, /reload_successful 1\n/);
    assert.match(text, /reloads_total\{outcome="rejected"\} 3\n/);
  });

  it('is told as empty at a start with comments alone, and what was loaded stays', async () => {
    await using plane = await startWith('defaults: { max_connections: 7 }\n');
    await plane.stop();
    writeFileSync(file(plane), '# defaults: { max_connections: 7 }\n');
    await plane.start();
    await plane.logged(/dbbouncer\.yaml:1:1: it is empty; to remove its tenants/);
    assert.equal((await plane.call('GET', '/config-file')).json['state'], 'rejected');
    assert.equal((await plane.call('GET', '/defaults')).json['max_connections'], 7);
  });

  it('is told as empty at the first start with it, which it does not hinder', async () => {
    await using plane = await startWith('# nothing yet\n');
    await plane.logged(/config file is empty; what was loaded before stays in force/);
    assert.equal((await plane.call('GET', '/config-file')).json['state'], 'applied');
  });

  it('is refused when a pipe stands in its place, which holds nothing up', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    rmSync(file(plane));
    execFileSync('mkfifo', [file(plane)]);
    await plane.logged(REFUSED);
    const { json } = await plane.call('GET', '/config-file');
    assert.match(JSON.stringify(json['problems']), /no file that can be read again/);
    await plane.stop();
  });

  it('is refused without "tenants" while it has some; {} removes them', async () => {
    const first = yaml({ a: {} }, 'defaults: { max_connections: 7 }');
    await using plane = await startWith(first);
    const silent: readonly (readonly [string, RegExp])[] = [
      ['# tenants of production\n---\n', /^it is empty; /],
      ['defaults: { max_connections: 8 }\n', /^it has no tenants, /],
      ['defaults: { max_connections: 8 }\ntenants:\n', /^it has no tenants, /],
    ];
    for (const [text, words] of silent) {
      writeFileSync(file(plane), text);
      const { json } = await plane.call('POST', '/config-file/reload');
      assert.equal(json['state'], 'rejected', text);
      const [problem] = json['problems'] as readonly Record<string, unknown>[];
      assert.match(String(problem?.['message']), words);
      assert.deepEqual([problem?.['line'], problem?.['column']], [1, 1]);
      const { effective } = (await plane.call('GET', '/tenants/a')).json;
      assert.equal((effective as Record<string, unknown>)['max_connections'], 7);
    }
    writeFileSync(file(plane), 'tenants: {}\n');
    const { json } = await plane.call('POST', '/config-file/reload');
    assert.equal(json['state'], 'applied');
    assert.deepEqual(await tenants(plane, 'host'), {});
  });

  it('is told by its route: what is wrong and where, and since when what is in force', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    const before = (await plane.call('GET', '/config-file')).json;
    assert.equal(before['state'], 'applied');
    assert.match(String(before['applied_content']), /^[0-9a-f]{12}$/);
    writeFileSync(file(plane), 'workers: none\ntenants: { a: { pasword: pl4nted } }\n');
    const { json } = await plane.call('POST', '/config-file/reload');
    assert.equal(json['state'], 'rejected');
    assert.deepEqual(json['applied_at'], before['applied_at']);
    const problems = json['problems'] as readonly Record<string, unknown>[];
    assert.deepEqual(problems[0], {
      line: 1,
      column: 10,
      path: 'workers',
      message: 'must be a whole number between 1 and 256; got "none"',
    });
    assert.doesNotMatch(JSON.stringify(json), /pl4nted/);
  });

  it('has no route answer without one', async () => {
    await using plane = await TestControlPlane.start();
    assertProblem(await plane.call('GET', '/config-file'), 404, 'CONFIG_FILE_ABSENT');
  });

  it('is one request in the log and one delta for proxies, told with its content', async () => {
    await using plane = await startWith(yaml({ a: {}, b: {} }));
    const file100 = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`t${i}`, {}]));
    writeFileSync(
      file(plane),
      yaml({ a: { host: 'x' }, ...file100 }, 'defaults: { max_queries: 9 }'),
    );
    await plane.logged(APPLIED, 2);
    const { json } = await plane.call('GET', '/events?after=2&limit=200&order=asc');
    const events = json['events'] as readonly Record<string, unknown>[];
    assert.equal(events.length, 103);
    assert.equal(new Set(events.map((event) => event['request_id'])).size, 1);
    const { json: status } = await plane.call('GET', '/config-file');
    for (const event of events) {
      assert.equal(event['actor'], 'file');
      const content = String(status['applied_content']);
      assert.equal(event['reason'], `dbbouncer.yaml was loaded, content ${content}`);
    }
    await until('proxies were told', () => plane.running.status().publishedPosition === 105);
    assert.deepEqual((await stepsOn(plane.bus)).at(-1), [2, 105]);
  });

  it('is refused whole when the control plane refuses one of its tenants', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    await plane.call('POST', '/tenants', { body: tenantBody('own', { min_connections: 15 }) });
    writeFileSync(file(plane), yaml({ a: { host: 'x' } }, 'defaults: { max_connections: 10 }'));
    await plane.logged(REFUSED);
    assert.match(
      plane.log,
      /dbbouncer\.yaml:1:1: defaults min_connections \(15\) is above max_connections \(10\).*own/,
    );
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

describe('the config file and the API together', { concurrency: 4 }, () => {
  const patch = (plane: TestControlPlane, id: string, body: object) =>
    plane.call('PATCH', `/tenants/${id}?force=true`, { body });
  const kept = async (plane: TestControlPlane) =>
    (await plane.call('GET', '/config-file')).json['kept'];
  const reload = (plane: TestControlPlane, query = '') =>
    plane.call('POST', `/config-file/reload${query}`);

  it('keeps what the API changed over reloads and restarts until the entry changes', async () => {
    await using plane = await startWith(yaml({ a: {}, b: {} }));
    const change = { host: 'by-api.example', password: 'another' };
    const rehearsal = '/tenants/a?force=true&dry_run=true';
    const { json: told } = await plane.call('PATCH', rehearsal, { body: change });
    assert.match(JSON.stringify(told['warnings']), /"of_the_file".*until its entry there changes/);
    await patch(plane, 'a', change);
    writeFileSync(file(plane), yaml({ a: {}, b: { port: 7 } }));
    await plane.logged(APPLIED, 2);
    assert.deepEqual(await tenants(plane, 'host'), { a: 'by-api.example', b: 'db.example.com' });
    await plane.logged(/"tenants":\["a"\].*changed elsewhere/);
    await plane.stop();
    await plane.start();
    assert.deepEqual(await tenants(plane, 'host'), { a: 'by-api.example', b: 'db.example.com' });
    assert.deepEqual(await kept(plane), {
      tenants: ['a'],
      tenant_count: 1,
      servers: [],
      defaults: false,
    });
    assert.match((await plane.call('GET', '/metrics')).text, /config_kept_tenants 1\n/);
    writeFileSync(file(plane), yaml({ a: { port: 8 }, b: { port: 7 } }));
    await plane.logged(APPLIED, 3);
    assert.deepEqual(await tenants(plane, 'host'), { a: 'db.example.com', b: 'db.example.com' });
    assert.deepEqual(await kept(plane), {
      tenants: [],
      tenant_count: 0,
      servers: [],
      defaults: false,
    });
  });

  it('leaves removed what the API removed, and a rollback rolled back', async () => {
    await using plane = await startWith(yaml({ a: {}, b: {} }));
    await plane.call('DELETE', '/tenants/a?force=true');
    writeFileSync(file(plane), yaml({ a: {}, b: { host: 'new' } }, 'defaults: { max_queries: 1 }'));
    await plane.logged(APPLIED, 2);
    assert.deepEqual(await tenants(plane, 'host'), { b: 'new' });
    await plane.call('POST', '/config/rollback', { body: { to: 2 } });
    assert.equal((await reload(plane)).json['state'], 'applied');
    assert.deepEqual(await tenants(plane, 'host'), { a: 'db.example.com', b: 'db.example.com' });
    assert.deepEqual(await kept(plane), {
      tenants: ['b'],
      tenant_count: 1,
      servers: [],
      defaults: true,
    });
  });

  it('does all that the file says when it is asked to', async () => {
    await using plane = await startWith(yaml({ a: {}, b: {} }));
    await plane.call('DELETE', '/tenants/a?force=true');
    await patch(plane, 'b', { host: 'by-api.example' });
    const { json } = await reload(plane, '?force=true');
    assert.deepEqual(json['kept'], { tenants: [], tenant_count: 0, servers: [], defaults: false });
    assert.deepEqual(await tenants(plane, 'host'), { a: 'db.example.com', b: 'db.example.com' });
    const { events } = (await plane.call('GET', '/events?order=desc&limit=1')).json as {
      events: readonly Record<string, unknown>[];
    };
    assert.equal(events[0]?.['actor'], 'file');
    assert.match(String(events[0]?.['reason']), /was loaded, content \w+, asked for by api:\w+$/);
  });

  it('is refused by line and column for tenants of the API until it adopts them', async () => {
    await using plane = await startWith(yaml({ a: {} }));
    await plane.call('POST', '/tenants', { body: tenantBody('own') });
    await plane.call('POST', '/tenants', { body: tenantBody('other') });
    const wrong = { own: { host: 'x' }, other: { port: 1, password: 'pl4nted' } };
    writeFileSync(file(plane), yaml({ a: { host: 'x' }, ...wrong }));
    await plane.logged(REFUSED);
    const { json } = await plane.call('GET', '/config-file');
    assert.deepEqual(
      (json['problems'] as readonly Record<string, unknown>[]).map((p) => [p['line'], p['path']]),
      [
        [4, 'tenants.own'],
        [5, 'tenants.other'],
      ],
    );
    assert.match(plane.log, /yaml:4:3: tenants\.own was registered through the API, and differs/);
    assert.match(plane.log, /differs from this in port, password; write \\"adopt: true\\"/);
    const hosts = { a: 'db.example.com', other: 'db.example.com', own: 'db.example.com' };
    assert.deepEqual(await tenants(plane, 'host'), hosts);
    // The same contradiction does not keep a control plane from starting with what it has.
    await plane.stop();
    await plane.start();
    assert.deepEqual(await tenants(plane, 'host'), hosts);
    assert.equal((await plane.call('GET', '/config-file')).json['state'], 'rejected');
    writeFileSync(file(plane), yaml({ a: {}, own: { host: 'x', adopt: true } }));
    await plane.logged(APPLIED, 2);
    assert.deepEqual(await tenants(plane, 'origin'), { a: 'file', other: 'api', own: 'file' });
    writeFileSync(file(plane), yaml({ a: {} }));
    await plane.logged(APPLIED, 3);
    assert.deepEqual(await tenants(plane, 'host'), {
      a: 'db.example.com',
      other: 'db.example.com',
    });
    assert.ok(!plane.log.includes('pl4nted'));
  });

  it('tells everything that the control plane refuses of it at once', async () => {
    await using plane = await startWith(yaml({}));
    await plane.call('POST', '/tenants', { body: tenantBody('own', { min_connections: 15 }) });
    const tls = { server_tls: { mode: 'verify-full', cert: 'file:/c' } };
    writeFileSync(file(plane), yaml({ a: tls, b: tls }, 'defaults: { max_connections: 10 }'));
    await plane.logged(REFUSED);
    const { json } = await plane.call('GET', '/config-file');
    assert.deepEqual(
      (json['problems'] as readonly Record<string, unknown>[]).map((p) => p['path']),
      ['defaults', 'tenants.a', 'tenants.b'],
    );
    assert.deepEqual(await tenants(plane, 'host'), { own: 'db.example.com' });
  });

  it('takes a password for the same after all was sealed with a new key', async () => {
    const key = (ids: string) => ids.replaceAll(/\d/g, (id) => `k${id}:${id.repeat(20)}`);
    const env = { DBBOUNCER_API_KEY: 'test-key-0123456789' };
    await using plane = new TestControlPlane({ ...env, DBBOUNCER_MASTER_KEY: key('1') });
    writeFileSync(file(plane), yaml({ a: {} }));
    await plane.start();
    await plane.stop();
    plane.setEnv({ ...env, DBBOUNCER_MASTER_KEY: key('2,1') });
    await plane.start();
    await plane.call('POST', '/secrets/reseal');
    await patch(plane, 'a', { host: 'by-api.example' });
    assert.deepEqual((await reload(plane)).json['kept'], {
      tenants: ['a'],
      tenant_count: 1,
      servers: [],
      defaults: false,
    });
  });
});
