/** Changing the master key while the control plane runs: what is sealed anew, and what is not. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it } from 'node:test';
import { Authority } from '../support/certificates.ts';
import { assertProblem, TestControlPlane, tenantBody } from './harness.ts';

const PASSWORD = 'hunter2-planted';

function keyFile(plane: TestControlPlane): string {
  return join(plane.dir, 'data', 'master.key');
}

/** The ids of the keys that have sealed what tenants hold now. */
function keyIds({ dir }: TestControlPlane): readonly string[] {
  const database = new DatabaseSync(join(dir, 'data', 'dbbouncer.db'), { readOnly: true });
  const rows = database.prepare('SELECT data FROM tenants').all();
  database.close();
  const ids = rows.flatMap(({ data }) =>
    Array.from(String(data).matchAll(/"keyId":"([^"]+)"/g), ([, id]) => id ?? ''),
  );
  return ids.sort();
}

/** Puts a new key in front of the one in the file. */
function rotate(plane: TestControlPlane): void {
  const old = readFileSync(keyFile(plane), 'utf8').trim();
  writeFileSync(keyFile(plane), `new:another master key of 2027\n${old}\n`);
}

async function startWithSecrets(): Promise<TestControlPlane> {
  const plane = await TestControlPlane.start();
  const old = readFileSync(keyFile(plane), 'utf8').trim();
  await plane.stop();
  writeFileSync(keyFile(plane), `old:${old}\n`);
  await plane.start();
  const authority = await Authority.create('Databases');
  const { cert, key } = await authority.issue({ commonName: 'proxy' });
  const users = [{ name: 'u', password: PASSWORD, server_user: 'v', server_password: PASSWORD }];
  const full = { users, server_tls: { mode: 'require', cert, key } };
  for (const [id, extra] of [
    ['full', full],
    ['plain', {}],
    ['reference', { password: '${SOME_PASSWORD}' }],
  ] as const) {
    const answer = await plane.call('POST', '/tenants', { body: tenantBody(id, extra) });
    assert.equal(answer.status, 201, answer.text);
  }
  await plane.call('POST', '/tenants/full/pause');
  return plane;
}

/** What is left when the old key is taken away. */
function keepNewKeyAlone(plane: TestControlPlane): void {
  const lines = readFileSync(keyFile(plane), 'utf8').trim().split('\n');
  writeFileSync(keyFile(plane), `${lines[0]}\n`);
}

describe('POST /secrets/reseal', () => {
  it('seals every secret with the first key, after which the old one is not needed', async () => {
    await using plane = await startWithSecrets();
    assert.deepEqual(keyIds(plane), Array(5).fill('old'));
    const before = (await plane.call('GET', '/tenants/full')).json;
    rotate(plane);
    const path = '/secrets/reseal?reason=rotation';
    const { status, json } = await plane.call('POST', path);
    assert.equal(status, 200);
    assert.deepEqual(json, { key_id: 'new', tenants: 3, resealed: 2, failed: [] });
    assert.deepEqual(keyIds(plane), Array(5).fill('new'));

    const after = (await plane.call('GET', '/tenants/full')).json;
    const { version: _, updated_at: __, ...rest } = after;
    const { version: ___, updated_at: ____, ...restBefore } = before;
    assert.deepEqual(rest, restBefore, 'all else is as it was, the pause too');

    await plane.stop();
    keepNewKeyAlone(plane);
    await plane.start();
    const body = tenantBody('plain');
    const { json: plain } = await plane.call('GET', '/tenants/plain');
    const same = await plane.call('PUT', '/tenants/plain', {
      body,
      headers: { 'if-match': `"${String(plain['version'])}"` },
    });
    assert.equal(same.json['version'], plain['version'], 'the same password, opened');
  });

  it('changes nothing when everything is sealed with the first key already', async () => {
    await using plane = await startWithSecrets();
    const { json } = await plane.call('POST', '/secrets/reseal');
    assert.deepEqual(json, { key_id: 'old', tenants: 3, resealed: 0, failed: [] });
    assert.equal((await plane.call('GET', '/tenants/plain')).json['version'], 1);
  });

  it('names the tenants whose key is gone, seals the others, and shows no secret', async () => {
    await using plane = await startWithSecrets();
    writeFileSync(keyFile(plane), 'new:another master key of 2027\n');
    const answer = await plane.call('POST', '/secrets/reseal');
    const failed = answer.json['failed'] as readonly { tenant: string; reason: string }[];
    assert.deepEqual(failed.map(({ tenant }) => tenant).sort(), ['full', 'plain']);
    assert.match(failed[0]?.reason ?? '', /master key "old" .* not there/);
    assert.deepEqual(keyIds(plane), Array(5).fill('old'));
    for (const text of [answer.text, plane.log]) assert.ok(!text.includes(PASSWORD));
  });

  it('loses no change that is made at the same time', async () => {
    await using plane = await startWithSecrets();
    rotate(plane);
    const version = String((await plane.call('GET', '/tenants/plain')).json['version']);
    const [resealed, patched] = await Promise.all([
      plane.call('POST', '/secrets/reseal'),
      plane.change('PATCH', '/tenants/plain', { body: { host: 'at.once.example' } }),
      plane.call('POST', '/secrets/reseal'),
    ]);
    assert.equal(resealed.status, 200, resealed.text);
    if (patched.status !== 200) assertProblem(patched, 412, 'VERSION_CONFLICT');
    const { json } = await plane.call('GET', '/tenants/plain');
    if (patched.status === 200) assert.equal(json['host'], 'at.once.example');
    assert.ok(Number(json['version']) > Number(version));
    assert.deepEqual(keyIds(plane), Array(5).fill('new'));
  });

  it('refuses a key file that holds no key, and goes on with the keys it has', async () => {
    await using plane = await startWithSecrets();
    writeFileSync(keyFile(plane), 'short\n');
    const answer = await plane.call('POST', '/secrets/reseal');
    assertProblem(answer, 503, 'SECRET_UNAVAILABLE');
    assert.equal((await plane.call('POST', '/tenants', { body: tenantBody('later') })).status, 201);
  });
});

describe('a new first master key', () => {
  it('leaves a write of before repeatable with its Idempotency-Key', async () => {
    await using plane = await startWithSecrets();
    const headers = { 'idempotency-key': 'moved-house' };
    const move = () =>
      plane.call('PATCH', '/tenants/plain?force', { body: { port: 6_000 }, headers });
    const first = await move();
    await plane.stop();
    rotate(plane);
    await plane.start();
    const repeated = await move();
    assert.deepEqual([repeated.status, repeated.text], [200, first.text]);
    assert.equal(repeated.headers.get('idempotency-replayed'), 'true');
  });
});
