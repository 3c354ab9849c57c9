/** Which texts have literals that stand for the time of their parsing. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { namesMoment } from './moments.ts';

const STANDARD = { standardConformingStrings: true };

describe('a literal that stands for a time', () => {
  for (const text of [
    "SELECT 'now'::timestamptz",
    "SELECT date 'TODAY'",
    'SELECT 1 WHERE a < $$yesterday$$::date',
    "SELECT CAST(' Tomorrow 10:00' AS timestamp)",
    "SELECT 'now()'::timestamp",
    String.raw`SELECT E'\tnow'::timestamp`,
  ]) {
    it(`is found in ${text}`, () => assert.equal(namesMoment(text, STANDARD), true));
  }
  for (const text of [
    'SELECT now()',
    "SELECT 'a' WHERE t > now() AND b = 'c'",
    'SELECT "today" FROM t -- \'now\'',
    "SELECT '2026-01-01'::date, 'unknown'",
  ]) {
    it(`is not found in ${text}`, () => assert.equal(namesMoment(text, STANDARD), false));
  }
});
