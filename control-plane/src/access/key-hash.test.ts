/** What is kept of a key recognises it and nothing else, and does not hold it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isKeyOf, proofOf } from './key-hash.ts';
import { generateKey, KEY_TEXT, prefixOf } from './key-text.ts';

describe('the proof of a key', () => {
  it('recognises the key alone, and is another one each time', async () => {
    const key = generateKey();
    const [proof, again] = await Promise.all([proofOf(key), proofOf(key)]);
    assert.equal(await isKeyOf(proof.hash, key), true);
    assert.equal(await isKeyOf(proof.hash, `${key}x`), false);
    assert.equal(await isKeyOf(again.hash, key), true);
    assert.notEqual(proof.hash, again.hash);
    assert.notEqual(proof.verifier, again.verifier);
    assert.ok(!JSON.stringify(proof).includes(key.slice(4)));
  });

  it('states the cost it was made at, and is checked at that cost', async () => {
    const { hash } = await proofOf('a-key-of-somebody');
    assert.match(hash, /^scrypt\$N=32768,r=8,p=1\$/);
    const cheap =
      'scrypt$N=16,r=1,p=1$' +
      // scrypt("a-key-of-somebody", 16 zero bytes, N=16, r=1, p=1) by Python's hashlib.
      'AAAAAAAAAAAAAAAAAAAAAA==$65dQpSXk80+6JNYTwakNW497+zOanW0BP+kaRKBp04Y=';
    assert.equal(await isKeyOf(cheap, 'a-key-of-somebody'), true);
    assert.equal(await isKeyOf(cheap, 'a-key-of-nobody!!'), false);
  });
});

describe('a generated key', () => {
  it('has 192 random bits and shows 24 of them', () => {
    const key = generateKey();
    assert.match(key, /^dbb_[\w-]{32}$/);
    assert.match(key, KEY_TEXT);
    assert.equal(prefixOf(key), key.slice(0, 8));
    assert.notEqual(generateKey(), key);
  });
});

describe('a chosen key', () => {
  it('shows a quarter of itself, and four characters at most', () => {
    assert.equal(prefixOf('correct-horse-battery'), 'corr');
    assert.equal(prefixOf('12345678'), '12');
    assert.equal(prefixOf('123'), '');
  });
});
