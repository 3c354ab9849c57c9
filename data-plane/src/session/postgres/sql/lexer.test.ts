/** Tokens, faults and values of literals; that any text is lexed, in linear time. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { lex, TEXT_LENGTH_MAX, TOKENS_MAX } from './lexer.ts';
import { stringValue } from './literals.ts';
import type { LexFault, Token } from './tokens.ts';

const STANDARD = { standardConformingStrings: true };
const ESCAPES = { standardConformingStrings: false };

function tokensOf(sql: string, options = STANDARD): readonly Token[] {
  const lexed = lex(sql, options);
  assert.equal(lexed.kind, 'tokens', sql);
  return lexed.kind === 'tokens' ? lexed.tokens : [];
}

/** `kind:written` of each token. */
function written(sql: string, options = STANDARD): string[] {
  return tokensOf(sql, options).map(({ kind, start, end }) => `${kind}:${sql.slice(start, end)}`);
}

function faultOf(sql: string, options = STANDARD): LexFault | undefined {
  const lexed = lex(sql, options);
  return lexed.kind === 'unparsable' ? lexed.fault : undefined;
}

describe('lex', () => {
  const cases: readonly (readonly [sql: string, tokens: readonly string[]])[] = [
    ['', []],
    [' \t\r\n\f\v-- x', []],
    ['/* a /* b */ c */1', ['number:1']],
    ['SELECT a', ['word:SELECT', 'word:a']],
    ["'a''b'", ["string:'a''b'"]],
    [String.raw`'\' 'x'`, [String.raw`string:'\'`, "string:'x'"]],
    [String.raw`E'\' x'`, [String.raw`string:E'\' x'`]],
    ["'a'\n  'b'", ["string:'a'\n  'b'"]],
    ["'a' -- c\n'b'", ["string:'a' -- c\n'b'"]],
    ["'a' 'b'", ["string:'a'", "string:'b'"]],
    ["'a' /*\n*/ 'b'", ["string:'a'", "string:'b'"]],
    ["'a' -\n'b'", ["string:'a'", 'operator:-', "string:'b'"]],
    ["b'01''1'", ["bits:b'01'", "string:'1'"]],
    ["X'1F'\n'2e'", ["bits:X'1F'\n'2e'"]],
    ["n'x' N'y'", ["string:n'x'", "string:N'y'"]],
    ["U&'d!61' UESCAPE '!'", ["string:U&'d!61' UESCAPE '!'"]],
    ['u&"a" uescape_b', ['quoted:u&"a"', 'word:uescape_b']],
    ['u & x', ['word:u', 'operator:&', 'word:x']],
    ["$$'$$ $a$ $$ $a$", ["string:$$'$$", 'string:$a$ $$ $a$']],
    ['$é_1$x$é_1$', ['string:$é_1$x$é_1$']],
    ['a$$b $12', ['word:a$$b', 'parameter:$12']],
    ['"a""b"."c"', ['quoted:"a""b"', 'symbol:.', 'quoted:"c"']],
    ['1.5 .5 5. 1e-5 1..2', ['1.5', '.5', '5.', '1e-5', '1', '..', '2'].map(kindOfNumber)],
    ['0x1F 0o17 0b11 1_000', ['0x1F', '0o17', '0b11', '1_000'].map(kindOfNumber)],
    ['a::b:=c:d', ['word:a', 'symbol:::', 'word:b', 'symbol::=', 'word:c', 'symbol::', 'word:d']],
    ['a+-b', ['word:a', 'operator:+', 'operator:-', 'word:b']],
    ['a@-b', ['word:a', 'operator:@-', 'word:b']],
    ['a*/* c */b', ['word:a', 'operator:*', 'word:b']],
    ['a<--c', ['word:a', 'operator:<']],
    ['a->>b', ['word:a', 'operator:->>', 'word:b']],
    ['+++', ['operator:+', 'operator:+', 'operator:+']],
    ['a=>b', ['word:a', 'operator:=>', 'word:b']],
  ];
  for (const [sql, expected] of cases) {
    it(`cuts ${JSON.stringify(sql)}`, () => assert.deepEqual(written(sql), expected));
  }

  it('lets a backslash escape in plain strings when standard_conforming_strings is off', () => {
    assert.deepEqual(written(String.raw`'\' x'`, ESCAPES), [String.raw`string:'\' x'`]);
    assert.equal(faultOf(String.raw`'\'`, ESCAPES), 'unterminated_string');
    assert.equal(faultOf("U&'a'", ESCAPES), 'invalid_unicode_escape');
  });

  it('folds ASCII letters of names, and no others', () => {
    const texts = tokensOf('SELECT ÜnïCode "MiXed" \u212Aelvin').map(({ text }) => text);
    assert.deepEqual(texts, ['select', 'Ünïcode', 'MiXed', '\u212Aelvin']);
  });

  it('cuts names to 63 bytes between two characters', () => {
    const [plain, quoted] = tokensOf(`${'A'.repeat(70)} "${'é'.repeat(40)}"`);
    assert.equal(plain?.text, 'a'.repeat(63));
    assert.equal(quoted?.text, 'é'.repeat(31));
  });

  it('reads the escapes of U&"…"', () => {
    const names = tokensOf(String.raw`U&"\0061\+000062\\""" U&"!0063" UESCAPE '!'`);
    assert.deepEqual(
      names.map(({ text }) => text),
      [String.raw`ab\"`, 'c'],
    );
  });

  const faults: readonly (readonly [sql: string, fault: LexFault])[] = [
    ["'a", 'unterminated_string'],
    ["'a'\n'b", 'unterminated_string'],
    [String.raw`E'a\'`, 'unterminated_string'],
    ["b'0", 'unterminated_string'],
    ['$$a', 'unterminated_dollar_quote'],
    ['$a$ $b$', 'unterminated_dollar_quote'],
    ['"a', 'unterminated_name'],
    ['""', 'empty_name'],
    ['/* /* */', 'unterminated_comment'],
    [String.raw`U&"\00"`, 'invalid_unicode_escape'],
    ["U&'a' UESCAPE 'ab'", 'invalid_unicode_escape'],
    ['1a', 'junk_after_number'],
    ['0xg', 'junk_after_number'],
    ['1__0', 'junk_after_number'],
    ['$1a', 'junk_after_number'],
    ['{', 'invalid_character'],
    ['a\\b', 'invalid_character'],
    ['$a', 'invalid_character'],
    ['a\0', 'invalid_character'],
  ];
  for (const [sql, fault] of faults) {
    it(`finds ${fault} in ${JSON.stringify(sql)}`, () => assert.equal(faultOf(sql), fault));
  }

  it(`takes a text of ${TEXT_LENGTH_MAX} characters and refuses a longer one`, () => {
    assert.equal(faultOf(' '.repeat(TEXT_LENGTH_MAX + 1)), 'text_too_long');
    assert.deepEqual(written(' '.repeat(TEXT_LENGTH_MAX)), []);
  });

  it(`refuses the ${TOKENS_MAX + 1}st token`, () => {
    assert.equal(tokensOf(','.repeat(TOKENS_MAX)).length, TOKENS_MAX);
    assert.equal(faultOf(','.repeat(TOKENS_MAX + 1)), 'too_many_tokens');
  });

  it('takes less than 2 s of CPU for the worst texts of 1 Mi characters', () => {
    const units = [
      '+',
      '-',
      "'",
      "' ",
      "''\n",
      '/*',
      '*/',
      '$a',
      '$$ ',
      '"',
      'a ',
      "U&''",
      '\\',
      '((',
      '1.',
    ];
    for (const unit of units) {
      const sql = unit.repeat(Math.floor(TEXT_LENGTH_MAX / unit.length));
      const before = process.cpuUsage();
      lex(sql, STANDARD);
      const cpuMs = process.cpuUsage(before).user / 1000;
      assert.ok(cpuMs < 2000, `${unit}: ${cpuMs} ms`);
    }
  });
});

function kindOfNumber(text: string): string {
  return text === '..' ? 'symbol:..' : `number:${text}`;
}

describe('lex, of any text', () => {
  const pieces = fc.constantFrom(
    "'",
    '"',
    '\\',
    '$',
    '$a$',
    '-',
    '--',
    '/*',
    '*/',
    '\n',
    ' ',
    'E',
    'U&',
    'x',
    '1',
    '.',
    ';',
    '(',
    'é',
    '+',
  );
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.array(pieces, { maxLength: 30 }).map((parts) => parts.join('')),
  );

  it('throws nothing, and gives tokens with only blanks and comments between them', () => {
    fc.assert(
      fc.property(texts, fc.boolean(), (sql, standardConformingStrings) => {
        const lexed = lex(sql, { standardConformingStrings });
        if (lexed.kind === 'unparsable') return;
        let at = 0;
        for (const { start, end } of [...lexed.tokens, { start: sql.length, end: sql.length }]) {
          assert.match(sql.slice(at, start), /^(?:[ \t\n\r\f\v]|--[^\n\r]*|\/\*[^]*\*\/)*$/);
          assert.ok(end >= start);
          at = end;
        }
      }),
      { numRuns: 5000 },
    );
  });

  it('gives the same tokens to a text decoded from UTF-8 and from Latin-1', () => {
    fc.assert(
      fc.property(texts, (sql) => {
        const bytes = Buffer.from(sql, 'utf8');
        const utf8 = lex(bytes.toString('utf8'), STANDARD);
        const latin1 = lex(bytes.toString('latin1'), STANDARD);
        const shape = (lexed: typeof utf8): unknown =>
          lexed.kind === 'tokens' ? lexed.tokens.map(({ kind }) => kind) : lexed.fault;
        assert.deepEqual(shape(latin1), shape(utf8));
      }),
      { numRuns: 3000 },
    );
  });
});

describe('stringValue', () => {
  const values: readonly (readonly [literal: string, value: string | undefined])[] = [
    ["'a''b'", "a'b"],
    [String.raw`'a\n'`, String.raw`a\n`],
    [String.raw`E'\n\'\x41\101\u0042\U0001F600\q'`, "\n'AAB😀q"],
    ["$a$x'y$a$", "x'y"],
    ['$$$$', ''],
    [String.raw`E'\377'`, undefined],
    [String.raw`E'\u12'`, undefined],
    [String.raw`E'\v'`, undefined],
    ["'a'\n'b'", undefined],
    ["N'a'", undefined],
    ["U&'a'", undefined],
    ["'\ufffd'", undefined],
  ];
  for (const [literal, value] of values) {
    it(`of ${JSON.stringify(literal)} is ${JSON.stringify(value)}`, () => {
      const [token] = tokensOf(literal);
      assert.ok(token !== undefined);
      assert.equal(stringValue(literal, token, STANDARD), value);
    });
  }
});
