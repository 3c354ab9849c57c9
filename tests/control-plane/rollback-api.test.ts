/** Putting things back over real HTTP and a real SQLite file: tenants, removed ones, the config. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import { DATABASE_FILE } from '@dbbouncer/control-plane/core.ts';
import { openLogOf, reading } from '@dbbouncer/control-plane/maintenance/data-folder.ts';
import { verifyLog } from '@dbbouncer/control-plane/maintenance/verify.ts';
import type { StoredEvent } from '@dbbouncer/control-plane/store/event.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import { until } from './core-harness.ts';
import { deltasOn } from './published.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import type { Answer } from './harness.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

let made = 0;
async function register(extra: Readonly<Record<string, unknown>> = {}): Promise<string> {
  const id = `t${(made += 1)}`;
  await done(201, 'POST', '/tenants', tenantBody(id, extra));
  return id;
}

async function done(status: number, method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await plane.call(method, path, {
    ...(body !== undefined && { body }),
    headers: { 'if-match': '*' },
  });
  assert.equal(answer.status, status, answer.text);
  return answer;
}

const patch = (id: string, body: unknown) => done(200, 'PATCH', `/tenants/${id}`, body);
const remove = (id: string) => done(204, 'DELETE', `/tenants/${id}`);
const read = (id: string) => plane.call('GET', `/tenants/${id}`);
const post = (path: string, body?: unknown) => plane.call('POST', path, { body });

function position(): number {
  return plane.running.status().position;
}

function lastEvent(): StoredEvent {
  const [event] = reading(openLogOf(join(plane.dir, 'data')), (log) => [
    ...log.readAll(position() - 1, 1),
  ]);
  assert.ok(event !== undefined);
  return event;
}

/** What of an answer people set themselves. */
function settings({ json }: Answer): Readonly<Record<string, unknown>> {
  const own = new Set(['version', 'updated_at', 'created_at', 'outcome', 'to']);
  return Object.fromEntries(Object.entries(json).filter(([name]) => !own.has(name)));
}

/** The password that an event leaves its tenant with, in clear. */
function openPassword(data: StoredEvent['data'], id: string): string {
  const { password } = data['tenant'] as unknown as { readonly password: Secret };
  const source = openKeySource({
    masterKey: undefined,
    dataDir: join(plane.dir, 'data'),
    whenAbsent: 'wait',
  });
  return new Keyring(source, () => undefined).open(password, id);
}

describe('POST /tenants/{id}/rollback', () => {
  it('makes a tenant what it was at a position, in one event that says why', async () => {
    const id = await register({ host: 'one', max_connections: 7, init_sql: 'SET a = 1' });
    const then = position();
    const before = await read(id);
    await patch(id, { host: 'two', port: 6_000, max_connections: 9, init_sql: null });
    await patch(id, { password: 'another-planted' });
    const head = position();
    const body = { to: then, reason: 'two was wrong' };
    const answer = await post(`/tenants/${id}/rollback`, body);
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual([answer.json['outcome'], answer.json['to']], ['rolled_back', then]);
    assert.equal(answer.headers.get('etag'), '"4"');
    assert.equal(position(), head + 1);
    assert.deepEqual(settings(await read(id)), settings(before));
    const event = lastEvent();
    assert.deepEqual([event.type, event.reason], ['TenantRolledBack', 'two was wrong']);
    assert.equal(openPassword(event.data, id), 'hunter2-planted');
    assert.doesNotMatch(answer.text, /planted/);
  });

  it('takes a time with any offset, and the position as text', async () => {
    const id = await register({ host: 'one' });
    const at = String((await read(id)).json['updated_at']);
    await until('the clock shows a later millisecond', () => new Date().toISOString() > at);
    await patch(id, { host: 'two' });
    const eastern = new Date(Date.parse(at) + 7_200_000).toISOString().replace('Z', '+02:00');
    const answer = await post(`/tenants/${id}/rollback`, { to: eastern });
    assert.deepEqual([answer.json['host'], answer.json['outcome']], ['one', 'rolled_back']);
    const again = await post(`/tenants/${id}/rollback`, { to: String(position() - 1) });
    assert.deepEqual([again.json['host'], again.json['outcome']], ['two', 'rolled_back']);
  });

  it('says unchanged, and writes nothing, when it is as it was then', async () => {
    const id = await register();
    const then = position();
    const [{ json: tenant }] = [await read(id)];
    await patch(id, { password: 'other-planted' });
    await patch(id, { password: 'hunter2-planted' });
    const head = position();
    const answer = await post(`/tenants/${id}/rollback`, { to: then });
    assert.equal(answer.json['outcome'], 'unchanged', 'sealed anew, the password is the same');
    assert.equal(answer.json['host'], tenant['host']);
    assert.equal(position(), head);
  });

  it('brings back one that was removed since', async () => {
    const id = await register({ host: 'one' });
    const then = position();
    await patch(id, { host: 'two' });
    await remove(id);
    const answer = await post(`/tenants/${id}/rollback`, { to: then });
    assert.deepEqual([answer.json['outcome'], answer.json['host']], ['restored', 'one']);
    assert.equal((await read(id)).status, 200);
  });

  it('lets an operator roll back what is there, not bring back what was removed', async () => {
    const id = await register({ host: 'one' });
    const body = { name: `operator of ${id}`, scope: 'operator' };
    const key = String((await plane.call('POST', '/api-keys', { body })).json['key']);
    const back = () => plane.call('POST', `/tenants/${id}/rollback`, { body: { to: then }, key });
    const then = position() - 1;
    await patch(id, { host: 'two' });
    assert.equal((await back()).json['host'], 'one');
    await remove(id);
    assertProblem(await back(), 403, 'SCOPE_MISSING');
    const restore = await plane.call('POST', `/tenants/${id}/restore`, { key });
    assertProblem(restore, 403, 'SCOPE_MISSING');
  });

  it('lets no operator bring back one that spoke another protocol', async () => {
    const id = await register({ host: 'one' });
    const then = position();
    await remove(id);
    await done(201, 'POST', '/tenants', tenantBody(id, { db_type: 'mysql' }));
    const body = { name: `operator of ${id}`, scope: 'operator' };
    const key = String((await post('/api-keys', body)).json['key']);
    const now = position();
    const path = `/tenants/${id}/rollback`;
    for (const query of ['', '?dry_run=true']) {
      const answer = await plane.call('POST', `${path}${query}`, { body: { to: then }, key });
      assertProblem(answer, 403, 'SCOPE_MISSING');
    }
    assert.equal(position(), now);
    assert.equal((await post(path, { to: then })).json['outcome'], 'restored');
  });

  it('can be rehearsed, and repeated under a key', async () => {
    const id = await register({ host: 'one' });
    const [then, body] = [position(), { to: position() }];
    await patch(id, { host: 'two' });
    const head = position();
    for (const path of [`/tenants/${id}/rollback`, '/config/rollback']) {
      const { json } = await plane.call('POST', `${path}?dry_run=true`, { body });
      const events = json['events'] as readonly { readonly type: string }[];
      assert.deepEqual(
        events.map(({ type }) => type),
        ['TenantRolledBack'],
      );
    }
    assert.equal(position(), head);
    const headers = { 'idempotency-key': `back-${id}` };
    const options = { body: { to: then }, headers };
    const first = await plane.call('POST', `/tenants/${id}/rollback`, options);
    const again = await plane.call('POST', `/tenants/${id}/rollback`, options);
    assert.equal(again.text, first.text);
    assert.equal(again.headers.get('idempotency-replayed'), 'true');
    assert.equal(position(), head + 1);
  });

  it('keeps a pause of now', async () => {
    const id = await register({ host: 'one' });
    const then = position();
    await patch(id, { host: 'two' });
    await done(200, 'POST', `/tenants/${id}/pause`);
    const answer = await post(`/tenants/${id}/rollback`, { to: then });
    assert.deepEqual([answer.json['host'], answer.json['state']], ['one', 'paused']);
  });

  it('refuses what is unknown, was absent then, has not come, is no time or is stale', async () => {
    const id = await register();
    const path = `/tenants/${id}/rollback`;
    const unknown = await post('/tenants/nobody/rollback', { to: 1 });
    assertProblem(unknown, 404, 'TENANT_NOT_FOUND');
    assertProblem(await post(path, { to: position() - 1 }), 409, 'TENANT_ABSENT_THEN');
    assertProblem(await post(path, { to: 0 }), 409, 'TENANT_ABSENT_THEN');
    const wrong = [position() + 1, -1, 1.5, null, 'yesterday', '2026-01-01', '', {}, [1], true];
    for (const to of wrong) {
      const problem = assertProblem(await post(path, { to }), 400, 'VALIDATION_FAILED');
      const errors = problem['errors'] as readonly { readonly path: string }[];
      assert.deepEqual(
        errors.map((error) => error.path),
        ['to'],
        JSON.stringify(to),
      );
    }
    assertProblem(await post(path, {}), 400, 'VALIDATION_FAILED');
    assertProblem(await post(path, { to: 1, why: 'x' }), 400, 'VALIDATION_FAILED');
    assertProblem(await post(path, { to: 1, reason: 'x'.repeat(501) }), 400, 'VALIDATION_FAILED');
    const headers = { 'if-match': '"9"' };
    const stale = await plane.call('POST', path, { body: { to: position() }, headers });
    assertProblem(stale, 412, 'VERSION_CONFLICT');
    const body = { to: 1 };
    assertProblem(await plane.call('POST', path, { body, key: 'no' }), 401, 'UNAUTHORIZED');
  });
});

describe('POST /tenants/{id}/restore', () => {
  it('brings back what was last there, with its users and its sealed passwords', async () => {
    const users = [{ name: 'reader', password: 'reader-planted' }];
    const id = await register({ host: 'one', users });
    await patch(id, { host: 'two', password: 'last-planted' });
    const before = await read(id);
    const then = position();
    await remove(id);
    assertProblem(await read(id), 404, 'TENANT_NOT_FOUND');
    const answer = await post(`/tenants/${id}/restore`, { reason: 'removed by mistake' });
    assert.deepEqual(
      [answer.status, answer.json['outcome'], answer.json['to']],
      [200, 'restored', then],
    );
    assert.deepEqual(settings(await read(id)), settings(before));
    const event = lastEvent();
    assert.deepEqual([event.type, event.reason], ['TenantRestored', 'removed by mistake']);
    assert.equal(openPassword(event.data, id), 'last-planted');
  });

  it('needs no body', async () => {
    const id = await register();
    await remove(id);
    assert.equal((await post(`/tenants/${id}/restore`)).json['outcome'], 'restored');
  });

  it('refuses a tenant that is there, and one that never was', async () => {
    const id = await register();
    assertProblem(await post(`/tenants/${id}/restore`), 409, 'TENANT_EXISTS');
    assertProblem(await post('/tenants/nobody/restore'), 404, 'TENANT_NOT_FOUND');
  });
});

describe('POST /config/rollback', () => {
  it('puts all tenants back at once, and proxies hear of it in one delta', async () => {
    const [changed, removed] = [await register({ host: 'one' }), await register({ host: 'one' })];
    const untouched = await register({ host: 'one' });
    const then = position();
    await patch(changed, { host: 'two' });
    await remove(removed);
    const added = await register({ host: 'two' });
    await patch(untouched, { host: 'two' });
    await patch(untouched, { host: 'one' });
    await published();
    const told = (await deltasOn(plane.bus)).length;
    const answer = await post('/config/rollback', { to: then, reason: 'all of it' });
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(answer.json, {
      outcome: 'rolled_back',
      to: then,
      position: position(),
      defaults: 'unchanged',
      servers: { set: [], removed: [] },
      tenants: { rolled_back: [changed], restored: [removed], removed: [added] },
    });
    const hosts = [await read(changed), await read(removed)].map(({ json }) => json['host']);
    assert.deepEqual(hosts, ['one', 'one']);
    assert.equal((await read(added)).status, 404);
    assert.equal(lastEvent().reason, 'all of it');
    await published();
    const deltas = (await deltasOn(plane.bus)).slice(told);
    assert.deepEqual(
      deltas.map(({ changes }) => changes.length),
      [3],
    );

    const head = position();
    const again = await post('/config/rollback', { to: then });
    assert.deepEqual([again.json['outcome'], position()], ['unchanged', head]);
  });

  it('refuses a position that has not come', async () => {
    const answer = await post('/config/rollback', { to: position() + 1 });
    assertProblem(answer, 400, 'VALIDATION_FAILED');
  });
});

describe('passwords sealed before the master key was rotated', () => {
  const NEXT = `k2:${Buffer.alloc(32, 7).toString('base64')}`;
  let old: string;
  const keyFile = () => join(plane.dir, 'data', 'master.key');
  before(() => {
    old = readFileSync(keyFile(), 'utf8');
  });
  after(() => restartWith(old));

  async function restartWith(keys: string): Promise<void> {
    await plane.stop();
    writeFileSync(keyFile(), keys);
    await plane.start();
  }

  it('open as long as the old key is kept, and are sealed with the new one', async () => {
    const id = await register();
    await remove(id);
    await restartWith(`${NEXT}\n${old}`);
    await done(200, 'POST', `/tenants/${id}/restore`);
    const { data } = lastEvent();
    assert.match(JSON.stringify(data), /"keyId":"k2"/);
    assert.equal(openPassword(data, id), 'hunter2-planted');
    await restartWith(old);
  });

  it('keep all from going back when one does not open; nothing is written then', async () => {
    const [fine, sealed] = [await register({ password: '${PW}' }), await register()];
    const then = position();
    await patch(fine, { host: 'two' });
    await remove(sealed);
    await restartWith(NEXT);
    const head = position();
    for (const path of ['/config/rollback', `/tenants/${sealed}/rollback`]) {
      const problem = assertProblem(await post(path, { to: then }), 503, 'SECRET_UNAVAILABLE');
      assert.match(String(problem['detail']), new RegExp(`${sealed}.* needs the master key`));
    }
    assertProblem(await post(`/tenants/${sealed}/restore`), 503, 'SECRET_UNAVAILABLE');
    assert.equal(position(), head);
    assert.equal((await read(fine)).json['host'], 'two');
  });
});

describe('POST /read-models/rebuild', () => {
  it('mends what is not as the events say, and answers what that was', async () => {
    const id = await register({ host: 'one' });
    assert.deepEqual((await post('/read-models/rebuild')).json, {
      position: position(),
      mended: null,
    });
    const client = new Database(join(plane.dir, 'data', DATABASE_FILE));
    client.exec(`UPDATE tenants SET data = replace(data, '"one"', '"eve"') WHERE key = '${id}'`);
    client.close();
    assert.equal((await read(id)).json['host'], 'eve');
    const { json } = await post('/read-models/rebuild');
    const reason = 'is not what the events say';
    assert.deepEqual(json, {
      position: position(),
      mended: { table: 'tenants', row: id, field: 'data.host', reason },
    });
    assert.equal((await read(id)).json['host'], 'one');
  });

  it('goes on while tenants are written, and loses none of them', async () => {
    const ids = Array.from({ length: 300 }, (_, index) => `many-${index}`);
    const write = (id: string) => done(201, 'POST', '/tenants', tenantBody(id));
    await Promise.all(ids.slice(0, 250).map(write));
    const rebuilding = post('/read-models/rebuild');
    await Promise.all(ids.slice(250).map(write));
    assert.equal((await rebuilding).status, 200);
    const { json } = await plane.call('GET', '/tenants?limit=1000&search=many-');
    assert.equal((json['tenants'] as readonly unknown[]).length, 300);
  });
});

describe('the log afterwards', () => {
  it('is whole, and folds to what the API shows', () => {
    const verdict = reading(openLogOf(join(plane.dir, 'data')), (log) => verifyLog(log));
    assert.equal(verdict.outcome, 'whole');
    assert.equal(verdict.position, position());
  });

  it('has no password in clear', () => {
    const file = join(plane.dir, 'data', DATABASE_FILE);
    for (const name of [file, `${file}-wal`]) {
      assert.doesNotMatch(readFileSync(name, 'latin1'), /planted/);
    }
    assert.doesNotMatch(plane.log, /planted/);
  });
});

async function published(): Promise<void> {
  await until('proxies were told of everything', () => {
    const { publishedPosition } = plane.running.status();
    return publishedPosition === position();
  });
}
