/**
 * Written passwords: references, clear texts, and that writing the same one again changes nothing.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Keyring } from './keyring.ts';
import { openKeySource } from './key-source.ts';
import { describeSecret, passwordReference, toSecret } from './password.ts';

function keyring(masterKey: string): Keyring {
  const source = openKeySource({ masterKey, dataDir: '/nonexistent', whenAbsent: 'wait' });
  return new Keyring(source, () => undefined);
}

const RING = keyring('new:an old master key,old:a new master key!');

describe('passwordReference', () => {
  it('takes ${NAME} as a whole and file: with an absolute path, and nothing else', () => {
    assert.deepEqual(passwordReference('${PG_PW}'), { kind: 'env', name: 'PG_PW' });
    assert.deepEqual(passwordReference('file:/run/pw'), { kind: 'file', path: '/run/pw' });
    for (const text of ['x${PG}', '${PG}x', '${1A}', '$PG', '${}', 'file:pw', 'file:', 'plain']) {
      assert.equal(passwordReference(text), undefined, text);
    }
  });

  it('reads back what describeSecret says of a reference', () => {
    for (const text of ['${PG_PW}', 'file:/run/pw']) {
      const secret = toSecret(RING, text, 'acme');
      assert.equal(describeSecret(secret), text);
    }
    assert.equal(describeSecret(toSecret(RING, 'plain', 'acme')), 'sealed');
  });
});

describe('toSecret', () => {
  it('keeps the sealed bytes when the password is the same, and seals anew when it is not', () => {
    const first = toSecret(RING, 'hunter2', 'acme');
    assert.equal(toSecret(RING, 'hunter2', 'acme', first), first);
    assert.notDeepEqual(toSecret(RING, 'hunter3', 'acme', first), first);
  });

  it('seals anew what an older key sealed', () => {
    const old = toSecret(keyring('old:a new master key!'), 'hunter2', 'acme');
    const next = toSecret(RING, 'hunter2', 'acme', old);
    assert.equal(next.kind === 'sealed' && next.keyId, 'new');
  });

  it('seals over a secret that cannot be opened any more', () => {
    const lost = toSecret(keyring('lost:some other master key'), 'hunter2', 'acme');
    assert.equal(RING.open(toSecret(RING, 'hunter2', 'acme', lost), 'acme'), 'hunter2');
  });
});
