/** The API over TLS: its certificate, the next one, and files that cannot be used. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import type { RequestOptions } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Authority } from '../support/certificates.ts';
import type { KeyAndCertificate } from '../support/certificates.ts';
import { until } from './core-harness.ts';
import { API_KEY, TestControlPlane } from './harness.ts';

let authority: Authority;
let plane: TestControlPlane;

const issue = (commonName: string) => authority.issue({ commonName, ips: ['127.0.0.1'] });

function place({ cert, key }: Partial<KeyAndCertificate>): void {
  if (cert !== undefined) writeFileSync(join(plane.dir, 'api.crt'), cert);
  if (key !== undefined) writeFileSync(join(plane.dir, 'api.key'), key);
}

before(async () => {
  authority = await Authority.create('Authority of the API');
  plane = new TestControlPlane({
    DBBOUNCER_API_KEY: API_KEY,
    DBBOUNCER_TLS_CERT: 'api.crt',
    DBBOUNCER_TLS_KEY: 'api.key',
  });
  place(await issue('first'));
  await plane.start();
});
after(() => plane[Symbol.asyncDispose]());

interface Seen {
  readonly status: number | undefined;
  readonly certificate: unknown;
  readonly transportSecurity: string | undefined;
}

/** On a connection of its own, which trusts the authority alone. */
function get(path: string, options: RequestOptions = {}): Promise<Seen> {
  const { apiUrl } = plane.running;
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${API_KEY}` };
    const agent = new Agent({ keepAlive: false });
    const asked = request(apiUrl + path, { agent, ca: authority.cert, headers, ...options });
    asked.once('error', reject).once('response', (response) => {
      const certificate = (response.socket as TLSSocket).getPeerCertificate().subject.CN;
      const transportSecurity = response.headers['strict-transport-security'];
      response.resume().once('end', () => {
        resolve({ status: response.statusCode, certificate, transportSecurity });
      });
    });
    asked.end();
  });
}

describe('the API with tls_cert and tls_key', () => {
  it('speaks TLS with that certificate, and tells browsers to go on so', async () => {
    assert.match(plane.running.apiUrl, /^https:/);
    const { status, certificate, transportSecurity } = await get('/tenants');
    assert.deepEqual([status, certificate], [200, 'first']);
    assert.match(transportSecurity ?? '', /max-age=\d{7,}/);
  });

  it('does not answer without TLS, nor over a version before 1.2', async () => {
    await assert.rejects(fetch(plane.running.apiUrl.replace('https', 'http')));
    const old = { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    await assert.rejects(get('/tenants', old), /protocol version|unsupported protocol/i);
  });

  it('shows the next certificate on new connections, once its key is there too', async () => {
    const next = await issue('second');
    place({ cert: next.cert });
    await plane.logged(/new certificate of the API refused/);
    assert.equal((await get('/tenants')).certificate, 'first');
    place({ key: next.key });
    await until('the next certificate is shown', async () => {
      return (await get('/tenants')).certificate === 'second';
    });
  });

  it('does not start with a key of another certificate, and names both files', async () => {
    const [one, other] = await Promise.all([issue('one'), issue('other')]);
    await using broken = new TestControlPlane({
      DBBOUNCER_API_KEY: API_KEY,
      DBBOUNCER_TLS_CERT: 'a.crt',
      DBBOUNCER_TLS_KEY: 'b.key',
    });
    writeFileSync(join(broken.dir, 'a.crt'), one.cert);
    writeFileSync(join(broken.dir, 'b.key'), other.key);
    await assert.rejects(broken.start(), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'SETTINGS_INVALID');
      assert.match(error.message, /a\.crt and .*b\.key cannot be used/);
      return true;
    });
  });
});
