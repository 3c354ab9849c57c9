/**
 * What clients of the shared lane ask in tests, and what may answer it. Whatever a client reads
 * bears its mark: rows, notices and notifications of another would be seen at once.
 * Owns: the batches and the judgement of their answers. Leaves: who asks when to the test.
 */
import assert from 'node:assert/strict';
import * as messages from '../support/raw-client.ts';
import { cstring, execute, fields, frame, parse, query, sync } from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';

/** What the tables of `LANE_TABLES` hold. */
export const NUMBERS = 1_000;
export const WIDE_ROWS = 700;
export const WIDE_BYTES = 10_000;
export const LANE_TABLES = `
  CREATE TABLE numbers AS SELECT n FROM generate_series(0, ${NUMBERS - 1}) n;
  CREATE TABLE wide AS
    SELECT n, repeat('x', ${WIDE_BYTES}) AS t FROM generate_series(0, ${WIDE_ROWS - 1}) n;
  ANALYZE`;

/** What happened to everybody while a batch was under way. */
export interface Circumstances {
  /** The client itself has asked for a cancel that may have come now. */
  readonly isCancelled: boolean;
  /** Somebody has: a late signal may hit a neighbour whose rows have begun to come. */
  readonly isCancelledBeside: boolean;
  readonly areServersBroken: boolean;
}

export interface Asker {
  readonly mark: string;
  /** As the last SET that was answered has it. */
  zone: string;
}

/** The batches of one request, each sent when the one before was answered. */
export interface Ask {
  readonly name: string;
  readonly batches: readonly Batch[];
}

export interface Batch {
  readonly bytes: Buffer;
  /** Rows as they must be when no error comes; of those before one, the beginning. */
  readonly rows: readonly string[];
  /** The error it is bound to end in. */
  readonly fails?: string;
  /** Errors that follow from an earlier one of the same request. */
  readonly mayFail?: readonly string[];
  readonly notices?: readonly string[];
  readonly notified?: string;
  /** What the client's time zone is when it succeeds. */
  readonly zone?: string;
}

const marked = (mark: string, from: number, to: number) =>
  Array.from({ length: to - from }, (_, at) => `${mark}|${from + at}`);

/** Text parameters; results in the formats given, 0 is text and 1 is binary. */
function bindFor(values: readonly string[], statement: string, formats: readonly number[]): Buffer {
  const count = (n: number) => Buffer.from([n >> 8, n & 0xff]);
  const length = (n: number) => Buffer.from([n >> 24, n >> 16, n >> 8, n & 0xff]);
  const parameters = values.flatMap((value) => [length(value.length), Buffer.from(value)]);
  const results = formats.map(count);
  const head = [cstring(''), cstring(statement), count(0), count(values.length)];
  return frame('B', Buffer.concat([...head, ...parameters, count(formats.length), ...results]));
}

const batch = (bytes: Buffer, rows: readonly string[] = [], more: Partial<Batch> = {}): Batch => ({
  bytes,
  rows,
  ...more,
});

type Maker = (asker: Asker, from: number, to: number) => readonly Batch[];

const ZONES: Readonly<Record<string, string>> = { UTC: '12', 'Asia/Tokyo': '21' };
const PORTAL = messages.describe('P');
const named = (at: number) => `SELECT $1::text, n FROM numbers
  WHERE n >= $2::int AND n < $3::int AND n >= ${-at} ORDER BY n`;

const MAKERS = {
  simple: ({ mark }, from, to) => [
    batch(
      query(`SELECT '${mark}', n FROM numbers WHERE n >= ${from} AND n < ${to} ORDER BY n`),
      marked(mark, from, to),
    ),
  ],
  empty: () => [batch(query('SELECT n FROM numbers WHERE n < 0'))],
  unnamed: ({ mark }, from, to) => [
    batch(
      Buffer.concat([
        parse(named(0)),
        bindFor([mark, String(from), String(to)], '', []),
        execute(),
        sync(),
      ]),
      marked(mark, from, to),
    ),
  ],
  'unnamed, described': ({ mark }, from, to) => [
    batch(
      Buffer.concat([
        parse(named(0)),
        bindFor([mark, String(from), String(to)], '', [0]),
        PORTAL,
        execute(),
        sync(),
      ]),
      marked(mark, from, to),
    ),
  ],
  named: ({ mark }, from, to) => {
    const name = `s${from % 6}`;
    const use = Buffer.concat([
      bindFor([mark, String(from), String(to)], name, []),
      PORTAL,
      execute(),
      sync(),
    ]);
    const close = Buffer.concat([messages.close('S', name), sync()]);
    return [
      batch(Buffer.concat([messages.close('S', name), parse(named(from % 6), name), sync()])),
      batch(use, marked(mark, from, to), { mayFail: ['26000'] }),
      batch(use, marked(mark, from, to), { mayFail: ['26000'] }),
      batch(close),
    ];
  },
  binary: ({ mark }, from, to) => [
    batch(
      Buffer.concat([
        parse(named(0)),
        bindFor([mark, String(from), String(to)], '', [0, 1]),
        execute(),
        sync(),
      ]),
      marked(mark, from, to),
    ),
  ],
  wide: ({ mark }) => [
    batch(
      query(`SELECT '${mark}', t FROM wide`),
      Array.from({ length: WIDE_ROWS }, () => `${mark}|${'x'.repeat(WIDE_BYTES)}`),
    ),
  ],
  'failing after rows': ({ mark }, from) => [
    batch(query(`SELECT '${mark}', n + 0 / (${from} - n) FROM numbers`), marked(mark, 0, NUMBERS), {
      fails: '22012',
    }),
  ],
  'failing at once': () => [
    batch(query('SELECT 1 / (n - n) FROM numbers'), [], { fails: '22012' }),
  ],
  zoned: ({ mark, zone }) => [
    batch(
      query(
        `SELECT '${mark}', substr(CAST(CAST('2026-01-01 12:00Z' AS timestamptz) AS text), 12, 2)`,
      ),
      [`${mark}|${ZONES[zone]}`],
    ),
  ],
  'another zone': (_, from) => {
    const zone = from % 2 === 0 ? 'UTC' : 'Asia/Tokyo';
    return [batch(query(`SET TimeZone = '${zone}'`), [], { zone })];
  },
  transaction: ({ mark }, from, to) => [
    batch(query('BEGIN')),
    batch(
      query(`SELECT '${mark}', n FROM numbers WHERE n >= ${from} AND n < ${to} ORDER BY n`),
      marked(mark, from, to),
      { mayFail: ['25P02'] },
    ),
    batch(query('COMMIT'), [], { mayFail: ['25P02'] }),
  ],
  'temporary table': ({ mark }) => [
    batch(
      query(`BEGIN; CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT '${mark}' AS m, 7 AS n;
        SELECT m, n FROM mine; COMMIT`),
      [`${mark}|7`],
    ),
    // What follows an error within a text of several statements is a failed transaction.
    batch(query('ROLLBACK'), [], { notices: ['there is no transaction in progress'] }),
  ],
  notice: ({ mark }) => [
    batch(query(`DO $$ BEGIN RAISE NOTICE '${mark}'; END $$`), [], { notices: [mark] }),
  ],
  notification: ({ mark }) => [
    batch(query(`LISTEN ${mark}`)),
    batch(query(`NOTIFY ${mark}, '${mark}'`), [], { notified: mark }),
    batch(query(`UNLISTEN ${mark}`), [], { notified: mark }),
  ],
} satisfies Readonly<Record<string, Maker>>;

export type AskName = keyof typeof MAKERS;
export const ASKS = Object.keys(MAKERS) as readonly AskName[];

export function askOf(name: AskName, asker: Asker, from: number, count: number): Ask {
  const make: Maker = MAKERS[name];
  return { name, batches: make(asker, from, Math.min(NUMBERS, from + count)) };
}

/** The columns of a row; a binary number is told by its zero byte. */
function rowOf({ body }: RawMessage): string {
  const values: string[] = [];
  let at = 2;
  for (let left = body.readInt16BE(0); left > 0; left -= 1) {
    const end = at + 4 + body.readInt32BE(at);
    const isNumber = end - at === 8 && body[at + 4] === 0;
    values.push(isNumber ? String(body.readInt32BE(at + 4)) : body.toString('utf8', at + 4, end));
    at = end;
  }
  return values.join('|');
}

const LOST = new Set(['08006', '57P01', '57P02', '57P05']);

/** @throws AssertionError when a client has read what it must not. */
export function judge(
  { rows, fails, mayFail = [], notices = [], notified, zone }: Batch,
  answer: readonly RawMessage[],
  asker: Asker,
  { isCancelled, isCancelledBeside, areServersBroken }: Circumstances,
): 'answered' | 'failed' | 'ended' {
  const seen = answer.filter(({ type }) => type === 'D').map(rowOf);
  assert.deepEqual(seen, rows.slice(0, seen.length), 'rows, in order, none but its own');
  for (const message of answer) {
    if (message.type === 'N') assert.ok(notices.includes(fields(message)['M'] ?? ''), 'its notice');
    if (message.type === 'A') {
      assert.equal(message.body.toString('latin1', 4), `${notified}\0${notified}\0`);
    }
    if (message.type !== 'S') continue;
    const [name = '', value = ''] = message.body.toString('utf8').split('\0');
    assert.equal(name, 'TimeZone');
    assert.ok([asker.zone, zone].includes(value), `told to be in ${value}`);
  }
  const errors = answer.filter(({ type }) => type === 'E');
  assert.ok(errors.length <= 1, 'one error at most');
  const [code] = errors.map((error) => fields(error)['C'] ?? '');
  const isWhole = answer.at(-1)?.type === 'Z';
  if (!isWhole) {
    assert.ok(areServersBroken, `the connection has ended with ${code ?? 'no error'}`);
    assert.ok(code === undefined || LOST.has(code), code);
    return 'ended';
  }
  if (code === undefined) {
    assert.equal(fails, undefined, 'it must fail');
    assert.equal(seen.length, rows.length, 'all of its rows');
    if (zone !== undefined) asker.zone = zone;
    return 'answered';
  }
  if (code === fails || mayFail.includes(code)) return 'failed';
  const mayBeCancelled = isCancelled || (isCancelledBeside && seen.length > 0);
  assert.ok(code === '57014' && mayBeCancelled, JSON.stringify(errors.map(fields)));
  return 'failed';
}
