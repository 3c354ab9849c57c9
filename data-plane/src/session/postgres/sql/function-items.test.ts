/** Attributes of functions in FROM, which may be calls. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readTextEffects } from './effects.ts';

function functionsOf(sql: string): readonly string[] {
  const { functions } = readTextEffects(sql, { standardConformingStrings: true });
  return [...new Set(functions.map((name) => name.join('.')))];
}

describe('attributes of functions in FROM', () => {
  const cases: readonly (readonly [sql: string, functions: readonly string[]])[] = [
    ['SELECT g.f FROM unnest(a) AS g', ['unnest', 'f']],
    ['SELECT g.f FROM unnest(a) g', ['unnest', 'f']],
    ['SELECT "G".f FROM unnest(a) "G"', ['unnest', 'f']],
    ['SELECT unnest.f FROM unnest(a)', ['unnest', 'f']],
    ['SELECT 1 FROM t JOIN LATERAL unnest(t.a) g ON g.f = t.id', ['unnest', 'f']],
    ['SELECT g.f FROM unnest(a) WITH ORDINALITY AS g', ['unnest', 'f']],
    ['SELECT g.f FROM unnest(a) g (i)', ['unnest', 'f']],
    ['SELECT (SELECT g.f) FROM unnest(a) g', ['unnest', 'f']],
    ['SELECT g.g FROM unnest(a) g (i)', ['unnest', 'g']],
    ['SELECT g.i FROM unnest(a) g (i), (SELECT g.i FROM unnest(b) g) s', ['unnest', 'i']],
    ['SELECT r.f FROM ROWS FROM (unnest(a)) AS r', ['unnest', 'f']],
    ['SELECT c.f FROM CAST(7 AS int8) AS c', ['f']],
    ['SELECT c.f FROM coalesce(7) AS c', ['f']],
    ['SELECT c.f FROM CURRENT_USER AS c', ['f']],

    ['SELECT g.g, t.f FROM unnest(a) AS g, t', ['unnest']],
    ['SELECT g.i, g.j FROM unnest(a) g (i, j)', ['unnest']],
    ['SELECT g.i, g.ordinality FROM unnest(a) WITH ORDINALITY g (i)', ['unnest']],
    ['SELECT e.key, e.value FROM json_each(a) e', ['json_each']],
    ['SELECT e.value FROM json_array_elements(a) e', ['json_array_elements']],
    ['SELECT s.f FROM (SELECT unnest(a) AS f) s', ['unnest']],
    ['SELECT t.f FROM s.t, u', []],
  ];
  for (const [sql, functions] of cases) {
    it(`are ${functions.join(', ') || 'none'} in ${sql}`, () => {
      assert.deepEqual(functionsOf(sql), functions);
    });
  }
});
