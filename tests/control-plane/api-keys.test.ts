/**
 * API keys over real HTTP and a real SQLite file: what is created, shown, changed, revoked and
 * refused, and what outlives a restart.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { parseVerifier } from '@dbbouncer/data-plane/wire/postgres/scram.ts';
import { until } from './core-harness.ts';
import { API_KEY, assertProblem, TestControlPlane, tenantBody } from './harness.ts';
import type { Answer } from './harness.ts';
import { deltasOn } from './published.ts';

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
  for (const id of ['acme-1', 'acme-2', 'other']) {
    await plane.call('POST', '/tenants', { body: tenantBody(id) });
  }
});
after(() => plane[Symbol.asyncDispose]());

let made = 0;
type Fields = Readonly<Record<string, unknown>>;

function post(fields: Fields = {}, on = plane): Promise<Answer> {
  const body = { name: `key ${(made += 1)}`, scope: 'viewer', ...fields };
  return on.call('POST', '/api-keys', { body });
}

interface Created {
  readonly id: string;
  readonly key: string;
  readonly path: string;
}

async function create(fields: Fields = {}, on = plane): Promise<Created> {
  const answer = await post(fields, on);
  assert.equal(answer.status, 201, answer.text);
  const id = String(answer.json['id']);
  return { id, key: String(answer.json['key']), path: `/api-keys/${id}` };
}

describe('POST /api-keys', () => {
  it('makes a key of 192 bits, shows it once, and never again', async () => {
    const answer = await post({ name: 'deploy', scope: 'operator', tenants: 'acme-*' });
    assert.equal(answer.status, 201, answer.text);
    const { id, key, prefix, created_at, updated_at, created_by, ...rest } = answer.json;
    assert.match(String(id), /^[0-9a-f]{12}$/);
    assert.match(String(key), /^dbb_[\w-]{32}$/);
    assert.equal(prefix, String(key).slice(0, 8));
    assert.match(String(created_by), /^api:[0-9a-f]{8}$/);
    assert.equal(created_at, updated_at);
    assert.deepEqual(rest, {
      name: 'deploy',
      scope: 'operator',
      tenants: 'acme-*',
      origin: 'api',
      state: 'live',
      expires_at: null,
      last_used_at: null,
      revoked_at: null,
      version: 1,
    });
    assert.equal(answer.headers.get('location'), `/api-keys/${String(id)}`);
    assert.equal(answer.headers.get('etag'), '"1"');
    const { key: _, ...shown } = answer.json;
    assert.deepEqual((await plane.call('GET', `/api-keys/${String(id)}`)).json, shown);
  });

  it('takes a key that is chosen, and does not repeat it', async () => {
    const answer = await post({ key: 'chosen-by-operators' });
    assert.equal(answer.status, 201, answer.text);
    assert.equal(answer.json['key'], null);
    assert.equal(answer.json['prefix'], 'chos');
    const used = await plane.call('GET', '/tenants', { key: 'chosen-by-operators' });
    assert.equal(used.status, 200);
  });

  it('refuses a chosen key of 15 characters, without repeating it', async () => {
    const answer = await post({ key: 'planted-15-chrs' });
    const { errors } = assertProblem(answer, 400, 'VALIDATION_FAILED');
    assert.deepEqual((errors as readonly { path: string }[])[0]?.path, 'key');
    assert.match(answer.text, /has 15 characters; at least 16 are needed/);
    assert.ok(!answer.text.includes('planted'));
  });

  it('takes a short one in development', async () => {
    await using other = await TestControlPlane.start({ DBBOUNCER_ENVIRONMENT: 'development' });
    assert.equal((await post({ key: 'dev' }, other)).status, 201);
    assert.equal((await other.call('GET', '/tenants', { key: 'dev' })).status, 200);
  });

  it('refuses a key that is in use, also that of the settings', async () => {
    await create({ key: 'in-use-by-somebody' });
    for (const key of ['in-use-by-somebody', API_KEY]) {
      assertProblem(await post({ key }), 409, 'API_KEY_EXISTS');
    }
  });

  it('refuses the name of a live key in any case, and takes that of a revoked one', async () => {
    const { path } = await create({ name: 'Taken' });
    assertProblem(await post({ name: 'tAKEN' }), 409, 'API_KEY_EXISTS');
    assertProblem(await post({ name: 'bootstrap' }), 409, 'API_KEY_EXISTS');
    assert.equal((await plane.change('DELETE', path)).status, 204);
    assert.equal((await post({ name: 'taken' })).status, 201);
  });

  it('names every wrong field and repeats no key', async () => {
    const wrong = { scope: 'root', tenants: 'a/b', expires_at: 'soon', key: 'plänted', x: 1 };
    const answer = await post(wrong);
    const { errors } = assertProblem(answer, 400, 'VALIDATION_FAILED');
    const paths = (errors as readonly { path: string }[]).map(({ path }) => path);
    assert.deepEqual(paths.sort(), ['expires_at', 'key', 'scope', 'tenants', 'x']);
    assert.ok(!answer.text.includes('plänted'));
    assertProblem(await post({ expires_at: '2020-01-01T00:00:00Z' }), 400, 'VALIDATION_FAILED');
    const { detail } = assertProblem(await post({ expires_at: 'soon' }), 400, 'VALIDATION_FAILED');
    assert.match(String(detail), /^expires_at must be a time with its offset, such as 2026-/);
  });

  it('refuses a name with characters that nobody sees in a log', async () => {
    for (const unseen of ['\n', '\u{9b}31m', '\u{200b}', '\u{202e}', '\u{2028}', '\u{d83d}']) {
      const answer = await post({ name: `boot${unseen}strap` });
      const { detail } = assertProblem(answer, 400, 'VALIDATION_FAILED');
      assert.match(String(detail), /^name must not contain control characters or others/);
    }
    assert.equal((await post({ name: 'Zoë 🙂 №1' })).status, 201);
  });

  it('keeps times in one form, whatever their precision and offset', async () => {
    for (const [given, kept] of [
      ['2999-01-01T00:00:00Z', '2999-01-01T00:00:00.000Z'],
      ['2999-01-01T00:00:00.5Z', '2999-01-01T00:00:00.500Z'],
      ['2999-01-01T00:00:00.123456Z', '2999-01-01T00:00:00.123Z'],
      ['2999-01-01T00:00:00+01:00', '2998-12-31T23:00:00.000Z'],
    ] as const) {
      const answer = await post({ expires_at: given });
      assert.equal(answer.json['expires_at'], kept, answer.text);
    }
  });
});

describe('GET /api-keys', () => {
  it('shows the key of the settings as an admin, which cannot be changed here', async () => {
    const { json } = await plane.call('GET', '/api-keys');
    const [first] = json['api_keys'] as readonly Fields[];
    assert.deepEqual(
      [first?.['name'], first?.['scope'], first?.['origin'], first?.['state'], first?.['prefix']],
      ['bootstrap', 'admin', 'settings', 'live', API_KEY.slice(0, 4)],
    );
    const path = `/api-keys/${String(first?.['id'])}`;
    assert.equal((await plane.call('GET', path)).json['name'], 'bootstrap');
    for (const method of ['PATCH', 'DELETE']) {
      const answer = await plane.call(method, path, method === 'PATCH' ? { body: {} } : {});
      assertProblem(answer, 409, 'API_KEY_BUILT_IN');
    }
    assert.equal((await plane.call('GET', '/api-keys')).status, 200);
  });

  it('pages through all, with the revoked ones when asked', async () => {
    await using other = await TestControlPlane.start();
    const created: Created[] = [];
    for (let i = 0; i < 5; i++) created.push(await create({}, other));
    await other.change('DELETE', created[2]?.path ?? '');
    const idsOf = async (include: string) => {
      const ids: unknown[] = [];
      let cursor: unknown = '';
      do {
        const from = cursor === '' ? '' : `&cursor=${String(cursor)}`;
        const { json } = await other.call('GET', `/api-keys?limit=2&include=${include}${from}`);
        ids.push(...(json['api_keys'] as readonly Fields[]).map((key) => key['id']));
        cursor = json['next_cursor'];
      } while (cursor !== null);
      return ids.slice(1);
    };
    const all = created.map(({ id }) => id).sort();
    assert.deepEqual(await idsOf('revoked_too'), all);
    assert.deepEqual(
      await idsOf('live'),
      all.filter((id) => id !== created[2]?.id),
    );
  });

  it('says when a key was used last, also after a restart', async () => {
    await using other = await TestControlPlane.start();
    const { key, path } = await create({}, other);
    const lastUse = async () => (await other.call('GET', path)).json['last_used_at'];
    assert.equal(await lastUse(), null);
    await other.call('GET', '/tenants', { key });
    const used = await lastUse();
    assert.match(String(used), /^\d{4}-.*Z$/);
    await other.stop();
    await other.start();
    assert.equal(await lastUse(), used);
  });
});

describe('PATCH /api-keys/{id}', () => {
  it('changes what it names from the next request on; null takes a limit away', async () => {
    const { key, path } = await create({ tenants: 'acme-*' });
    const statusOf = async (id: string) =>
      (await plane.call('GET', `/tenants/${id}`, { key })).status;
    assert.deepEqual([await statusOf('acme-1'), await statusOf('other')], [200, 404]);
    const changed = await plane.change('PATCH', path, { body: { tenants: null, scope: 'admin' } });
    assert.equal(changed.headers.get('etag'), '"2"');
    assert.deepEqual([changed.json['tenants'], changed.json['scope']], [null, 'admin']);
    assert.equal(await statusOf('other'), 200);
    assert.equal((await plane.call('GET', '/api-keys', { key })).status, 200);
  });

  it('heeds If-Match, and makes no event of what is so already', async () => {
    const { path } = await create({ name: 'matched' });
    const patch = (tag: string, body: Fields) =>
      plane.call('PATCH', path, { body, headers: { 'if-match': tag } });
    assert.equal((await patch('"1"', { name: 'matched' })).headers.get('etag'), '"1"');
    assert.equal((await patch('"1"', { name: 'matched 2' })).headers.get('etag'), '"2"');
    assertProblem(await patch('"1"', { name: 'matched 3' }), 412, 'VERSION_CONFLICT');
    for (const method of ['PATCH', 'DELETE']) {
      const refused = await plane.call(method, path, method === 'PATCH' ? { body: {} } : {});
      assert.equal(assertProblem(refused, 428, 'PRECONDITION_REQUIRED')['etag'], '"2"');
    }
  });

  it('takes no new key, and knows no key that is not there', async () => {
    const { path } = await create();
    const body = { key: 'another-one-altogether' };
    assertProblem(await plane.change('PATCH', path, { body }), 400, 'VALIDATION_FAILED');
    const nobody = await plane.change('PATCH', '/api-keys/0123456789ab', { body: {} });
    assertProblem(nobody, 404, 'API_KEY_NOT_FOUND');
  });
});

describe('DELETE /api-keys/{id}', () => {
  it('ends a key with the next request, keeps its record, and can be repeated', async () => {
    const { key, path } = await create();
    assert.equal((await plane.call('GET', '/tenants', { key })).status, 200);
    for (let time = 0; time < 2; time++) {
      assert.equal((await plane.change('DELETE', path)).status, 204);
      const problem = assertProblem(
        await plane.call('GET', '/tenants', { key }),
        401,
        'UNAUTHORIZED',
      );
      assert.match(String(problem['detail']), /has been revoked/);
    }
    const { json } = await plane.call('GET', path);
    assert.deepEqual([json['state'], json['version']], ['revoked', 2]);
    assertProblem(
      await plane.change('PATCH', path, { body: { name: 'x' } }),
      409,
      'API_KEY_REVOKED',
    );
  });
});

describe('what is kept of a key', () => {
  it('lets it go on after a restart, and a rebuild of what is kept beside the events', async () => {
    await using other = await TestControlPlane.start();
    const { key, path } = await create({ scope: 'operator' }, other);
    const { json } = await other.call('GET', path);
    await other.stop();
    const database = new DatabaseSync(databaseOf(other));
    database.exec("DELETE FROM api_keys; DELETE FROM checkpoints WHERE name LIKE 'read-models%'");
    database.close();
    await other.start();
    assert.deepEqual((await other.call('GET', path)).json, json);
    assert.equal((await other.call('GET', '/tenants', { key })).status, 200);
  });

  it('is a slow hash and a verifier for logins, in no answer and no log', async () => {
    await using other = await TestControlPlane.start();
    const { key, path } = await create({}, other);
    const texts: string[] = [];
    for (const at of ['/api-keys?include=revoked_too', path, '/metrics', '/openapi.json']) {
      texts.push((await other.call('GET', at)).text);
    }
    await other.change('DELETE', path);
    await other.stop();
    const database = new DatabaseSync(databaseOf(other));
    const row = database.prepare("SELECT data FROM events WHERE type = 'ApiKeyCreated'").get();
    database.close();
    const { proof } = (JSON.parse(String(row?.['data'])) as StoredKey).key;
    assert.match(proof.hash, /^scrypt\$N=32768,r=8,p=1\$/);
    assert.equal(parseVerifier(proof.verifier)?.iterations, 4_096);
    for (const text of [...texts, other.log]) {
      for (const secret of [key, proof.hash, proof.verifier]) assert.ok(!text.includes(secret));
    }
    for (const file of readdirSync(join(other.dir, 'data'))) {
      assert.ok(!readFileSync(join(other.dir, 'data', file), 'latin1').includes(key), file);
    }
  });

  it('never reaches a proxy: of a key, deltas say that there was a position', async () => {
    await using other = await TestControlPlane.start();
    const { path } = await create({}, other);
    await other.change('DELETE', path);
    await until('both events are published', () => {
      return other.running.status().publishedPosition === 2;
    });
    const deltas = await deltasOn(other.bus);
    assert.equal(deltas.at(-1)?.to, 2);
    assert.deepEqual(
      deltas.flatMap(({ changes }) => changes),
      [],
    );
  });
});

interface StoredKey {
  readonly key: { readonly proof: { readonly hash: string; readonly verifier: string } };
}

function databaseOf({ dir }: TestControlPlane): string {
  return join(dir, 'data', 'dbbouncer.db');
}
