/**
 * Idempotency-Key over real HTTP and a real SQLite file: a repeated write answers the same and
 * changes nothing, whatever happens to the process between the two.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer, CallOptions } from './harness.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

let count = 0;
let id = '';
let key = '';
beforeEach(() => {
  count += 1;
  id = `acme-${count}`;
  key = `key-${count}`;
});

/** A write under the key of the test. */
function write(method: string, path: string, { headers, ...options }: CallOptions = {}) {
  return plane.call(method, path, { ...options, headers: { 'idempotency-key': key, ...headers } });
}

async function register(): Promise<void> {
  const { status } = await plane.call('POST', '/tenants', { body: tenantBody(id) });
  assert.equal(status, 201);
}

async function position(): Promise<unknown> {
  return (await plane.call('GET', '/fleet')).json['position'];
}

function facts({ status, text, headers }: Answer): readonly unknown[] {
  return [status, text, headers.get('etag'), headers.get('location'), headers.get('content-type')];
}

/** The repetition reads what the first one read, and says that it is one. */
function assertReplayed(first: Answer, repeated: Answer): void {
  assert.equal(first.headers.get('idempotency-replayed'), null, first.text);
  assert.equal(repeated.headers.get('idempotency-replayed'), 'true', repeated.text);
  assert.deepEqual(facts(repeated), facts(first));
}

describe('a write that is repeated with its key', () => {
  it('registers once: the same status, body, ETag and Location', async () => {
    const body = tenantBody(id);
    const first = await write('POST', '/tenants', { body });
    assert.equal(first.status, 201);
    const reached = await position();
    assertReplayed(first, await write('POST', '/tenants', { body }));
    assert.equal(await position(), reached);
  });

  it('is answered from before its own change: PATCH and PUT at If-Match "1", DELETE', async () => {
    await register();
    const headers = { 'if-match': '"1"' };
    const patch = { body: { port: 6000 }, headers };
    const patched = await write('PATCH', `/tenants/${id}`, patch);
    assert.equal(patched.headers.get('etag'), '"2"');
    assertReplayed(patched, await write('PATCH', `/tenants/${id}`, patch));
    key += '-put';
    const put = { body: { ...tenantBody(id), port: 7000 }, headers: { 'if-match': '"2"' } };
    assertReplayed(
      await write('PUT', `/tenants/${id}`, put),
      await write('PUT', `/tenants/${id}`, put),
    );
    key += '-delete';
    const last = { headers: { 'if-match': '"3"' } };
    const removed = await write('DELETE', `/tenants/${id}`, last);
    assert.equal(removed.status, 204);
    assertReplayed(removed, await write('DELETE', `/tenants/${id}`, last));
    key += '-again';
    assertProblem(await write('DELETE', `/tenants/${id}`, last), 404, 'TENANT_NOT_FOUND');
  });

  it('does an operation once that would be done each time', async () => {
    await register();
    const killed = await write('POST', `/tenants/${id}/kill`);
    assert.equal(killed.json['version'], 2);
    assertReplayed(killed, await write('POST', `/tenants/${id}/kill`));
    const { json } = await plane.call('GET', `/tenants/${id}`);
    assert.equal(json['version'], 2);
  });

  it('is the same request with its members in another order, and waiting or not', async () => {
    await register();
    const headers = { 'if-match': '"1"' };
    const first = await write('PATCH', `/tenants/${id}`, {
      body: { port: 6000, host: 'h' },
      headers,
    });
    const repeated = await write('PATCH', `/tenants/${id}?wait=applied&timeout=1`, {
      body: { host: 'h', port: 6000 },
      headers,
    });
    assert.equal(repeated.status, 200, repeated.text);
    const { applied, ...rest } = repeated.json;
    assert.deepEqual(rest, first.json);
    assert.deepEqual(applied, { position: await position(), proxies: 0, lagging: [], lost: [] });
  });

  it('is done once when 20 are sent at the same time', async () => {
    await register();
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => write('POST', `/tenants/${id}/reconnect`)),
    );
    assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
    const first = answers.filter(({ headers }) => headers.get('idempotency-replayed') === null);
    assert.equal(first.length, 1);
    assert.equal((await plane.call('GET', `/tenants/${id}`)).json['version'], 2);
  });

  it('is known after a restart', async () => {
    await register();
    const first = await write('POST', `/tenants/${id}/reconnect`);
    await plane.stop();
    await plane.start();
    assertReplayed(first, await write('POST', `/tenants/${id}/reconnect`));
  });
});

describe('writes of other things', () => {
  it('make an API key once, and tell it once: a repetition has all but the key', async () => {
    const body = { name: `key of ${id}`, scope: 'viewer' };
    const rehearsed = await write('POST', '/api-keys?dry_run=true', { body });
    assert.equal(rehearsed.status, 200, rehearsed.text);
    assert.doesNotMatch(rehearsed.text, /SCRAM-SHA-256|scrypt/);
    assert.equal((rehearsed.json['result'] as { readonly key: unknown }).key, null);
    const first = await write('POST', '/api-keys', { body });
    assert.equal(first.status, 201, first.text);
    assert.match(String(first.json['key']), /^dbb_/);
    const repeated = await write('POST', '/api-keys', { body });
    assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
    assert.deepEqual(repeated.json, { ...first.json, key: null });
    for (const name of readdirSync(plane.dir, { recursive: true, encoding: 'utf8' })) {
      if (!name.includes('dbbouncer.db')) continue;
      assert.ok(!readFileSync(join(plane.dir, name)).includes(String(first.json['key'])), name);
    }
  });

  it('take a chosen API key once: the repetition is not refused because it is there', async () => {
    const body = { name: `key of ${id}`, scope: 'viewer', key: `chosen-key-of-${id}-0123456789` };
    const first = await write('POST', '/api-keys', { body });
    assert.equal(first.status, 201, first.text);
    assertReplayed(first, await write('POST', '/api-keys', { body }));
    const path = String(first.headers.get('location'));
    key += '-revoke';
    const headers = { 'if-match': '"1"' };
    const revoked = await write('DELETE', path, { headers });
    assert.equal(revoked.status, 204);
    assertReplayed(revoked, await write('DELETE', path, { headers }));
  });

  it('put a tenant and the config back once, after a rehearsal', async () => {
    await register();
    const to = await position();
    await plane.change('PATCH', `/tenants/${id}`, { body: { port: 6000 } });
    for (const path of [`/tenants/${id}/rollback`, '/config/rollback']) {
      const changed = await position();
      const rehearsed = await write('POST', `${path}?dry_run=true`, { body: { to } });
      assert.equal(rehearsed.status, 200, rehearsed.text);
      assert.deepEqual(
        (rehearsed.json['events'] as readonly { readonly type: string }[]).map(({ type }) => type),
        ['TenantRolledBack'],
      );
      const { changes } = rehearsed.json['delta'] as { readonly changes: readonly unknown[] };
      assert.equal(changes.length, 1);
      assert.equal(await position(), changed);
      const first = await write('POST', `${path}?wait=applied`, { body: { to } });
      assert.equal(first.status, 200, first.text);
      assert.equal(first.json['outcome'], 'rolled_back');
      const reached = await position();
      await plane.change('PATCH', `/tenants/${id}`, { body: { port: 6000 } });
      const repeated = await write('POST', path, { body: { to } });
      assert.equal(repeated.headers.get('idempotency-replayed'), 'true', repeated.text);
      assert.equal(await position(), Number(reached) + 1);
      key += '-config';
    }
  });
});

describe('the key of the settings', () => {
  it('knows what was done under another text of it, and events tell which it was', async () => {
    const env = { DBBOUNCER_API_KEY: 'the-first-key-of-the-settings' };
    await using other = new TestControlPlane(env);
    await other.start();
    const asked = { body: tenantBody('acme'), headers: { 'idempotency-key': 'once' } };
    const register = () => other.call('POST', '/tenants', { ...asked, key: env.DBBOUNCER_API_KEY });
    const first = await register();
    assert.equal(first.status, 201, first.text);
    await other.stop();
    env.DBBOUNCER_API_KEY = 'another-key-of-the-settings';
    await other.start();
    assertReplayed(first, await register());
    await other.call('POST', '/tenants/acme/kill', { key: env.DBBOUNCER_API_KEY });
    const { json } = await other.call('GET', '/events', { key: env.DBBOUNCER_API_KEY });
    const actors = (json['events'] as readonly { readonly actor: string }[]).map(
      ({ actor }) => actor,
    );
    assert.equal(new Set(actors).size, 2, String(actors));
  });
});

describe('another write with a key that was used', () => {
  it('is refused with 422 and changes nothing', async () => {
    await register();
    const path = `/tenants/${id}`;
    const done = await write('PATCH', path, { body: { port: 6000 }, headers: { 'if-match': '*' } });
    assert.equal(done.status, 200);
    const others: readonly (readonly [string, string, CallOptions])[] = [
      ['PATCH', path, { body: { port: 6001 } }],
      ['PATCH', path, { body: { port: 6000 }, headers: { 'if-match': '"1"' } }],
      ['PATCH', path, { body: { port: 6000 }, headers: { 'x-reason': 'another' } }],
      ['PATCH', `${path}?reason=another`, { body: { port: 6000 } }],
      ['PATCH', `${path}?force=true`, { body: { port: 6000 } }],
      ['PATCH', '/tenants/another', { body: { port: 6000 } }],
      ['DELETE', path, {}],
      ['POST', '/tenants', { body: tenantBody(`${id}-b`) }],
    ];
    const reached = await position();
    for (const [method, where, options] of others) {
      assertProblem(await write(method, where, options), 422, 'IDEMPOTENCY_KEY_REUSED');
    }
    assert.equal(await position(), reached);
  });

  it('is done when the first was refused: nothing was kept of it', async () => {
    await register();
    assertProblem(await write('POST', '/tenants', { body: tenantBody(id) }), 409, 'TENANT_EXISTS');
    const { status } = await write('POST', '/tenants', { body: tenantBody(`${id}-b`) });
    assert.equal(status, 201);
  });

  it('is done when the first was a rehearsal', async () => {
    await register();
    const rehearsed = await write('POST', `/tenants/${id}/kill?dry_run=true`);
    assert.equal(rehearsed.json['dry_run'], true);
    const { json, headers } = await write('POST', `/tenants/${id}/kill`);
    assert.deepEqual([json['version'], headers.get('idempotency-replayed')], [2, null]);
  });
});

describe('an Idempotency-Key', () => {
  it('has 1 to 255 visible ASCII characters, else 400', async () => {
    await register();
    for (const wrong of ['', 'a b', 'é', 'x'.repeat(256)]) {
      const headers = { 'idempotency-key': wrong };
      const answer = await plane.call('POST', `/tenants/${id}/kill`, { headers });
      const problem = assertProblem(answer, 400, 'VALIDATION_FAILED');
      assert.match(JSON.stringify(problem['errors']), /idempotency-key/);
    }
    const headers = { 'idempotency-key': 'x'.repeat(255) };
    assert.equal((await plane.call('POST', `/tenants/${id}/kill`, { headers })).status, 200);
  });

  it('leaves no password in the database, not even as a hash of the request alone', async () => {
    const body = tenantBody(id, { password: `planted-${id}` });
    await write('POST', '/tenants', { body });
    for (const name of readdirSync(plane.dir, { recursive: true, encoding: 'utf8' })) {
      if (!name.includes('dbbouncer.db')) continue;
      assert.ok(!readFileSync(join(plane.dir, name)).includes(`planted-${id}`), name);
    }
  });
});
