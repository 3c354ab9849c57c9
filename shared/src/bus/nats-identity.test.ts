/** What certificates, keys and credentials for NATS may be, before anybody connects. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { nkeys } from '@nats-io/transport-node';
import { sharedErrors } from '../errors.ts';
import { silentLogger } from '../kernel/log.ts';
import { parseNatsAddress } from './nats-address.ts';
import { NatsIdentity } from './nats-identity.ts';
import type { NatsIdentityOptions } from './nats-identity.ts';

const folder = mkdtempSync(join(tmpdir(), 'dbb-nats-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

function identity(options: NatsIdentityOptions, url = 'nats://n1'): NatsIdentity {
  return new NatsIdentity(parseNatsAddress(url), options, silentLogger);
}

function refuses(options: NatsIdentityOptions, message: RegExp, url?: string): void {
  assert.throws(
    () => identity(options, url),
    (error) => {
      assert.ok(sharedErrors.is(error));
      assert.equal(error.code, 'SETTINGS_INVALID');
      assert.match(error.message, message);
      assert.doesNotMatch(error.message + String(error.hint), /s3cret|SU[A-Z0-9]{20}/);
      return true;
    },
  );
}

const seed = Buffer.from(nkeys.createUser().getSeed()).toString();

describe('NatsIdentity', () => {
  it('asks for TLS with tls:// or any file for it, and for none without', () => {
    assert.equal(identity({}).tls, undefined);
    assert.notEqual(identity({}, 'tls://n1').tls, undefined);
  });

  it('refuses files that are not there or hold something else, by their paths', () => {
    const text = file('text', 's3cret text');
    const missing = join(folder, 'missing');
    refuses({ tls: { caFile: missing } }, /NATS: .*missing cannot be read: ENOENT/);
    refuses({ tls: { caFile: text } }, /text holds no certificate as PEM/);
    refuses({ tls: { certFile: text } }, /must be given together/);
    const { privateKey } = generateKeyPairSync('ed25519');
    const keyFile = file('a.key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    refuses({ tls: { certFile: text, keyFile } }, /text holds no certificate as PEM/);
    refuses({ tls: { certFile: keyFile, keyFile: text } }, /text holds no private key as PEM/);
    const nkey = (path: string) => ({ credentialsFile: { kind: 'nkey' as const, path } });
    refuses(nkey(missing), /missing cannot be read/);
    refuses(nkey(text), /text holds no seed of a NATS user/);
    refuses(nkey(file('cut', seed.slice(0, -1))), /cut holds no seed of a NATS user/);
    const account = Buffer.from(nkeys.createAccount().getSeed()).toString();
    refuses(nkey(file('account', account)), /account holds no seed of a NATS user/);
    const creds = { kind: 'creds' as const, path: file('creds', seed) };
    refuses({ credentialsFile: creds }, /creds holds no NATS credentials/);
  });

  it('refuses credentials in the URL beside a file of them, and repeats none', () => {
    const credentialsFile = { kind: 'nkey' as const, path: file('user', seed) };
    const url = 'nats://ada:s3cret@n1';
    refuses({ credentialsFile }, /holds the user "ada", and nats_nkey_file is .*user/, url);
    refuses({ credentialsFile }, /holds the token of the URL, and/, 'nats://s3cret@n1');
  });

  it('logs in as the key of the file says by then, and as before while it cannot be read', () => {
    const path = file('renewed', seed);
    const { authenticator } = identity({ credentialsFile: { kind: 'nkey', path } });
    const nkeyNow = () => JSON.parse(JSON.stringify(authenticator?.('n'))).nkey as string;
    const [before, next] = [nkeyNow(), nkeys.createUser()];
    file('renewed', 'half a se');
    assert.equal(nkeyNow(), before);
    file('renewed', `${Buffer.from(next.getSeed()).toString()}\n`);
    assert.equal(nkeyNow(), next.getPublicKey());
  });

  it('checks the addresses of the URL where there are no names', () => {
    const check = identity({}, 'tls://10.0.0.1,tls://[::1]').tls?.checkServerIdentity;
    const holding = (subjectaltname: string) =>
      check?.('localhost', { subject: { CN: 'n' }, subjectaltname } as never);
    assert.equal(holding('IP Address:10.0.0.1'), undefined);
    assert.equal(holding('IP Address:0:0:0:0:0:0:0:1'), undefined);
    assert.match(String(holding('IP Address:10.0.0.2')), /10\.0\.0\.1/);
    assert.match(String(holding('DNS:localhost')), /10\.0\.0\.1/);
  });
});
