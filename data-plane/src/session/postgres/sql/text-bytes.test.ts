/** Texts in buffers are held against the same texts as strings. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { readTextEffects, textEffects } from './effects.ts';
import { bytesEffects } from './text-bytes.ts';

const STANDARD = { standardConformingStrings: true };

/** Where the text is not alone in its buffer. */
function effectsOf(sql: string, before = '&', behind = "'1", options = STANDARD): unknown {
  const buffer = Buffer.from(before + sql + behind, 'latin1');
  return bytesEffects(buffer, before.length, before.length + sql.length, options);
}

const PIECES = `SELECT FROM WHERE a t "a b" "x""y" 'x' 'it''s' '' ' " $1 $12 $$ $a$ 1 12 123456789
  1234567890 1.5 12.75 1. .5 1e5 0x1F 1_0 1a E'x' b'1' U&'x' & && -- - -> /* */ / * = <> :: : := , ;
  ( ) [ ] . .. lower( f( FOR UPDATE INTO INSERT SET é \\ # @ {`;

describe('bytesEffects', () => {
  it('says of bytes what textEffects says of the text, whatever came before', () => {
    const pieces = fc.constantFrom(...PIECES.split(/\s+/), ' ', '\n');
    const texts = fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(texts, (sql) => {
        for (const _ of ['first', 'again']) {
          assert.deepEqual(effectsOf(sql), readTextEffects(sql, STANDARD));
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('gives the same object for texts that differ in literals alone, and to textEffects', () => {
    const effects = effectsOf("SELECT a FROM b WHERE c = 1 AND d = 'x' AND e < 1.5");
    const other = "SELECT a FROM b WHERE c = 22 AND d = 'y''z' AND e < 12345678901";
    assert.equal(effectsOf(other, 'Q', ''), effects);
    assert.equal(textEffects(other, STANDARD), effects);
  });

  it('tells an int4 from other numbers, and texts of one hash apart', () => {
    assert.notEqual(effectsOf('SELECT f(1)'), effectsOf('SELECT f(1234567890)'));
    for (const table of ['ejfkhae', 'cahtvrn', 'ejfkhae', 'rsswybc', 'eflpvge']) {
      const { relations } = effectsOf(`SELECT a FROM ${table}`) as { relations: string[][] };
      assert.deepEqual(relations, [[table]]);
    }
  });

  it('reads a backslash as the options say', () => {
    const sql = String.raw`SELECT '\', f($1, $2) --'`;
    const escapes = { standardConformingStrings: false };
    assert.deepEqual(effectsOf(sql, '', '', escapes), readTextEffects(sql, escapes));
    assert.notDeepEqual(effectsOf(sql, '', ''), effectsOf(sql, '', '', escapes));
  });

  it('reads on where a text is longer than what is remembered', () => {
    const long = `SELECT ${'x'.repeat(9_000)} FROM t`;
    assert.deepEqual(effectsOf(long), readTextEffects(long, STANDARD));
  });
});
