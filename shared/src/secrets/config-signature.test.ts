/** What is signed for proxies, and what they believe: nothing changed, moved or foreign. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { splitSignature } from '../contract/signed-message.ts';
import type { SignedKind } from '../contract/signed-message.ts';
import { sharedErrors } from '../errors.ts';
import {
  configSigner,
  configVerifier,
  parseSigningKey,
  parseVerifyingKeys,
  signingKeyId,
  signingKeyOf,
} from './config-signature.ts';
import type { SignaturePolicy } from './config-signature.ts';

const key = signingKeyOf(Buffer.alloc(32, 1));
const other = signingKeyOf(Buffer.alloc(32, 2));
const signer = configSigner(() => key);
const payload = Buffer.from('{"epoch":1,"from":4,"to":5,"changes":[]}');

function verifier(keys: readonly KeyObject[], policy: SignaturePolicy = 'require') {
  const read = () => keys.map((one) => createPublicKey(one));
  return configVerifier({ name: 'the test', read }, policy, new ManualClock());
}

async function reasonOf(message: Uint8Array, kind: SignedKind = 'delta', keys = [key]) {
  const opened = await verifier(keys).open(kind, message);
  return opened.outcome === 'refused' ? opened.reason : 'genuine';
}

describe('a signing key', () => {
  it('is the one that RFC 8032 derives from the seed', () => {
    const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
    const { x } = createPublicKey(signingKeyOf(Buffer.from(seed, 'hex'))).export({ format: 'jwk' });
    const expected = 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a';
    assert.equal(Buffer.from(x ?? '', 'base64url').toString('hex'), expected);
  });

  it('has one id for both halves, and another than any other key', () => {
    assert.equal(signingKeyId(key), signingKeyId(createPublicKey(key)));
    assert.notEqual(signingKeyId(key), signingKeyId(other));
  });

  it('is read from PEM, and everything else refused without being repeated', () => {
    const pem = key.export({ format: 'pem', type: 'pkcs8' }).toString();
    assert.equal(signingKeyId(parseSigningKey(pem, 'a.pem')), signingKeyId(key));
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const ecPem = ec.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
    for (const text of ['', 's3cret', ecPem, pem.replace('MC4', 'MC5')]) {
      assert.throws(
        () => parseSigningKey(text, 'a.pem'),
        (error) =>
          sharedErrors.is(error) &&
          error.code === 'SETTINGS_INVALID' &&
          error.message.startsWith('a.pem holds') &&
          !error.message.includes('s3cret'),
      );
    }
  });

  it('is known by its public half, of which a file may hold 16', () => {
    const publicPem = (one: KeyObject) =>
      createPublicKey(one).export({ format: 'pem', type: 'spki' }).toString();
    const both = `# now\n${publicPem(key)}\n# next\n${publicPem(other)}`;
    assert.deepEqual(
      parseVerifyingKeys(both, 'p.pem').map(signingKeyId),
      [key, other].map(signingKeyId),
    );
    assert.throws(() => parseVerifyingKeys('', 'p.pem'), /p\.pem holds no PUBLIC KEY/);
    const many = publicPem(key).repeat(17);
    assert.throws(() => parseVerifyingKeys(many, 'p.pem'), /holds 17 keys; 16 are allowed/);
  });
});

describe('a signed message', () => {
  it('is opened with the public half, small or of 3 MB', async () => {
    for (const content of [Buffer.alloc(0), payload, Buffer.alloc(3_000_000, 'ab')]) {
      const message = await signer.sign('snapshot', content);
      const opened = await verifier([other, key]).open('snapshot', message);
      assert(opened.outcome === 'genuine');
      assert.ok(content.equals(opened.payload));
      assert.equal((await signer.open('snapshot', message)).outcome, 'genuine');
    }
  });

  it('is refused with any of its bytes changed, left out or added', async () => {
    const message = Buffer.from(await signer.sign('delta', payload));
    const check = fc.asyncProperty(
      fc.nat(message.byteLength - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.constantFrom('changed', 'left out', 'added'),
      async (at, mask, how) => {
        const byte = Buffer.from([(message[at] ?? 0) ^ mask]);
        const rest = message.subarray(how === 'added' ? at : at + 1);
        const middle = how === 'left out' ? Buffer.alloc(0) : byte;
        const altered = Buffer.concat([message.subarray(0, at), middle, rest]);
        if (altered.equals(message)) return;
        assert.match(await reasonOf(altered), /^delta (is|bears)/);
      },
    );
    await fc.assert(check, { numRuns: 500 });
  });

  it('has one spelling of its signature only, though base64 would allow four', async () => {
    const text = Buffer.from(await signer.sign('delta', payload)).toString();
    const spellings = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
      .split('')
      .map((digit) => text.replace(/.==\n/, `${digit}==\n`))
      .map((message) => reasonOf(Buffer.from(message)));
    const reasons = await Promise.all(spellings);
    assert.equal(reasons.filter((reason) => reason === 'genuine').length, 1);
  });

  it('is refused as another kind than it was signed as', async () => {
    const delta = await signer.sign('delta', payload);
    assert.match(await reasonOf(delta, 'snapshot'), /^snapshot bears a signature .* not for its/);
    assert.equal(await reasonOf(delta), 'genuine');
  });

  it('of another key is refused with the names of both', async () => {
    const message = await configSigner(() => other).sign('delta', payload);
    const [known, foreign] = [signingKeyId(key), signingKeyId(other)];
    const reason = `delta is signed with key ${foreign}, which is not known here: the test stands`;
    assert.equal(await reasonOf(message), `${reason} for ${known}`);
    assert.equal((await signer.open('delta', message)).outcome, 'refused');
    const { signature } = splitSignature(message);
    assert.equal(signature?.keyId, foreign);
  });

  it('is believed unsigned where that is accepted, and with a bad signature nowhere', async () => {
    const lax = verifier([key], 'accept_unsigned');
    assert.deepEqual(await lax.open('delta', payload), { outcome: 'genuine', payload });
    assert.match(await reasonOf(payload), /is not signed, and config_signature is require/);
    const message = await signer.sign('delta', payload);
    message[message.byteLength - 1] = 0;
    assert.equal((await lax.open('delta', message)).outcome, 'refused');
  });

  it('of a key that has come since is believed, with keys read every 5 s at most', async () => {
    const clock = new ManualClock();
    let [keys, reads] = [[key], 0];
    const read = () => {
      reads += 1;
      return keys.map((one) => createPublicKey(one));
    };
    const checking = configVerifier({ name: 'the test', read }, 'require', clock);
    const outcome = async (with_: KeyObject) =>
      (await checking.open('delta', await configSigner(() => with_).sign('delta', payload)))
        .outcome;
    assert.equal(await outcome(key), 'genuine');
    keys = [key, other];
    for (let n = 0; n < 3; n += 1) assert.equal(await outcome(other), 'refused');
    await clock.pass(5_000);
    assert.equal(await outcome(other), 'genuine');
    assert.equal(await outcome(key), 'genuine');
    assert.equal(reads, 2);
  });

  it('is refused with why there is no key, and believed once there is', async () => {
    const clock = new ManualClock();
    let problem: string | undefined = 'there is no master key at /data/master.key';
    const read = () => {
      if (problem !== undefined) throw new Error(problem);
      return [createPublicKey(key)];
    };
    const checking = configVerifier({ name: 'the test', read }, 'require', clock);
    const message = await signer.sign('delta', payload);
    const opened = await checking.open('delta', message);
    assert(opened.outcome === 'refused');
    assert.match(opened.reason, /which is not known here: there is no master key at/);
    problem = undefined;
    await clock.pass(5_000);
    assert.equal((await checking.open('delta', message)).outcome, 'genuine');
  });
});
