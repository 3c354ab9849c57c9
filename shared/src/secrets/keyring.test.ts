/**
 * What the keyring promises: sealed for one tenant, opened with the right key only, and errors that
 * name the gap.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Secret } from '../contract/secret.ts';
import { Keyring } from './keyring.ts';
import { openKeySource } from './key-source.ts';
import { createSecretFile } from './secret-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'dbb-keyring-'));
after(() => rmSync(folder, { recursive: true }));

const KEY_A = randomBytes(32).toString('base64');
const KEY_B = randomBytes(32).toString('base64');

function keyring(masterKey: string, env: Readonly<Record<string, string>> = {}): Keyring {
  const source = openKeySource({ masterKey, dataDir: join(folder, 'keys'), whenAbsent: 'wait' });
  return new Keyring(source, (name) => env[name]);
}

function sealedBy(ring: Keyring, clear: string, tenant: string): Secret & { kind: 'sealed' } {
  const secret = ring.seal(clear, tenant);
  assert.equal(secret.kind, 'sealed');
  return secret;
}

describe('Keyring', () => {
  it('opens what it sealed, whatever characters it has', () => {
    const ring = keyring(KEY_A);
    for (const clear of ['x', 'pässwörd 🔑', "a'b\\c\n", 'y'.repeat(5000)]) {
      assert.equal(ring.open(ring.seal(clear, 'acme'), 'acme'), clear);
    }
  });

  it('opens what a key sealed before it had a name', () => {
    const secret = keyring(KEY_A).seal('s3cret', 'acme');
    assert.equal(keyring(`new:${KEY_B},old:${KEY_A}`).open(secret, 'acme'), 's3cret');
  });

  it('seals the same text to different bytes each time', () => {
    const ring = keyring(KEY_A);
    assert.notDeepEqual(ring.seal('same', 'acme'), ring.seal('same', 'acme'));
  });

  it('opens for the same tenant in another case, and for no other tenant', () => {
    const ring = keyring(KEY_A);
    const secret = ring.seal('s3cret', 'Acme');
    assert.equal(ring.open(secret, 'acme'), 's3cret');
    assert.throws(() => ring.open(secret, 'globex'), { code: 'SECRET_UNAVAILABLE' });
  });

  it('refuses altered ciphertext, a cut one and a wrong nonce', () => {
    const ring = keyring(KEY_A);
    const secret = sealedBy(ring, 's3cret', 'acme');
    const bytes = Buffer.from(secret.ciphertext, 'base64');
    bytes[0] = (bytes[0] ?? 0) ^ 1;
    const altered = [
      { ...secret, ciphertext: bytes.toString('base64') },
      { ...secret, ciphertext: bytes.subarray(0, 8).toString('base64') },
      { ...secret, nonce: Buffer.alloc(12).toString('base64') },
      { ...secret, nonce: Buffer.alloc(3).toString('base64') },
    ];
    for (const broken of altered) {
      assert.throws(() => ring.open(broken, 'acme'), { code: 'SECRET_UNAVAILABLE' });
    }
  });

  it('names the missing key and its source, never the secret', () => {
    const secret = sealedBy(keyring(`old:${KEY_A}`), 's3cret', 'acme');
    assert.throws(
      () => keyring(KEY_B).open(secret, 'acme'),
      (error: Error) => {
        assert.match(
          error.message,
          /tenant "acme" needs the master key "old" at DBBOUNCER_MASTER_KEY/,
        );
        assert.doesNotMatch(error.message, /s3cret/);
        return true;
      },
    );
  });

  it('says so when a key of the right name has other bytes', () => {
    const secret = keyring(`k:${KEY_A}`).seal('s3cret', 'acme');
    assert.throws(() => keyring(`k:${KEY_B}`).open(secret, 'acme'), /does not open with/);
  });

  it('rotates: seals with the first key and still opens what the second one sealed', () => {
    const old = keyring(`old:${KEY_A}`).seal('s3cret', 'acme');
    const ring = keyring(`new:${KEY_B},old:${KEY_A}`);
    assert.equal(ring.open(old, 'acme'), 's3cret');
    assert.equal(sealedBy(ring, 'x', 'acme').keyId, 'new');
  });

  it('derives one and the same key from a text of 16 characters in every process', () => {
    const text = 'correct horse 16';
    assert.equal(keyring(text).open(keyring(text).seal('s3cret', 'acme'), 'acme'), 's3cret');
    assert.match(keyring(text).primaryKeyId ?? '', /^[0-9a-f]{12}$/);
    assert.notEqual(keyring(text).primaryKeyId, keyring(`${text}!`).primaryKeyId);
  });

  it('refuses keys that are short, missing or named alike, without showing them', () => {
    for (const text of ['short', '', ' , ', `a:${KEY_A},a:${KEY_B}`, `${KEY_A},tiny`]) {
      assert.throws(
        () => keyring(text),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'SETTINGS_INVALID');
          assert.doesNotMatch(error.message, /short|tiny/);
          assert.ok(!error.message.includes(KEY_A));
          return true;
        },
      );
    }
  });
});

describe('Keyring: references', () => {
  it('reads an environment variable, and names it when it is not set', () => {
    const ring = keyring(KEY_A, { PW: 'from-env' });
    assert.equal(ring.open({ kind: 'env', name: 'PW' }, 'acme'), 'from-env');
    assert.throws(() => ring.open({ kind: 'env', name: 'NOPE' }, 'acme'), /variable NOPE, which/);
  });

  it('reads a file without its last line end, and names it when it is missing or empty', () => {
    const path = join(folder, 'pw');
    writeFileSync(path, 'from file \n');
    const ring = keyring(KEY_A);
    assert.equal(ring.open({ kind: 'file', path }, 'acme'), 'from file ');
    writeFileSync(path, '\n');
    assert.throws(() => ring.open({ kind: 'file', path }, 'acme'), /pw, which is empty/);
    assert.throws(() => ring.open({ kind: 'file', path: `${path}x` }, 'acme'), /pwx, which cannot/);
  });
});

describe('Keyring: own keys', () => {
  it('gives no DBBOUNCER_ variable, file of the data folder or of /proc as a password', () => {
    const dataDir = join(folder, 'own');
    const source = openKeySource({ masterKey: undefined, dataDir, whenAbsent: 'create' });
    const ring = new Keyring(source, () => KEY_A);
    const link = join(folder, 'link-to-key');
    symlinkSync(join(dataDir, 'master.key'), link);
    const references: readonly Secret[] = [
      { kind: 'env', name: 'DBBOUNCER_MASTER_KEY' },
      { kind: 'file', path: join(dataDir, 'master.key') },
      { kind: 'file', path: link },
      { kind: 'file', path: '/proc/self/environ' },
    ];
    for (const reference of references) {
      assert.throws(() => ring.open(reference, 'acme'), /where DBBouncer keeps its own keys/);
    }
  });
});

describe('Keyring: files of keys elsewhere', () => {
  it('gives none of them as a password, under no name', () => {
    const seed = join(folder, 'nats.nk');
    const other = join(folder, 'password');
    const link = join(folder, 'link-to-seed');
    writeFileSync(seed, 'SU...');
    writeFileSync(other, 'of a tenant');
    linkSync(seed, link);
    const ownFiles = [undefined, seed, join(folder, 'missing')];
    const dataDir = join(folder, 'keys');
    const source = openKeySource({ masterKey: KEY_A, dataDir, whenAbsent: 'wait', ownFiles });
    const ring = new Keyring(source, () => undefined);
    for (const path of [seed, link]) {
      assert.throws(() => ring.open({ kind: 'file', path }, 'acme'), /cannot be read here/);
    }
    assert.equal(ring.open({ kind: 'file', path: other }, 'acme'), 'of a tenant');
  });
});

describe('Keyring: fleet secrets', () => {
  it('are equal for one key and purpose, and differ for another key or purpose', () => {
    const salt = keyring(KEY_A).deriveFleetSecret('mock-scram');
    assert.equal(salt.length, 32);
    assert.deepEqual(keyring(KEY_A).deriveFleetSecret('mock-scram'), salt);
    assert.notDeepEqual(keyring(KEY_A).deriveFleetSecret('other'), salt);
    assert.notDeepEqual(keyring(KEY_B).deriveFleetSecret('mock-scram'), salt);
  });
});

describe('the key file', () => {
  it('is made once with mode 0600 by the control plane, and read again after a restart', () => {
    const dataDir = join(folder, 'fresh', 'data');
    const open = (): Keyring =>
      new Keyring(openKeySource({ masterKey: undefined, dataDir, whenAbsent: 'create' }), () => '');
    const secret = open().seal('s3cret', 'acme');
    assert.equal(statSync(join(dataDir, 'master.key')).mode & 0o777, 0o600);
    assert.equal(open().open(secret, 'acme'), 's3cret');
    assert.deepEqual(readdirSync(dataDir), ['master.key']);
  });

  it('is waited for by a proxy, which opens secrets as soon as it is there', () => {
    const dataDir = join(folder, 'proxy');
    const proxySource = openKeySource({ masterKey: undefined, dataDir, whenAbsent: 'wait' });
    const proxy = new Keyring(proxySource, () => undefined);
    assert.equal(proxy.primaryKeyId, undefined);
    assert.throws(() => proxy.seal('x', 'acme'), /there is no master key at .*master\.key/);
    const owner = openKeySource({ masterKey: undefined, dataDir, whenAbsent: 'create' });
    const secret = new Keyring(owner, () => undefined).seal('s3cret', 'acme');
    assert.equal(proxy.open(secret, 'acme'), 's3cret');
  });

  it('keeps the keys it knows while the file is gone', () => {
    const dataDir = join(folder, 'gone');
    const source = openKeySource({ masterKey: undefined, dataDir, whenAbsent: 'create' });
    const ring = new Keyring(source, () => undefined);
    const secret = ring.seal('s3cret', 'acme');
    rmSync(join(dataDir, 'master.key'));
    assert.throws(() => ring.open(secret, 'globex'), { code: 'SECRET_UNAVAILABLE' });
    assert.equal(ring.open(secret, 'acme'), 's3cret');
  });
});

describe('createSecretFile', () => {
  it('makes a missing folder and the file for their owner alone', () => {
    const made = join(folder, 'private');
    createSecretFile(join(made, 'secret'), () => 'first');
    assert.equal(statSync(made).mode & 0o777, 0o700);
    assert.equal(statSync(join(made, 'secret')).mode & 0o777, 0o600);
  });

  it('leaves a file that exists as it is', () => {
    const path = join(folder, 'once');
    assert.equal(
      createSecretFile(path, () => 'first'),
      'created',
    );
    assert.equal(
      createSecretFile(path, () => 'second'),
      'existed',
    );
    assert.equal(readFileSync(path, 'utf8'), 'first\n');
  });
});

describe('a file reference', () => {
  const master = { masterKey: 'a master key for tests', whenAbsent: 'wait' } as const;
  const opened = (dataDir: string, path: string) => () =>
    new Keyring(openKeySource({ ...master, dataDir }), () => undefined).open(
      { kind: 'file', path },
      'acme',
    );

  it('to a device, a pipe or more than 16,384 bytes is refused before a byte is read', () => {
    const dir = mkdtempSync(join(tmpdir(), 'dbbouncer-keyring-'));
    const pipe = join(dir, 'pipe');
    execFileSync('mkfifo', [pipe]);
    writeFileSync(join(dir, 'large'), 'x'.repeat(16_385));
    for (const path of ['/dev/zero', pipe, join(dir, 'large')]) {
      assert.throws(opened(join(dir, 'data'), path), { code: 'SECRET_UNAVAILABLE' });
    }
    rmSync(dir, { recursive: true });
  });

  it('to a hard link of our own master key is refused', () => {
    const dir = mkdtempSync(join(tmpdir(), 'dbbouncer-keyring-'));
    const dataDir = join(dir, 'data');
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'master.key'), 'a key');
    linkSync(join(dataDir, 'master.key'), join(dir, 'innocent'));
    assert.throws(opened(dataDir, join(dir, 'innocent')), { code: 'SECRET_UNAVAILABLE' });
    rmSync(dir, { recursive: true });
  });
});
