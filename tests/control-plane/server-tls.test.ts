/**
 * server_tls of a tenant through the API and the config file: what is kept, what is told, and that
 * a private key is as secret as a password.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Authority } from '../support/certificates.ts';
import type { KeyAndCertificate } from '../support/certificates.ts';
import { assertProblem, tenantBody, TestControlPlane } from './harness.ts';

let authority: Authority;
let own: KeyAndCertificate;
let plane: TestControlPlane;
before(async () => {
  authority = await Authority.create('Database authority');
  own = await authority.issue({ commonName: 'proxy' });
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());

/** The line of a private key that no other text has. */
const planted = () => own.key.split('\n')[1] ?? '';

async function set(id: string, server_tls: unknown): Promise<unknown> {
  const { json } = await plane.change('PATCH', `/tenants/${id}`, { body: { server_tls } });
  return json['server_tls'];
}

describe('server_tls', () => {
  it('is told whole but for the key, of which it says where it is', async () => {
    const given = { mode: 'verify-full', ca: authority.cert, server_name: 'db.test' };
    const body = tenantBody('a', { server_tls: { ...given, cert: own.cert, key: own.key } });
    const { status, json } = await plane.call('POST', '/tenants', { body });
    assert.equal(status, 201);
    assert.deepEqual(json['server_tls'], { ...given, cert: own.cert, key_source: 'sealed' });
  });

  it('keeps the key when an answer is sent back as it is, and makes no event of it', async () => {
    const before = await plane.call('GET', '/tenants/a');
    const answer = await plane.change('PUT', '/tenants/a', { body: before.json });
    assert.deepEqual(answer.json, before.json);
  });

  it('can refer to files and variables of the proxy', async () => {
    const cert = 'file:/etc/tls/proxy.crt';
    const told = await set('a', { mode: 'require', cert, key: 'file:/etc/tls/proxy.key' });
    const key_source = 'file:/etc/tls/proxy.key';
    assert.deepEqual(told, { mode: 'require', ca: null, cert, key_source, server_name: null });
    const other = await set('a', { mode: 'require', cert, key: '${TLS_KEY}' });
    assert.equal((other as Record<string, unknown>)['key_source'], '${TLS_KEY}');
  });

  it('drops the key with its certificate, and goes back to the default with null', async () => {
    const bare = { mode: 'disable', ca: null, cert: null, key_source: null, server_name: null };
    assert.deepEqual(await set('a', { mode: 'disable' }), bare);
    assert.equal(await set('a', null), null);
  });

  it('refuses a certificate whose key nobody has given', async () => {
    const server_tls = { mode: 'require', cert: own.cert };
    const patch = await plane.change('PATCH', '/tenants/a', { body: { server_tls } });
    const problem = assertProblem(patch, 400, 'VALIDATION_FAILED');
    assert.match(String(problem['detail']), /^server_tls\.cert needs server_tls\.key\./);
    const body = tenantBody('b', { server_tls });
    assertProblem(await plane.call('POST', '/tenants', { body }), 400, 'VALIDATION_FAILED');
  });

  it('has its key in no answer, no log line and no file of the data folder', async () => {
    await using other = await TestControlPlane.start();
    const server_tls = { mode: 'require', cert: own.cert, key: own.key };
    const made = await other.call('POST', '/tenants', { body: tenantBody('a', { server_tls }) });
    assert.equal(made.status, 201);
    const odd = { ...server_tls, key: [own.key] };
    const refused = await other.call('POST', '/tenants', {
      body: tenantBody('b', { server_tls: odd }),
    });
    assertProblem(refused, 400, 'VALIDATION_FAILED');
    const read = await other.call('GET', '/tenants/a');
    await other.stop();
    const files = readdirSync(other.dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
    assert.ok(files.some((text) => text.includes('TenantRegistered')));
    for (const text of [made.text, refused.text, read.text, other.log, ...files]) {
      assert.ok(!text.includes(planted()));
    }
  });
});

describe('server_tls in the config file', () => {
  it('takes PEM as block text and a key as a reference, the same after a restart', async () => {
    const block = authority.cert
      .trim()
      .split('\n')
      .map((line) => `        ${line}`);
    const text = [
      'tenants:',
      '  acme:',
      '    db_type: postgres',
      '    host: db.test',
      '    dbname: shop',
      '    username: app',
      '    password: file:/run/secrets/acme',
      '    server_tls:',
      '      mode: verify-full',
      '      ca: |',
      ...block,
      '      cert: file:/etc/tls/proxy.crt',
      '      key: ${TLS_KEY}',
    ].join('\n');
    await using other = new TestControlPlane({ DBBOUNCER_API_KEY: 'test-key-0123456789' });
    writeFileSync(join(other.dir, 'dbbouncer.yaml'), text);
    await other.start();
    const read = async () => (await other.call('GET', '/tenants/acme')).json;
    const first = await read();
    const tls = first['server_tls'] as Record<string, unknown>;
    assert.equal(String(tls['ca']).trim(), authority.cert.trim());
    assert.equal(tls['key_source'], '${TLS_KEY}');
    await other.stop();
    await other.start();
    assert.deepEqual(await read(), first);
  });
});
