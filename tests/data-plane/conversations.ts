/**
 * What a client and a server can say to each other, in parts that can be put together in any order;
 * each begins and ends outside of any transaction.
 * Owns: the bytes, and what tells that the server is done with them. Leaves: who says them to whom.
 */
import {
  bind,
  close,
  copyData,
  copyDone,
  describe,
  execute,
  flush,
  frame,
  parse,
  query,
  sync,
} from '../support/raw-client.ts';

/** Sent at once; then as many messages of each of these types are awaited. */
export interface Step {
  readonly bytes: Buffer;
  readonly awaits: string;
  /** The statement does not end by itself: it is cancelled while it runs. */
  readonly end?: 'cancel';
}

export type Part = readonly Step[];

const all = (...frames: readonly Buffer[]) => Buffer.concat(frames);
const step = (awaits: string, ...frames: readonly Buffer[]): Step => ({
  bytes: all(...frames),
  awaits,
});
const copyFail = () => frame('f', Buffer.from('no more\0'));

/** What the parts find in the database. */
export const CONVERSATION_SCHEMA = 'CREATE TABLE copied (a int, b text)';

export const PARTS: Readonly<Record<string, Part>> = {
  'a query': [step('Z', query("SELECT 1, 'größe', NULL"))],
  'an empty query': [step('Z', query('')), step('Z', query('  -- nothing'))],
  'several statements': [step('Z', query("SELECT 1; SELECT 'two'; SELECT 3"))],
  'an error': [step('Z', query('SELECT 1/0')), step('Z', query('SELEC 1'))],
  'an error between statements': [step('Z', query('SELECT 1; SELECT 1/0; SELECT 2'))],
  'a notice': [step('Z', query("DO $$ BEGIN RAISE NOTICE 'größer'; END $$"))],
  'queries behind each other': [
    step('ZZZ', query('SELECT 1'), query('SELECT 1/0'), query('SELECT 2')),
  ],
  'a transaction': [
    step('Z', query('BEGIN')),
    step('Z', query('SELECT 1')),
    step('Z', query('COMMIT')),
  ],
  'a transaction in messages': [
    step('Z', parse('BEGIN READ ONLY'), bind(), describe('P'), execute(), sync()),
    step('Z', parse('SELECT $1::int', '', [23]), bind(['9']), execute(), sync()),
    step('Z', parse('COMMIT'), bind(), describe('P'), execute(), sync()),
  ],
  'transactions with nothing in them': [
    step('Z', query('START TRANSACTION ISOLATION LEVEL SERIALIZABLE')),
    step('Z', parse('END'), bind(), execute(), sync()),
    step('Z', query('BEGIN')),
    step('ZZ', query('ABORT'), query('SELECT 2')),
  ],
  'a failed transaction': [
    step('ZZ', query('BEGIN'), query('SELECT 1/0')),
    step('ZZ', query('SELECT 1'), query('ROLLBACK')),
  ],
  'a parameter': [
    step('Z', parse('SELECT $1::text'), bind(['größe']), describe('P'), execute(), sync()),
  ],
  'a long parameter': [
    step('Z', parse('SELECT length($1)'), bind(['x'.repeat(100_000)]), execute(), sync()),
  ],
  'a named statement': [
    step('Z', parse('SELECT $1::int + 1', 's1', [23]), describe('S', 's1'), sync()),
    step('Z', bind(['41'], 's1'), execute(), sync()),
    step('Z', close('S', 's1'), sync()),
    step('Z', bind(['1'], 's1'), execute(), sync()),
  ],
  'a pipeline with an error': [
    step(
      'ZZ',
      all(parse('SELECT 1/$1::int'), bind(['1']), execute(), bind(['0']), execute()),
      all(bind(['2']), execute(), sync()),
      all(parse("SELECT 'behind'"), bind(), execute(), sync()),
    ),
  ],
  'flushed steps': [
    step('1T', parse('SELECT 7 AS seven', 's2'), describe('S', 's2'), flush()),
    step('2C', bind([], 's2'), execute(), flush()),
    step('3Z', close('S', 's2'), sync()),
  ],
  'a portal in pieces': [
    step('Z', query('BEGIN')),
    step('sZ', parse('SELECT generate_series(1, 5)'), bind([], '', 'p'), execute('p', 2), sync()),
    step('CZ', execute('p'), sync()),
    step('Z', query('COMMIT')),
  ],
  'COPY in': [
    step('G', query('COPY copied FROM STDIN')),
    step('Z', copyData('1\tone\n2\tz'), copyData('wei\n'), copyDone()),
  ],
  'COPY in, sent ahead': [
    step('Z', query('COPY copied FROM STDIN'), copyData('3\tthree\n'), copyDone()),
  ],
  'COPY in, extended': [
    step('G', parse('COPY copied FROM STDIN'), bind(), execute(), flush()),
    step('Z', copyData('4\tvier\n'), copyDone(), sync()),
  ],
  'COPY in, given up': [
    step('G', query('COPY copied FROM STDIN')),
    step('Z', copyData('5\tfive\n'), copyFail()),
  ],
  'COPY in, refused': [
    step('G', query('COPY copied FROM STDIN')),
    step('Z', copyData('six\tsix\n'), copyDone()),
  ],
  'COPY out': [step('Z', query("COPY (SELECT g, 'größe' FROM generate_series(1, 9) g) TO STDOUT"))],
  'a notification': [
    step('Z', query('LISTEN news')),
    step('ZA', query("NOTIFY news, 'größer'")),
    step('Z', query('UNLISTEN *')),
  ],
  'large rows': [
    step('Z', query('SELECT g, repeat(g::text, 40000) FROM generate_series(1, 6) g')),
    step('Z', query("SELECT repeat('x', 300000)")),
  ],
  'many rows': [step('Z', query('SELECT generate_series(1, 3000)'))],
  'a long query': [step('Z', query(`SELECT length('${'y'.repeat(90_000)}')`))],
  'a query of more than a megabyte': [
    step('Z', query(`SELECT length('${'y'.repeat(1_200_000)}')`)),
  ],
  'a cancelled statement': [
    { ...step('Z', query('SELECT pg_sleep(61)')), end: 'cancel' },
    step('Z', query("SELECT 'after it'")),
  ],
};
