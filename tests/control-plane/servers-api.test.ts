/** /servers: database servers with a cap that all tenants on them share. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

const call = (method: string, path: string, body?: object): Promise<Answer> =>
  plane.call(method, path, body === undefined ? {} : { body });

const names = (answer: Answer) =>
  (answer.json['servers'] as readonly { readonly name: string }[]).map(({ name }) => name);

interface Rehearsed {
  readonly events: readonly { readonly type: string }[];
  readonly delta: { readonly changes: readonly { readonly kind: string }[] };
  readonly servers: readonly Readonly<Record<string, unknown>>[];
}

describe('a database server', () => {
  it('is declared by PUT, read with its ETag, and listed by name', async () => {
    const body = { host: 'DB-1.internal', max_connections: 200 };
    const made = await call('PUT', '/servers/Main', body);
    assert.equal(made.status, 201, made.text);
    assert.equal(made.headers.get('etag'), '"1"');
    const { status, headers, json } = await call('GET', '/servers/MAIN');
    assert.deepEqual([status, headers.get('etag')], [200, '"1"']);
    assert.deepEqual(
      [json['name'], json['host'], json['port'], json['max_connections'], json['origin']],
      ['Main', 'DB-1.internal', 5432, 200, 'api'],
    );
    await call('PUT', '/servers/another', { host: 'db-2', port: 5433, max_connections: 9 });
    assert.deepEqual(names(await call('GET', '/servers')), ['another', 'Main']);
  });

  it('tells how many tenants it has, and what they may have together, up to its cap', async () => {
    for (const [id, host] of Object.entries({ a: 'db-1.INTERNAL', b: 'db-1.internal', c: 'x' })) {
      const body = tenantBody(id, { host, port: 5432, max_connections: 150 });
      assert.equal((await call('POST', '/tenants', body)).status, 201);
    }
    const { json } = await call('GET', '/servers/main');
    assert.deepEqual(
      [json['tenants'], json['budget'], json['server_max_connections']],
      [2, 200, null],
    );
    const rehearsed = await call('PUT', '/servers/more?dry_run=true', {
      host: 'x',
      max_connections: 9,
    });
    const { events, delta, servers } = rehearsed.json as unknown as Rehearsed;
    assert.deepEqual([events[0]?.type, delta.changes[0]?.kind], ['ServerSet', 'server_set']);
    assert.deepEqual(
      servers.map((one) => [one['declared_as'], one['declared_max_connections'], one['budget']]),
      [['more', 9, 9]],
    );
    assertProblem(await call('GET', '/servers/more'), 404, 'SERVER_NOT_FOUND');
  });

  it('is changed by PATCH and PUT on the version that is named, or is refused', async () => {
    const bare = await call('PATCH', '/servers/main', { max_connections: 1 });
    assertProblem(bare, 428, 'PRECONDITION_REQUIRED');
    const headers = { 'if-match': '"9"' };
    const body = { max_connections: 1 };
    const stale = await plane.call('PATCH', '/servers/main', { body, headers });
    assertProblem(stale, 412, 'VERSION_CONFLICT');
    const patched = await plane.change('PATCH', '/servers/main', { body: { port: 5434 } });
    assert.deepEqual([patched.json['port'], patched.json['max_connections']], [5434, 200]);
    const read = await call('GET', '/servers/main');
    const whole = { ...read.json, max_connections: 70 };
    const put = await plane.change('PUT', '/servers/main', { body: whole });
    assert.deepEqual([put.status, put.json['max_connections'], put.json['version']], [200, 70, 3]);
    const again = await plane.change('PUT', '/servers/main', { body: whole });
    assert.equal(again.json['version'], 3, 'nothing changes, nothing is written');
    const renamed = await plane.change('PUT', '/servers/main', { body: { ...whole, name: 'b' } });
    assertProblem(renamed, 400, 'VALIDATION_FAILED');
  });

  it('has an address of its own, and a name that can be one', async () => {
    const taken = await call('PUT', '/servers/c', { host: 'DB-2', port: 5433, max_connections: 1 });
    assertProblem(taken, 409, 'SERVER_ADDRESS_TAKEN');
    const bad = await call('PUT', '/servers/a__b', { host: 'h', max_connections: 1 });
    assertProblem(bad, 400, 'VALIDATION_FAILED');
    assertProblem(await call('PUT', '/servers/c', { host: 'h' }), 400, 'VALIDATION_FAILED');
  });

  it('is put back with the config, and shows in what was and what differs', async () => {
    const head = Number((await call('GET', '/config')).json['position']);
    const removed = await plane.change('DELETE', '/servers/another');
    assert.equal(removed.status, 204);
    assertProblem(await call('GET', '/servers/another'), 404, 'SERVER_NOT_FOUND');
    await plane.change('PATCH', '/servers/main', { body: { max_connections: 71 } });
    assert.deepEqual(names(await call('GET', `/config?at=${head}`)), ['another', 'Main']);
    const diff = (await call('GET', `/config/diff?from=${head}`)).json['servers'];
    assert.deepEqual(diff, {
      added: [],
      removed: [{ name: 'another' }],
      changed: [{ name: 'Main', changes: [{ field: 'max_connections', from: 70, to: 71 }] }],
    });
    const { json } = await call('POST', '/config/rollback', { to: head });
    assert.deepEqual(json['servers'], { set: ['another', 'main'], removed: [] });
    assert.equal((await call('GET', '/servers/main')).json['max_connections'], 70);
    assert.equal((await call('GET', '/servers/another')).json['version'], 3);
  });

  it('has a history in the event log, with who and why', async () => {
    const { json } = await call('GET', '/events?server=MAIN&order=desc&limit=2');
    const events = json['events'] as readonly Readonly<Record<string, unknown>>[];
    assert.deepEqual(
      events.map(({ type, stream, tenant }) => [type, stream, tenant]),
      [
        ['ServerSet', 'server/main', null],
        ['ServerSet', 'server/main', null],
      ],
    );
    const both = await call('GET', '/events?server=main&tenant=a');
    assertProblem(both, 400, 'VALIDATION_FAILED');
  });

  it('is declared once when a request with an Idempotency-Key is repeated', async () => {
    const body = { host: 'db-9', max_connections: 5 };
    const headers = { 'idempotency-key': 'once' };
    const first = await plane.call('PUT', '/servers/once', { body, headers });
    const second = await plane.call('PUT', '/servers/once', { body, headers });
    assert.deepEqual([first.status, second.status], [201, 201]);
    assert.equal(second.headers.get('idempotency-replayed'), 'true');
    assert.equal(second.text, first.text);
  });

  it('is there after a restart and a rebuild of the read models', async () => {
    const before = (await call('GET', '/servers')).text;
    await plane.stop();
    await plane.start();
    assert.equal((await call('GET', '/servers')).text, before);
    assert.ok((await call('POST', '/read-models/rebuild')).status < 300);
    assert.equal((await call('GET', '/servers')).text, before);
  });

  it('is hidden from keys that are limited to some tenants', async () => {
    const body = { name: 'limited', scope: 'viewer', tenants: 'a*' };
    const key = String((await call('POST', '/api-keys', body)).json['key']);
    assertProblem(await plane.call('GET', '/servers', { key }), 403, 'TENANT_OUT_OF_REACH');
  });
});

describe('servers of the config file', () => {
  const text = (servers: string) => `${servers}\ntenants: {}\n`;

  it('are declared, changed and removed with it, and told where they are wrong', async () => {
    await using own = new TestControlPlane({ DBBOUNCER_API_KEY: 'test-key-0123456789' });
    const write = async (content: string) => {
      writeFileSync(join(own.dir, 'dbbouncer.yaml'), content);
      const { json } = await own.call('POST', '/config-file/reload');
      return json;
    };
    const file = join(own.dir, 'dbbouncer.yaml');
    writeFileSync(file, text('servers: {main: {host: db, max_connections: 20}}'));
    await own.start();
    const read = async () => (await own.call('GET', '/servers')).json['servers'];
    const [main] = (await read()) as readonly Readonly<Record<string, unknown>>[];
    assert.deepEqual([main?.['max_connections'], main?.['origin']], [20, 'file']);
    const gone = await write('tenants: {}\n');
    assert.equal(gone['state'], 'rejected');
    assert.match(JSON.stringify(gone['problems']), /write \\"servers: \{\}\\"/);
    const twice =
      'servers:\n  a: {host: h, max_connections: 1}\n  b: {host: H, max_connections: 1}';
    const [problem] = (await write(text(twice)))['problems'] as readonly { line: number }[];
    assert.equal(problem?.line, 3);
    await own.change('PATCH', '/servers/main', { body: { max_connections: 30 } });
    const kept = await write(text('servers: {main: {host: db, max_connections: 20}}'));
    assert.deepEqual((kept['kept'] as Record<string, unknown>)['servers'], ['main']);
    assert.equal((await write(text('servers: {}')))['state'], 'applied');
    assert.deepEqual(await read(), []);
  });
});
