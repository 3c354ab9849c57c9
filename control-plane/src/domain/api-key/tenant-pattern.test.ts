/** Patterns of tenant ids, held against the same pattern as a regular expression. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { reaches, TENANT_PATTERN } from './tenant-pattern.ts';

function asRegExp(pattern: string): RegExp {
  const source = pattern.replaceAll('*', '.*').replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'i');
}

describe('reaches', () => {
  it('takes * for any characters, ? for one, and no notice of case', () => {
    assert.ok(reaches('acme-*', 'ACME-7'));
    assert.ok(reaches('acme-*', 'acme-'));
    assert.ok(reaches('a?c', 'abc'));
    assert.ok(!reaches('acme-*', 'acme'));
    assert.ok(!reaches('a?c', 'ac'));
    assert.ok(!reaches('acme', 'acme2'));
    assert.ok(!reaches('', 'acme'));
  });

  it('reaches all without a pattern', () => {
    assert.ok(reaches(null, 'whatever'));
  });

  it('says the same as a regular expression', () => {
    const letters = (alphabet: readonly string[], maxLength: number) =>
      fc.string({ unit: fc.constantFrom(...alphabet), minLength: 1, maxLength });
    fc.assert(
      fc.property(
        letters(['a', 'b', 'A', '*', '?', '-'], 8),
        letters(['a', 'b', 'A', 'B', '-'], 12),
        (pattern, id) => {
          assert.ok(TENANT_PATTERN.test(pattern));
          assert.equal(reaches(pattern, id), asRegExp(pattern).test(id));
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('takes a pattern of 31 stars that nothing matches in less than 50 ms', () => {
    const started = performance.now();
    assert.ok(!reaches(`${'*a'.repeat(31)}b`, 'a'.repeat(63)));
    assert.ok(performance.now() - started < 50);
  });
});
