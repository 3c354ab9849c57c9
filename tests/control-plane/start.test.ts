/**
 * Starting and stopping a control plane: keys and their files, ports in use, restarts, readiness.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { API_KEY, assertProblem, tenantBody, TestControlPlane } from './harness.ts';
import { UnreliableBus } from './unreliable-bus.ts';

describe('the API key', () => {
  it('is made at the first start, kept with mode 0600, used again, and never logged', async () => {
    await using plane = new TestControlPlane();
    await plane.start();
    const file = plane.running.apiKeyFile ?? '';
    assert.equal(file, join(plane.dir, 'data', 'api.key'));
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const key = readFileSync(file, 'utf8').trim();
    assert.match(key, /^dbb_[\w-]{32}$/);
    assert.equal((await plane.call('GET', '/tenants', { key })).status, 200);
    assertProblem(await plane.call('GET', '/tenants', { key: undefined }), 401, 'UNAUTHORIZED');
    await plane.stop();
    await plane.start();
    assert.equal(readFileSync(file, 'utf8').trim(), key);
    assert.ok(plane.log.includes(file));
    assert.ok(!plane.log.includes(key));
  });

  it('is the one of the settings when there is one, and no file is made then', async () => {
    await using plane = await TestControlPlane.start();
    assert.equal(plane.running.apiKeyFile, undefined);
    assert.throws(() => statSync(join(plane.dir, 'data', 'api.key')), { code: 'ENOENT' });
  });

  it('is not taken from an empty file: that would be an open API', async () => {
    await using plane = new TestControlPlane();
    await plane.start();
    await plane.stop();
    writeFileSync(join(plane.dir, 'data', 'api.key'), '\n');
    await assert.rejects(plane.start(), { code: 'SETTINGS_INVALID' });
  });
});

describe('the master key', () => {
  it('is made with mode 0600, so that passwords open after a restart', async () => {
    await using plane = await TestControlPlane.start();
    assert.equal(statSync(join(plane.dir, 'data', 'master.key')).mode & 0o777, 0o600);
    await plane.call('POST', '/tenants', { body: tenantBody('acme') });
    await plane.stop();
    await plane.start();
    const same = await plane.change('PUT', '/tenants/acme', { body: tenantBody('acme') });
    assert.equal(same.headers.get('etag'), '"1"', 'the stored password was opened and is the same');
  });
});

describe('starting', () => {
  it('names a port in use and the flag that changes it, and leaves nothing running', async () => {
    const blocker = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => blocker.once('listening', resolve));
    const { port } = blocker.address() as AddressInfo;
    const env = { DBBOUNCER_API_PORT: String(port), DBBOUNCER_API_KEY: 'test-key-0123456789' };
    await using plane = new TestControlPlane(env);
    await assert.rejects(plane.start(), (error: Error & { code?: string; hint?: string }) => {
      assert.equal(error.code, 'SETTINGS_INVALID');
      assert.match(error.message, new RegExp(`Port ${port} is in use`));
      assert.match(error.hint ?? '', /--api-port/);
      return true;
    });
    await new Promise((resolve) => blocker.close(resolve));
    await plane.start();
    assert.equal((await plane.call('GET', '/ready')).status, 200);
  });

  it('refuses a certificate that cannot be read', async () => {
    await using plane = new TestControlPlane({
      DBBOUNCER_TLS_CERT: 'none.pem',
      DBBOUNCER_TLS_KEY: 'none.key',
    });
    await assert.rejects(plane.start(), /tls_cert: .*none\.pem cannot be read/);
  });
});

describe('readiness', () => {
  it('waits for the bus once, while writes are taken, and stays when it is lost', async () => {
    const bus = new UnreliableBus('disconnected');
    await using plane = new TestControlPlane({ DBBOUNCER_API_KEY: API_KEY }, bus);
    await plane.start();
    const refused = await plane.call('GET', '/ready', { key: undefined });
    const problem = assertProblem(refused, 503, 'NOT_READY');
    assert.match(String(problem['detail']), /message bus has not been reached yet/);
    assert.equal(refused.headers.get('retry-after'), '1');
    assert.equal((await plane.call('GET', '/health', { key: undefined })).status, 200);
    const written = await plane.call('POST', '/tenants', { body: tenantBody('acme') });
    assert.equal(written.status, 201);
    bus.comeBack();
    await readiness(plane);
    bus.goDown();
    assert.deepEqual((await plane.call('GET', '/ready', { key: undefined })).json, {
      status: 'ready',
    });
  });

  it('is withdrawn as soon as stopping begins', async () => {
    await using plane = await TestControlPlane.start();
    const { running } = plane;
    const stopped = plane.stop();
    assert.equal(running.notReady(), 'the control plane is stopping');
    await stopped;
  });
});

async function readiness(plane: TestControlPlane): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (plane.running.notReady() !== undefined) {
    assert.ok(performance.now() < deadline, plane.running.notReady());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('stopping', () => {
  it('ends within 2 s although clients keep connections open', async () => {
    await using plane = await TestControlPlane.start();
    const { apiUrl } = plane.running;
    const idle = request(`${apiUrl}/health`, { headers: { connection: 'keep-alive' } }).end();
    await new Promise((resolve) =>
      idle.once('response', (answer) => answer.resume().once('end', resolve)),
    );
    const stuck = request(`${apiUrl}/tenants`, {
      method: 'POST',
      headers: { 'content-length': '10', authorization: 'Bearer test-key-0123456789' },
    });
    stuck.on('error', () => {});
    stuck.write('{');
    await plane.call('GET', '/health');
    const began = performance.now();
    await plane.stop();
    assert.ok(performance.now() - began < 2_000);
  });
});
