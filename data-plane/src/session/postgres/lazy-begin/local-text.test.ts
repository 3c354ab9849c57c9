/** Which texts can be answered without a server, and with which tag. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readTextEffects } from '../sql/effects.ts';
import { beginTag, endTag, mayBe } from './local-text.ts';

const read = (sql: string) => readTextEffects(sql, { standardConformingStrings: true });
const isSeen = (wanted: 'begin' | 'end', sql: string) => {
  const bytes = Buffer.from(`${sql}\0`, 'latin1');
  return mayBe(wanted, bytes, 0, bytes.length);
};

describe('a text that only begins a transaction', () => {
  const TAGS: Readonly<Record<string, string | undefined>> = {
    BEGIN: 'BEGIN',
    ' begin\twork ; ': 'BEGIN',
    'Begin Transaction Isolation Level Repeatable Read Read Only, Not Deferrable': 'BEGIN',
    'START TRANSACTION': 'START TRANSACTION',
    'start\n transaction read write': 'START TRANSACTION',
    '-- start\nBEGIN': 'BEGIN',
    '/* begin /* twice */ - */ -- so\r START TRANSACTION /* now': undefined,
    '/* begin /* twice */ - */ -- so\r START TRANSACTION /* now */': 'START TRANSACTION',
    'BEGIN; SELECT 1': undefined,
    'BEGIN ISOLATION LEVEL SNAPSHOT': undefined,
    'BEGIN,': undefined,
    'begin atomic': undefined,
    COMMIT: undefined,
    'SELECT 1': undefined,
    '': undefined,
  };
  for (const [sql, tag] of Object.entries(TAGS)) {
    it(`${JSON.stringify(sql)}: ${tag ?? 'none'}`, () => {
      assert.equal(beginTag(sql, read(sql)), tag);
      if (tag !== undefined) assert.ok(isSeen('begin', sql), 'at a glance too');
    });
  }
});

describe('a text that only ends a transaction', () => {
  const TAGS: Readonly<Record<string, string | undefined>> = {
    COMMIT: 'COMMIT',
    'end transaction': 'COMMIT',
    'commit and no chain': 'COMMIT',
    ' ROLLBACK;': 'ROLLBACK',
    'abort work -- it': 'ROLLBACK',
    'COMMIT AND CHAIN': undefined,
    'ROLLBACK AND CHAIN': undefined,
    'ROLLBACK TO a': undefined,
    "COMMIT PREPARED 'a'": undefined,
    "PREPARE TRANSACTION 'a'": undefined,
    'COMMIT; COMMIT': undefined,
    BEGIN: undefined,
  };
  for (const [sql, tag] of Object.entries(TAGS)) {
    it(`${JSON.stringify(sql)}: ${tag ?? 'none'}`, () => {
      assert.equal(endTag(read(sql)), tag);
      if (tag !== undefined) assert.ok(isSeen('end', sql), 'at a glance too');
    });
  }
});

it('most statements are told apart by their first two letters', () => {
  for (const sql of ['SELECT 1', 'INSERT', 'UPDATE', 'DELETE', 'SET a = 1', 'b', '']) {
    assert.equal(isSeen('begin', sql), false, sql);
    assert.equal(isSeen('end', sql), false, sql);
  }
});
