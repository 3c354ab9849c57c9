/** Which batches can be answered without a server, by their shape and by what is there of them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PreparedStatement } from '../prepared/statement-catalogue.ts';
import { readTextEffects } from '../sql/effects.ts';
import type { StatementWatch } from '../statement-watch.ts';
import type { TextReader } from '../text-reader.ts';
import { readLocalBatch } from './local-batch.ts';
import type { LocalBatch, LocalTexts } from './local-batch.ts';

const read = (sql: string) => readTextEffects(sql, { standardConformingStrings: true });
const texts: LocalTexts = {
  watch: { texts: { read } as TextReader } as StatementWatch,
  statementOf: (name) => {
    const sql = name === 'b' ? 'BEGIN' : 'SELECT 1';
    const definition = Buffer.from(`${sql}\0\0\0`);
    return { definition, effects: read(sql) } as PreparedStatement;
  },
};

function frame(type: string, ...parts: readonly (string | number)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : int16(part))),
  );
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

const parse = frame('P', '', 'BEGIN', 0);
const bind = (name = '') => frame('B', '', name, 0, 0, 0);
const describePortal = frame('D', 'P');
const execute = frame('E', '', 0, 0);
const sync = frame('S');

function batchIn(...frames: readonly Buffer[]): LocalBatch | undefined {
  return batchAt(Buffer.concat(frames), frames[0]?.length ?? 0);
}

function batchAt(buffer: Buffer, bodyEnd: number): LocalBatch | undefined {
  const type = buffer[0] as number;
  return readLocalBatch('begin', { type, buffer, bodyStart: 5, bodyEnd }, texts);
}

describe('a batch that can be answered without a server', () => {
  const SHAPES: Readonly<Record<LocalBatch['messages'], readonly Buffer[]>> = {
    Q: [frame('Q', 'BEGIN')],
    PBES: [parse, bind(), execute, sync],
    PBDES: [parse, bind(), describePortal, execute, sync],
    BES: [bind('b'), execute, sync],
    BDES: [bind('b'), describePortal, execute, sync],
  };
  for (const [messages, frames] of Object.entries(SHAPES)) {
    it(`is seen as ${messages}, with more behind it or not`, () => {
      const { length } = Buffer.concat(frames);
      for (const behind of [Buffer.alloc(0), sync]) {
        const batch = batchIn(...frames, behind);
        assert.equal(batch?.messages, messages);
        assert.equal(batch?.sql, 'BEGIN');
        assert.equal(batch?.end, length);
      }
    });

    it(`of ${messages} is not seen before all of it is there`, () => {
      const whole = Buffer.concat(frames);
      const first = frames[0]?.length ?? 0;
      for (let end = first; end < whole.length; end++) {
        assert.equal(batchAt(whole.subarray(0, end), first), undefined, `${end} bytes`);
      }
    });
  }

  const OTHERS: Readonly<Record<string, readonly Buffer[]>> = {
    'a named Parse': [frame('P', 'n', 'BEGIN', 0), bind('n'), execute, sync],
    'a Parse with parameters': [frame('P', '', 'BEGIN', 1, 0, 23), bind(), execute, sync],
    'a Bind of another statement': [parse, bind('b'), execute, sync],
    'a Bind of the unnamed statement alone': [bind(), execute, sync],
    'a Bind of a statement that begins nothing': [bind('s'), execute, sync],
    'a named portal': [parse, frame('B', 'p', '', 0, 0, 0), execute, sync],
    'two formats for no parameters': [parse, frame('B', '', '', 2, 0, 0, 0, 0), execute, sync],
    'a parameter': [parse, frame('B', '', '', 0, 1, 0, 0, 0), execute, sync],
    'Describe of a statement': [parse, bind(), frame('D', 'S'), execute, sync],
    'Describe twice': [parse, bind(), describePortal, describePortal, execute, sync],
    'Execute twice': [parse, bind(), execute, execute, sync],
    'Flush in place of Sync': [parse, bind(), execute, frame('H')],
    'a text of 513 bytes': [frame('Q', `BEGIN${' '.repeat(508)}`)],
    'a text with something behind it': [frame('Q', 'BEGIN', '')],
    'a length that is too short': [parse, Buffer.from([0x42, 0, 0, 0, 3]), execute, sync],
  };
  for (const [name, frames] of Object.entries(OTHERS)) {
    it(`is not ${name}`, () => assert.equal(batchIn(...frames), undefined));
  }

  it('may have a text of 512 bytes, and one format for all parameters', () => {
    assert.equal(batchIn(frame('Q', `BEGIN${' '.repeat(507)}`))?.messages, 'Q');
    const formats = frame('B', '', '', 1, 1, 0, 2, 0, 1);
    assert.equal(batchIn(parse, formats, execute, sync)?.messages, 'PBES');
  });
});
