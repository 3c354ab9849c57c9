/** Patterns against subjects, as NATS matches them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { subjectMatches } from './subject-match.ts';

describe('subjectMatches', () => {
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['a.b', ['a.b'], ['a', 'a.b.c', 'a.c', 'A.b', '']],
    ['a.*', ['a.b', 'a.*'], ['a', 'a.b.c', 'b.a']],
    ['*.b', ['a.b'], ['b', 'a.c', 'a.a.b']],
    ['a.*.c', ['a.b.c'], ['a.c', 'a.b.b.c']],
    ['a.>', ['a.b', 'a.b.c'], ['a', 'b.a']],
    ['>', ['a', 'a.b'], []],
    ['*', ['a'], ['a.b']],
    ['a.b>', ['a.b>'], ['a.b.c', 'a.bc']],
  ];
  for (const [pattern, covered, others] of cases) {
    it(`covers with ${pattern}: ${covered.join(', ')}; not: ${others.join(', ')}`, () => {
      for (const subject of covered) assert.ok(subjectMatches(pattern, subject), subject);
      for (const subject of others) assert.ok(!subjectMatches(pattern, subject), subject);
    });
  }
});
