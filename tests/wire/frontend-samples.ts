/** One or more samples of every message a client sends. */
import * as frontend from '@dbbouncer/data-plane/wire/postgres/frontend-messages.ts';
import { bytes, message } from '../support/bytes.ts';
import type { Sample } from './sample.ts';

const ascii = (text: string) => Buffer.from(text, 'latin1');

export const frontendSamples: readonly Sample[] = [
  {
    name: 'Query',
    bytes: message('Q', bytes().cstring("select 'é', 1")),
    encoded: frontend.encodeQuery("select 'é', 1"),
    decode: frontend.decodeQuery,
    decoded: { sql: "select 'é', 1" },
    shape: 'exact',
  },
  {
    name: 'Query, empty',
    bytes: message('Q', bytes().cstring('')),
    encoded: frontend.encodeQuery(''),
    decode: frontend.decodeQuery,
    decoded: { sql: '' },
    shape: 'exact',
  },
  {
    name: 'Parse',
    bytes: message(
      'P',
      bytes().cstring('s1').cstring('select $1, $2').int16(2).int32(23).int32(0xfffffffe),
    ),
    encoded: frontend.encodeParse({
      statement: 's1',
      sql: 'select $1, $2',
      parameterTypes: [23, 0xfffffffe],
    }),
    decode: frontend.decodeParse,
    decoded: { statement: 's1', sql: 'select $1, $2', parameterTypes: [23, 0xfffffffe] },
    shape: 'exact',
  },
  {
    name: 'Parse of a statement with a name of 70 characters',
    bytes: message('P', bytes().cstring('n'.repeat(70)).cstring('select').int16(0)),
    encoded: frontend.encodeParse({
      statement: 'n'.repeat(70),
      sql: 'select',
      parameterTypes: [],
    }),
    decode: frontend.decodeParse,
    decoded: { statement: 'n'.repeat(70), sql: 'select', parameterTypes: [] },
    shape: 'exact',
  },
  {
    name: 'Bind',
    bytes: message(
      'B',
      bytes()
        .cstring('p')
        .cstring('s1')
        .int16(3)
        .int16(0)
        .int16(1)
        .int16(0)
        .int16(3)
        .int32(2)
        .text('é')
        .int32(2)
        .raw(0, 255)
        .int32(-1)
        .int16(1)
        .int16(1),
    ),
    encoded: frontend.encodeBind({
      portal: 'p',
      statement: 's1',
      values: ['é', Buffer.from([0, 255]), null],
      resultFormat: 'binary',
    }),
    decode: frontend.decodeBind,
    decoded: { portal: 'p', statement: 's1' },
    shape: 'open',
  },
  {
    name: 'Describe a statement',
    bytes: message('D', bytes().text('S').cstring('s1')),
    encoded: frontend.encodeDescribe({ target: 'statement', name: 's1' }),
    decode: frontend.decodeDescribe,
    decoded: { target: 'statement', name: 's1' },
    shape: 'exact',
  },
  {
    name: 'Describe the unnamed portal',
    bytes: message('D', bytes().text('P').cstring('')),
    encoded: frontend.encodeDescribe({ target: 'portal', name: '' }),
    decode: frontend.decodeDescribe,
    decoded: { target: 'portal', name: '' },
    shape: 'exact',
  },
  {
    name: 'Execute',
    bytes: message('E', bytes().cstring('p').int32(100)),
    encoded: frontend.encodeExecute({ portal: 'p', maxRows: 100 }),
    decode: frontend.decodeExecute,
    decoded: { portal: 'p', maxRows: 100 },
    shape: 'exact',
  },
  {
    name: 'Close',
    bytes: message('C', bytes().text('S').cstring('s1')),
    encoded: frontend.encodeClose({ target: 'statement', name: 's1' }),
    decode: frontend.decodeClose,
    decoded: { target: 'statement', name: 's1' },
    shape: 'exact',
  },
  {
    name: 'CopyData',
    bytes: message('d', bytes().raw(0, 1, 2, 255)),
    encoded: frontend.encodeCopyData(Buffer.from([0, 1, 2, 255])),
    decode: frontend.decodeCopyData,
    decoded: Buffer.from([0, 1, 2, 255]),
    shape: 'open',
  },
  {
    name: 'CopyFail',
    bytes: message('f', bytes().cstring('no more')),
    encoded: frontend.encodeCopyFail('no more'),
    decode: frontend.decodeCopyFail,
    decoded: 'no more',
    shape: 'exact',
  },
  {
    name: 'PasswordMessage',
    bytes: message('p', bytes().cstring('pass wörd')),
    encoded: frontend.encodePasswordMessage('pass wörd'),
    decode: frontend.decodePasswordMessage,
    decoded: 'pass wörd',
    shape: 'exact',
  },
  {
    name: 'SASLInitialResponse',
    bytes: message('p', bytes().cstring('SCRAM-SHA-256').int32(9).text('n,,n=,r=x')),
    encoded: frontend.encodeSASLInitialResponse('SCRAM-SHA-256', 'n,,n=,r=x'),
    decode: frontend.decodeSASLInitialResponse,
    decoded: { mechanism: 'SCRAM-SHA-256', data: ascii('n,,n=,r=x') },
    shape: 'exact',
  },
  {
    name: 'SASLResponse',
    bytes: message('p', bytes().text('c=biws,r=x,p=y')),
    encoded: frontend.encodeSASLResponse('c=biws,r=x,p=y'),
    decode: frontend.decodeSASLResponse,
    decoded: ascii('c=biws,r=x,p=y'),
    shape: 'open',
  },
  { name: 'Sync', bytes: message('S'), encoded: frontend.encodeSync(), shape: 'exact' },
  { name: 'Flush', bytes: message('H'), encoded: frontend.encodeFlush(), shape: 'exact' },
  { name: 'Terminate', bytes: message('X'), encoded: frontend.encodeTerminate(), shape: 'exact' },
  { name: 'CopyDone', bytes: message('c'), encoded: frontend.encodeCopyDone(), shape: 'exact' },
];
