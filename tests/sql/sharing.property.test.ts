/**
 * What is a candidate for sharing, held against PostgreSQL's own parser: its tree must be that of
 * one statement which only reads, and every name that it calls must be known to read.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { loadModule } from 'libpg-query';
import { readTextEffects } from '@dbbouncer/data-plane/session/postgres/sql/effects.ts';
import { functionEffect } from '@dbbouncer/data-plane/session/postgres/sql/functions.ts';
import { isBuiltInType } from '@dbbouncer/data-plane/session/postgres/sql/types.ts';
import { fuzzing } from '../support/fuzzing.ts';
import { SeededRandom } from '../support/seeded-random.ts';
import { readCorpus } from './corpus.ts';
import { generateMineStatement } from './mine-statements.ts';
import { generateQuery } from './query-generator.ts';
import { readingTreeOf } from './reading-tree.ts';
import type { ReadingTree } from './reading-tree.ts';

const OPTIONS = { standardConformingStrings: true };
/** Any query may mean these, and A_Expr has words of the grammar for names. */
const IMPLIED: ReadonlySet<string> = new Set(
  '=;<>;<;<=;>;>=;BETWEEN;NOT BETWEEN;BETWEEN SYMMETRIC;NOT BETWEEN SYMMETRIC'.split(';'),
);
const MUTATIONS_MAX = 4;

/** Words and signs that change what a text is. */
const PIECES = `
  SELECT INTO FROM WHERE FOR UPDATE SHARE OF TABLE VALUES WITH RECURSIVE AS ( ) , ; . ..
  [ ] :: := ' '' " "" $$ $a$ E' U&" -- /* */ INSERT DELETE SET ON CONFLICT RETURNING USING MERGE
  BEGIN COMMIT EXPLAIN ANALYZE COPY ROWS ORDINALITY LATERAL ONLY TEMP UNION ALL JOIN LIMIT CAST
  COALESCE CURRENT_DATE f pg_sleep lower t g a 1 * = OPERATOR(s.+) \\ $1 NULL CASE END WHEN`;
const pieces = PIECES.trim().split(/\s+/);
const corpus = readCorpus().map(({ sql }) => sql);

before(loadModule);

describe('candidates for sharing, held against the parser of PostgreSQL', () => {
  it('in the corpus are reads of the server too', () => {
    const outcomes = corpus.map(check);
    const candidates = outcomes.filter((outcome) => outcome === 'candidate').length;
    assert.ok(candidates > 60, `only ${candidates} candidates`);
  });

  const sources: readonly (readonly [name: string, generate: (seed: number) => string])[] = [
    ['queries at random', generateQuery],
    ['statements of the minefield', generateMineStatement],
    ['texts of all three, cut up and put together anew', mutated],
  ];
  for (const [name, generate] of sources) {
    it(`among ${name} are reads of the server too`, () => {
      const counts = { candidate: 0, refused: 0, unparsable: 0 };
      const plan = fuzzing({ runs: 1500, seed: 27_183 });
      const property = fc.property(fc.integer({ min: 0, max: 0x7fffffff }), (seed) => {
        counts[check(generate(seed))] += 1;
      });
      fc.assert(property, plan);
      assert.ok(counts.candidate > plan.numRuns / 50, JSON.stringify(counts));
    });
  }
});

/** @returns what became of the text; `unparsable` to the server */
function check(sql: string): 'candidate' | 'refused' | 'unparsable' {
  const effects = readTextEffects(sql, OPTIONS);
  if (effects.sharing !== 'candidate') return 'refused';
  // Only the library takes a parameter for a literal of the type that a word before it names.
  if (/[\p{L}\w"]\s+\$\d/u.test(sql.replace(/\b(?:SELECT|AND|OR|WHERE|LIMIT|LIKE)\s+\$/gi, '$'))) {
    return 'unparsable';
  }
  const tree = tryRead(sql);
  if (tree === undefined) return 'unparsable';
  assert.deepEqual(tree.strangers, [], sql);
  const calls = tree.calls.filter((name) => functionEffect(name.split('.')) !== 'reads');
  assert.deepEqual(calls, [], sql);
  const types = tree.types.filter((name) => !isBuiltInType(name.split('.')));
  assertHolds(effects.types, types, sql);
  assertHolds(effects.relations, tree.relations, sql);
  const operators = tree.operators.filter((name) => !IMPLIED.has(name));
  assert.deepEqual(
    operators.filter((name) => !effects.operators.includes(name)),
    [],
    sql,
  );
  const missed = tree.attributes.filter((name) => !effects.attributes.includes(name));
  assert.deepEqual(missed, [], sql);
  return 'candidate';
}

function assertHolds(
  names: readonly (readonly string[])[],
  wanted: readonly string[],
  sql: string,
): void {
  const known = new Set(names.map((name) => name.join('.')));
  const missed = wanted.filter((name) => !known.has(name));
  assert.deepEqual(missed, [], `missed in: ${sql}`);
}

function tryRead(sql: string): ReadingTree | undefined {
  try {
    return readingTreeOf(sql);
  } catch {
    return undefined;
  }
}

/** Tokens, roughly: what is cut between them is mostly still a text. */
const TOKEN = /\s+|[A-Za-z_][\w$]*|\d+|::|'[^']*'|"[^"]*"|./gs;

function mutated(seed: number): string {
  const random = new SeededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[random.between(0, list.length - 1)] as T;
  const anyText = (): string => {
    const own = random.between(0, 0x7fffffff);
    const kind = random.between(0, 3);
    return kind === 0 ? generateQuery(own) : kind === 1 ? generateMineStatement(own) : pick(corpus);
  };
  let tokens: string[] = anyText().match(TOKEN) ?? [];
  for (let left = random.between(1, MUTATIONS_MAX); left > 0; left--) {
    const at = random.between(0, tokens.length);
    const length = random.between(0, 3);
    const other = anyText().match(TOKEN) ?? [];
    const from = random.between(0, other.length);
    const replacements = [
      [],
      [' ', pick(pieces), ' '],
      [pick(tokens)],
      other.slice(from, from + random.between(1, 8)),
    ];
    tokens = tokens.toSpliced(at, length, ...pick(replacements).filter(Boolean));
  }
  return tokens.join('');
}
