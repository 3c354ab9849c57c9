/** What is kept of passwords: SCRAM keys and verifiers, real and mock, and md5 hashes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { md5Answer, md5AnswerFits, md5Verifier } from '@dbbouncer/data-plane/wire/postgres/md5.ts';
import {
  deriveKeys,
  formatVerifier,
  mockVerifier,
  parseVerifier,
  preparePassword,
  userSalt,
  verifierFromKeys,
} from '@dbbouncer/data-plane/wire/postgres/scram.ts';

// RFC 7677 §3
const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const ITERATIONS = 4096;
const verifier = verifierFromKeys(await deriveKeys('pencil', SALT, ITERATIONS), SALT, ITERATIONS);

describe('verifiers', () => {
  const TEXT =
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$' +
    'WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=';

  it("are read and written as PostgreSQL's pg_authid has them", () => {
    assert.equal(formatVerifier(verifier), TEXT);
    assert.deepEqual(parseVerifier(TEXT), verifier);
  });

  it('are not read from passwords, md5 hashes or damaged text', () => {
    for (const text of [
      '',
      'pencil',
      md5Verifier('user', 'pencil'),
      TEXT.slice(0, -1),
      `${TEXT}x`,
      `${TEXT}\n`,
      TEXT.replace('4096', '0'),
      TEXT.replace('4096', '4294967296'),
      TEXT.replace('SHA-256', 'SHA-1'),
      TEXT.replace('W22Z', 'W2 Z'),
      TEXT.replace('WG5d8oPm', ''),
      TEXT.replace('4096:W22ZaJ0SNY7soEsUEjb6gQ==', '4096:'),
      TEXT.replace('W22ZaJ0SNY7soEsUEjb6gQ==', Buffer.alloc(1_025).toString('base64')),
    ]) {
      assert.equal(parseVerifier(text), undefined, text);
    }
  });

  it('for who does not exist have the salt they are given, and keys that nobody sees', () => {
    const { storedKey, serverKey, ...shown } = mockVerifier(SALT, 5_000);
    assert.deepEqual(shown, { salt: SALT, iterations: 5_000 });
    assert.deepEqual([storedKey.length, serverKey.length], [32, 32]);
    assert.notDeepEqual(storedKey, serverKey);
  });
});

describe('salts of users', () => {
  const of = (tenant: string, user: string, secret = 'fleet') =>
    userSalt({ fleetSecret: Buffer.from(secret), tenant, user });

  it('are 16 bytes, equal on every proxy and however the tenant is written', () => {
    assert.equal(of('shop', 'app').length, 16);
    assert.deepEqual(of('shop', 'app'), of('Shop', 'app'));
  });

  it('differ by tenant, user and secret', () => {
    const all = [of('shop', 'app'), of('shopa', 'pp'), of('shop', 'ap'), of('sho', 'app')];
    all.push(of('shop', 'App'), of('shop', 'app', 'other'));
    assert.equal(new Set(all.map((salt) => salt.toString('hex'))).size, all.length);
  });
});

describe('passwords', () => {
  it('are prepared as PostgreSQL does, and taken as they are where SASLprep prohibits', () => {
    assert.equal(preparePassword('I\u00adX'), 'IX');
    assert.equal(preparePassword('\u00aa'), 'a');
    assert.equal(preparePassword('\u2168'), 'IX');
    assert.equal(preparePassword('a\u00a0b'), 'a b');
    assert.equal(preparePassword('\u0007'), '\u0007');
    assert.equal(preparePassword('\u0627\u0031'), '\u0627\u0031');
    assert.equal(preparePassword('\u00ad'), '\u00ad');
    assert.equal(preparePassword(''), '');
  });

  it('that differ only in what SASLprep maps have the same keys', async () => {
    assert.deepEqual(await deriveKeys('I\u00adX', SALT, 1), await deriveKeys('IX', SALT, 1));
  });
});

describe('md5 answers', () => {
  it('are what the manual says: md5(md5(password user) salt)', () => {
    const verifier = md5Verifier('user', 'password');
    assert.equal(verifier, 'md54d45974e13472b5a0be3533de4666414');
    const salt = Buffer.from([1, 2, 3, 4]);
    const answer = md5Answer(verifier, salt);
    assert.equal(answer, 'md5a3576f1ae039b8996bc4fc2720f9c71a');
    assert.ok(md5AnswerFits(answer, verifier, salt));
    assert.ok(!md5AnswerFits(answer, verifier, Buffer.from([1, 2, 3, 5])));
    assert.ok(!md5AnswerFits('', verifier, salt));
    assert.ok(!md5AnswerFits(verifier, verifier, salt));
  });
});
