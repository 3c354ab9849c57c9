/** Which bytes are a batch that may be shared: whatever else is sent goes the other way. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  bind,
  close,
  describe as describeMessage,
  execute,
  parse,
  query,
  sync,
} from '../../../../../tests/support/raw-client.ts';
import type { PreparedStatement } from '../prepared/statement-catalogue.ts';
import { textEffects } from '../sql/effects.ts';
import { readBatch } from './read-batch.ts';
import type { BatchShape } from './read-batch.ts';

const SQL = 'SELECT n FROM numbers';
const effects = textEffects(SQL, { standardConformingStrings: true });
const statement = { name: 'shared', effects } as unknown as PreparedStatement;
const texts: string[] = [];
const read = (chunk: Buffer): BatchShape | undefined =>
  readBatch(chunk, {
    effectsOf: (bytes, start, end) => {
      texts.push(bytes.toString('latin1', start, end));
      return effects;
    },
    statementOf: (name) => (name === 'mine' ? statement : undefined),
  });

const together = (...messages: Buffer[]) => Buffer.concat(messages);
const portal = describeMessage('P');
const SHAREABLE: Readonly<Record<string, readonly [BatchShape['kind'], Buffer]>> = {
  'a Query': ['query', query(SQL)],
  'Parse, Bind, Execute': ['unnamed', together(parse(SQL), bind(['1']), execute(), sync())],
  'with both Describes': [
    'unnamed',
    together(parse(SQL), describeMessage('S'), bind(), portal, execute(), sync()),
  ],
  'Bind of a named statement': ['named', together(bind(['1'], 'mine'), portal, execute(), sync())],
  'a named Parse': ['named', together(parse(SQL, 'new'), sync())],
  'a named Parse and its Describe': [
    'named',
    together(parse(SQL, 'new'), describeMessage('S', 'new'), sync()),
  ],
  'a named Parse that is run': [
    'named',
    together(parse(SQL, 'new'), bind([], 'new'), portal, execute(), sync()),
  ],
  'Describe of a named statement': ['named', together(describeMessage('S', 'mine'), sync())],
  'with its Bind': [
    'named',
    together(describeMessage('S', 'mine'), bind([], 'mine'), execute(), sync()),
  ],
};
const REFUSED: Readonly<Record<string, Buffer>> = {
  nothing: Buffer.alloc(0),
  'two Queries': together(query(SQL), query(SQL)),
  'a Query with a zero byte': query(`${SQL}\0; DELETE FROM numbers`),
  'a named Parse with a type of the database': together(parse(SQL, 'new', [16_384]), sync()),
  'a named Parse and the Describe of another': together(
    parse(SQL, 'new'),
    describeMessage('S', 'mine'),
    sync(),
  ),
  'a named Parse and the Bind of another': together(
    parse(SQL, 'new'),
    bind([], 'mine'),
    execute(),
    sync(),
  ),
  'a named Parse without Sync': parse(SQL, 'new'),
  'Describe of what is not known': together(describeMessage('S', 'new'), sync()),
  'Describe of the unnamed statement': together(describeMessage('S'), sync()),
  'Describe of a portal': together(portal, sync()),
  'an unnamed Parse that is not run': together(parse(SQL), sync()),
  'nothing but Sync': sync(),
  'a type of the database': together(parse(SQL, '', [16_384]), bind(), execute(), sync()),
  'a named portal': together(parse(SQL), bind([], '', 'p'), execute('p'), sync()),
  'Execute of another portal': together(parse(SQL), bind(), execute('p'), sync()),
  'two Executes': together(parse(SQL), bind(), execute(), execute(), sync()),
  'no Sync': together(parse(SQL), bind(), execute()),
  'two Syncs': together(parse(SQL), bind(), execute(), sync(), sync()),
  'another statement than was parsed': together(parse(SQL), bind([], 'mine'), execute(), sync()),
  'a statement that is not known': together(bind([], 'other'), execute(), sync()),
  'the unnamed statement of before': together(bind(), execute(), sync()),
  'a Close': together(close('S', 'mine'), sync()),
};

describe('readBatch', () => {
  for (const [words, [kind, chunk]] of Object.entries(SHAREABLE)) {
    it(`takes ${words}, and no part of it or more`, () => {
      const shape = read(chunk);
      assert.equal(shape?.kind, kind);
      for (let end = 0; end < chunk.length; end++) {
        assert.equal(read(chunk.subarray(0, end)), undefined, `${end} bytes`);
      }
      assert.equal(read(together(chunk, Buffer.from('Q'))), undefined);
    });
  }

  for (const [words, chunk] of Object.entries(REFUSED)) {
    it(`leaves ${words} alone`, () => assert.equal(read(chunk), undefined));
  }

  it('takes only what is whole messages in order, whatever bytes are changed', () => {
    const chunks = [
      ...Object.values(SHAREABLE).map(([, chunk]) => chunk),
      ...Object.values(REFUSED),
    ];
    const changes = fc.array(fc.tuple(fc.nat({ max: 120 }), fc.nat({ max: 255 })), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(fc.constantFrom(...chunks), changes, (chunk, changed) => {
        const bytes = Buffer.from(chunk);
        for (const [at, value] of changed) if (at < bytes.length) bytes[at] = value;
        texts.length = 0;
        const shape = read(bytes);
        if (shape === undefined) return;
        const types = wholeMessages(bytes);
        assert.match(types, ORDER[shape.kind]);
        // The text that was judged is the one that the server reads: up to its first zero byte.
        const textAt = shape.kind === 'query' ? 5 : bytes.indexOf(0, 5) + 1;
        const text = bytes.toString('latin1', textAt, bytes.indexOf(0, textAt));
        assert.deepEqual(texts, shape.statement === undefined ? [text] : []);
      }),
      { numRuns: 20_000 },
    );
  });
});

const ORDER = {
  query: /^Q$/,
  unnamed: /^PD?BD?ES$/,
  named: /^(?:PD?|D)?(?:BD?E)?(?<!^)S$/,
} as const;

/** Their types, cut by other lines than those under test. */
function wholeMessages(bytes: Buffer): string {
  let types = '';
  let at = 0;
  while (at < bytes.length) {
    types += String.fromCharCode(bytes[at] as number);
    at += 1 + bytes.readInt32BE(at + 1);
  }
  assert.equal(at, bytes.length);
  return types;
}
