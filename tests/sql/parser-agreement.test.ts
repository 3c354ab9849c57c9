/**
 * Statements, names and tokens, held against PostgreSQL's own parser and scanner (libpg-query): on
 * the corpus, where they must agree, and on random queries, where nothing may be missed.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import fc from 'fast-check';
import { loadModule, parseSync, scanSync } from 'libpg-query';
import { readTextEffects } from '@dbbouncer/data-plane/session/postgres/sql/effects.ts';
import type { TextEffects } from '@dbbouncer/data-plane/session/postgres/sql/effects.ts';
import { fingerprint } from '@dbbouncer/data-plane/session/postgres/sql/fingerprint.ts';
import { lex } from '@dbbouncer/data-plane/session/postgres/sql/lexer.ts';
import type { Token } from '@dbbouncer/data-plane/session/postgres/sql/tokens.ts';
import { isBuiltInType } from '@dbbouncer/data-plane/session/postgres/sql/types.ts';
import { readCorpus } from './corpus.ts';
import { parseWithPostgres } from './oracle.ts';
import type { OracleStatement } from './oracle.ts';
import { generateQuery } from './query-generator.ts';

const OPTIONS = { standardConformingStrings: true };

/** Values that the server rewrites, or that are not read: never replayed. */
const UNCERTAIN_SETS: ReadonlySet<string> = new Set([
  "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
  'SET search_path FROM CURRENT',
  "SET x.y = U&'\\0041'",
  "SET application_name = 'con'\n  'tinued'",
]);

/** Constructs of the grammar that older servers took for functions. */
const TAKEN_FOR_FUNCTIONS: ReadonlySet<string> = new Set(['json_object']);

before(loadModule);

describe('statements and names in the corpus, held against the parser of PostgreSQL', () => {
  const corpus = readCorpus();

  it('has more than 350 texts', () => assert.ok(corpus.length > 350, String(corpus.length)));

  for (const { file, sql } of corpus) {
    it(`${file}: ${sql.replace(/\s+/g, ' ')}`, () => {
      const expected = parseWithPostgres(sql);
      const effects = readTextEffects(sql, OPTIONS);
      assert.deepEqual(kindsOf(effects), kindsExpected(sql, expected));
      assert.deepEqual(namesOf(effects.relations), unique(expected, 'relations'));
      const functions = namesOf(effects.functions).filter((name) => !TAKEN_FOR_FUNCTIONS.has(name));
      assert.deepEqual(functions, unique(expected, 'functions'));
      assert.deepEqual(namesOf(effects.types), unique(expected, 'types').filter(isForeignType));
      assertSameByFingerprint(sql, effects);
    });
  }
});

function kindsExpected(sql: string, expected: readonly OracleStatement[]): string[] {
  if (UNCERTAIN_SETS.has(sql)) return ['set_unparsable'];
  return expected.length === 0 ? ['empty'] : expected.map(({ kind }) => kind);
}

function kindsOf(effects: TextEffects): string[] {
  return effects.statements.map(({ kind }) => kind);
}

function namesOf(names: TextEffects['relations']): string[] {
  return [...new Set(names.map((parts) => parts.join('.')))].toSorted();
}

function unique(
  statements: readonly OracleStatement[],
  list: 'relations' | 'functions' | 'types',
): string[] {
  return [...new Set(statements.flatMap((statement) => statement[list]))].toSorted();
}

function isForeignType(name: string): boolean {
  return !isBuiltInType(name.split('.'));
}

describe('queries made at random, held against the parser of PostgreSQL', () => {
  it('misses no function, relation, write, row lock or table made, with keywords for names', () => {
    let parsed = 0;
    const runs = 3000;
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7fffffff }), (seed) => {
        const sql = generateQuery(seed);
        const expected = tryParse(sql);
        if (expected === undefined) return;
        parsed++;
        const effects = readTextEffects(sql, OPTIONS);
        assert.deepEqual(
          kindsOf(effects),
          expected.map(({ kind }) => kind),
          sql,
        );
        assertHolds(namesOf(effects.relations), unique(expected, 'relations'), sql);
        assertHolds(namesOf(effects.functions), unique(expected, 'functions'), sql);
        const types = unique(expected, 'types').filter(isForeignType);
        assertHolds(namesOf(effects.types), types, sql);
        assertSameByFingerprint(sql, effects);
      }),
      { numRuns: runs },
    );
    assert.ok(parsed > runs / 2, `only ${parsed} of ${runs} queries were valid`);
  });
});

/** What is concluded from the fingerprint must hold for the text. */
function assertSameByFingerprint(sql: string, effects: TextEffects): void {
  const shape = fingerprint(sql);
  if (shape === undefined || effects.literals === 'matter') return;
  assert.deepEqual(readTextEffects(shape, OPTIONS), effects, sql);
}

function assertHolds(names: readonly string[], wanted: readonly string[], sql: string): void {
  const missed = wanted.filter((name) => !names.includes(name));
  assert.deepEqual(missed, [], `missed in: ${sql}`);
}

function tryParse(sql: string): readonly OracleStatement[] | undefined {
  try {
    return parseWithPostgres(sql);
  } catch {
    return undefined;
  }
}

const PIECES = `
  ' '' " \\ $ $$ $a$ $1 E' e' b' X' N' U&' U&" UESCAPE '!' -- /* */ ; ( ) [ ] , . .. : :: := + - *
  / < > = ~ ! @ # % ^ & | ? \` 0 1 12 0x1F 1_0 1e5 1.5 .5 e E x a select é _ a1 a$b { }`;

describe('tokens of random texts, held against the scanner of PostgreSQL', () => {
  const pieces = fc.constantFrom(...PIECES.trim().split(/\s+/), ' ', '\n', '\t');
  const texts = fc.array(pieces, { maxLength: 14 }).map((parts) => parts.join(''));

  it('are the same, and what has none here is refused there', () => {
    let compared = 0;
    fc.assert(
      fc.property(texts, (sql) => {
        // The library's scanner gives comments as tokens, so it sees no string go on behind one.
        if (/\$\d+(?:\w|é)/.test(sql)) return; // Only the library lets a word follow a parameter.
        if (sql.trim() === '' || (/['"]/.test(sql) && /--|\/\*/.test(sql))) return;
        const lexed = lex(sql, OPTIONS);
        if (lexed.kind === 'unparsable') return assert.throws(() => parseSync(sql), sql);
        const scanned = tryScan(sql);
        // Escapes and the length of a name are checked by the server's scanner, not here.
        if (scanned === undefined) return assert.throws(() => parseSync(sql), sql);
        compared++;
        assert.deepEqual(boundaries(sql, lexed.tokens), scanned, sql);
      }),
      { numRuns: 10_000 },
    );
    assert.ok(compared > 2000, `only ${compared} texts were valid`);
  });
});

/** Start and end of each token, in bytes; parts of one token of ours are left out. */
function tryScan(sql: string): string[] | undefined {
  try {
    const kept: { start: number; end: number }[] = [];
    for (const token of scanSync(sql).tokens) {
      const last = kept.at(-1);
      const name = token.tokenName;
      if (name.endsWith('_COMMENT')) continue;
      if (last !== undefined && joinsUnicodeLiteral(sql, last, token.text)) last.end = token.end;
      else if (last !== undefined && isNationalPrefix(sql, last, token)) last.end = token.end;
      else kept.push({ start: token.start, end: token.end });
    }
    return kept.map(({ start, end }) => `${start}-${end}`);
  } catch {
    return undefined;
  }
}

type Span = { readonly start: number; readonly end: number };

function bytes(sql: string, span: Span): string {
  return Buffer.from(sql, 'utf8').toString('utf8', span.start, span.end);
}

/** U&'…' UESCAPE '!' */
function joinsUnicodeLiteral(sql: string, last: Span, text: string): boolean {
  const before = bytes(sql, last);
  if (!/^u&['"]/i.test(before)) return false;
  return /^uescape$/i.test(text) || (/uescape\s*$/i.test(before) && /^'[^]'$/.test(text));
}

function isNationalPrefix(sql: string, last: Span, token: Span): boolean {
  return /^n$/i.test(bytes(sql, last)) && last.end === token.start && bytes(sql, token)[0] === "'";
}

function boundaries(sql: string, tokens: readonly Token[]): string[] {
  const at = (index: number): number => Buffer.byteLength(sql.slice(0, index), 'utf8');
  return tokens.map(({ start, end }) => `${at(start)}-${at(end)}`);
}
