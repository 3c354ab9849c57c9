/** Fingerprints: which texts share one, which have none. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fingerprint } from './fingerprint.ts';

describe('fingerprint', () => {
  const same: readonly (readonly [string, string, string])[] = [
    ['integers', 'SELECT a FROM t WHERE id = 7;', 'SELECT a FROM t WHERE id = 123456789;'],
    ['fractions', 'SELECT 1.25', 'SELECT 99.0'],
    ['an integer beyond int4 and a fraction', 'SELECT 12345678901', 'SELECT 1.5'],
    ['strings', "SELECT 'a', 'b'", "SELECT '', 'it''s; -- not /* a comment'"],
    ['strings with bytes beyond ASCII', "SELECT 'é'", "SELECT 'e'"],
    ['values beside parameters', 'SELECT $1, 5', 'SELECT $1, 6'],
    ['values behind an operator', 'SELECT a-1', 'SELECT a-2'],
  ];
  for (const [what, a, b] of same) {
    it(`is the same for other ${what}`, () => {
      assert.notEqual(fingerprint(a), undefined);
      assert.equal(fingerprint(a), fingerprint(b));
    });
  }

  const different: readonly (readonly [string, string, string])[] = [
    ['an integer and a fraction', 'SELECT 1', 'SELECT 1.5'],
    ['an int4 and a larger integer', 'SELECT 1', 'SELECT 1234567890'],
    ['a number and a string', 'SELECT 1', "SELECT '1'"],
    ['two parameters', 'SELECT $1', 'SELECT $2'],
    ['names with digits', 'SELECT a1', 'SELECT a2'],
    ['quoted names', 'SELECT "1"', 'SELECT "2"'],
    ['a string and two that continue each other', "SELECT 'a'", "SELECT 'a'\n'b'"],
    ['one value and two', 'SELECT 1', 'SELECT 1, 1'],
  ];
  for (const [what, a, b] of different) {
    it(`tells ${what} apart`, () => assert.notEqual(fingerprint(a), fingerprint(b)));
  }

  const none: readonly (readonly [string, string])[] = [
    ['a comment', 'SELECT 1 -- 2'],
    ['a block comment', 'SELECT /* 1 */ 2'],
    ['a dollar quote', 'SELECT $$1$$'],
    ['a tagged dollar quote', 'SELECT $a$1$a$'],
    ['an escape string', "SELECT E'\\''"],
    ['a bit string', "SELECT B'1'"],
    ['a Unicode string', "SELECT U&'\\0061'"],
    ['an exponent', 'SELECT 1e5'],
    ['a hexadecimal number', 'SELECT 0x1F'],
    ['digits with an underscore', 'SELECT 1_000'],
    ['a number with junk', 'SELECT 1a'],
    ['a fraction without digits', 'SELECT 1.'],
    ['a fraction without an integer', 'SELECT .5'],
    ['an open string', "SELECT 'a"],
    ['an open name', 'SELECT "a'],
    ['a NUL', 'SELECT \0'],
  ];
  for (const [what, sql] of none) {
    it(`is none for ${what}`, () => assert.equal(fingerprint(sql), undefined));
  }

  it('is a text with a fingerprint of its own: the same', () => {
    const text = fingerprint("SELECT a, 'x' FROM t WHERE b = 17 AND c < 2.75 AND d = 99999999999");
    assert.equal(text, "SELECT a, '' FROM t WHERE b = 1 AND c < 1.5 AND d = 1.5");
    assert.equal(fingerprint(text), text);
  });
});
