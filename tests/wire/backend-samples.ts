/** One or more samples of every message a server sends. */
import * as auth from '@dbbouncer/data-plane/wire/postgres/authentication-messages.ts';
import * as backend from '@dbbouncer/data-plane/wire/postgres/backend-messages.ts';
import type { ErrorFields } from '@dbbouncer/data-plane/wire/postgres/error-fields.ts';
import * as result from '@dbbouncer/data-plane/wire/postgres/result-messages.ts';
import { bytes, message } from '../support/bytes.ts';
import type { Sample } from './sample.ts';

const ascii = (text: string) => Buffer.from(text, 'latin1');

const everyField: Required<ErrorFields> = {
  severity: 'FEHLER',
  severityNonLocalized: 'ERROR',
  code: '23505',
  message: 'doppelter Schlüssel',
  detail: 'detail',
  hint: 'hint',
  position: '7',
  internalPosition: '8',
  internalQuery: 'select 1',
  where: 'PL/pgSQL function',
  schema: 'public',
  table: 'users',
  column: 'id',
  dataType: 'int4',
  constraint: 'users_pkey',
  file: 'nbtinsert.c',
  line: '666',
  routine: '_bt_check_unique',
};

const fieldBytes = () =>
  bytes()
    .text('S')
    .cstring('FEHLER')
    .text('V')
    .cstring('ERROR')
    .text('C')
    .cstring('23505')
    .text('M')
    .cstring('doppelter Schlüssel')
    .text('D')
    .cstring('detail')
    .text('H')
    .cstring('hint')
    .text('P')
    .cstring('7')
    .text('p')
    .cstring('8')
    .text('q')
    .cstring('select 1')
    .text('W')
    .cstring('PL/pgSQL function')
    .text('s')
    .cstring('public')
    .text('t')
    .cstring('users')
    .text('c')
    .cstring('id')
    .text('d')
    .cstring('int4')
    .text('n')
    .cstring('users_pkey')
    .text('F')
    .cstring('nbtinsert.c')
    .text('L')
    .cstring('666')
    .text('R')
    .cstring('_bt_check_unique')
    .int8(0);

const columns: readonly result.Column[] = [
  result.textColumn('name'),
  {
    name: 'größe',
    tableOid: 0x80000001,
    tableColumn: 2,
    typeOid: 20,
    typeBytes: 8,
    typeModifier: -1,
    format: 'binary',
  },
];

const key = (length: number) => ({ processId: -2, secretKey: Buffer.alloc(length, 0xab) });
const keyBytes = (length: number) =>
  bytes()
    .int32(-2)
    .raw(...new Array<number>(length).fill(0xab));

export const backendSamples: readonly Sample[] = [
  {
    name: 'AuthenticationOk',
    bytes: message('R', bytes().int32(0)),
    encoded: auth.encodeAuthenticationOk(),
    decode: auth.decodeAuthentication,
    decoded: { kind: 'Ok' },
    shape: 'exact',
  },
  {
    name: 'AuthenticationCleartextPassword',
    bytes: message('R', bytes().int32(3)),
    encoded: auth.encodeAuthenticationCleartextPassword(),
    decode: auth.decodeAuthentication,
    decoded: { kind: 'CleartextPassword' },
    shape: 'exact',
  },
  {
    name: 'AuthenticationMD5Password',
    bytes: message('R', bytes().int32(5).raw(1, 2, 3, 255)),
    encoded: auth.encodeAuthenticationMD5Password(Buffer.from([1, 2, 3, 255])),
    decode: auth.decodeAuthentication,
    decoded: { kind: 'MD5Password', salt: Buffer.from([1, 2, 3, 255]) },
    shape: 'exact',
  },
  {
    name: 'AuthenticationSASL',
    bytes: message(
      'R',
      bytes().int32(10).cstring('SCRAM-SHA-256-PLUS').cstring('SCRAM-SHA-256').int8(0),
    ),
    encoded: auth.encodeAuthenticationSASL(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']),
    decode: auth.decodeAuthentication,
    decoded: { kind: 'SASL', mechanisms: ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] },
    shape: 'exact',
  },
  {
    name: 'AuthenticationSASLContinue',
    bytes: message('R', bytes().int32(11).text('r=x,s=eA==,i=1')),
    encoded: auth.encodeAuthenticationSASLContinue('r=x,s=eA==,i=1'),
    decode: auth.decodeAuthentication,
    decoded: { kind: 'SASLContinue', data: ascii('r=x,s=eA==,i=1') },
    shape: 'open',
  },
  {
    name: 'AuthenticationSASLFinal',
    bytes: message('R', bytes().int32(12).text('v=eA==')),
    encoded: auth.encodeAuthenticationSASLFinal('v=eA=='),
    decode: auth.decodeAuthentication,
    decoded: { kind: 'SASLFinal', data: ascii('v=eA==') },
    shape: 'open',
  },
  {
    name: 'ParameterStatus',
    bytes: message('S', bytes().cstring('TimeZone').cstring('Europe/Zürich')),
    encoded: backend.encodeParameterStatus('TimeZone', 'Europe/Zürich'),
    decode: backend.decodeParameterStatus,
    decoded: { name: 'TimeZone', value: 'Europe/Zürich' },
    shape: 'exact',
  },
  {
    name: 'BackendKeyData of protocol 3.0',
    bytes: message('K', keyBytes(4)),
    encoded: backend.encodeBackendKeyData(key(4)),
    decode: backend.decodeBackendKeyData,
    decoded: key(4),
    shape: 'open',
  },
  {
    name: 'BackendKeyData of protocol 3.2, 256 bytes',
    bytes: message('K', keyBytes(256)),
    encoded: backend.encodeBackendKeyData(key(256)),
    decode: backend.decodeBackendKeyData,
    decoded: key(256),
    shape: 'open',
  },
  ...(['I', 'T', 'E'] as const).map((letter): Sample => ({
    name: `ReadyForQuery ${letter}`,
    bytes: message('Z', bytes().text(letter)),
    encoded: backend.encodeReadyForQuery(letter.charCodeAt(0) as backend.TransactionStatus),
    decode: backend.decodeReadyForQuery,
    decoded: letter.charCodeAt(0),
    shape: 'exact',
  })),
  {
    name: 'ErrorResponse with every field',
    bytes: message('E', fieldBytes()),
    encoded: backend.encodeErrorResponse(everyField),
    decode: backend.decodeErrorFields,
    decoded: everyField,
    shape: 'exact',
  },
  {
    name: 'NoticeResponse with every field',
    bytes: message('N', fieldBytes()),
    encoded: backend.encodeNoticeResponse(everyField),
    decode: backend.decodeErrorFields,
    decoded: everyField,
    shape: 'exact',
  },
  {
    name: 'CommandComplete',
    bytes: message('C', bytes().cstring('SELECT 3')),
    encoded: result.encodeCommandComplete('SELECT 3'),
    decode: result.decodeCommandComplete,
    decoded: 'SELECT 3',
    shape: 'exact',
  },
  {
    name: 'NegotiateProtocolVersion',
    bytes: message('v', bytes().int32(0x00030002).int32(2).cstring('_pq_.a').cstring('_pq_.b')),
    encoded: backend.encodeNegotiateProtocolVersion({
      major: 3,
      minor: 2,
      unrecognizedOptions: ['_pq_.a', '_pq_.b'],
    }),
    decode: backend.decodeNegotiateProtocolVersion,
    decoded: { major: 3, minor: 2, unrecognizedOptions: ['_pq_.a', '_pq_.b'] },
    shape: 'exact',
  },
  {
    name: 'NotificationResponse',
    bytes: message('A', bytes().int32(4711).cstring('jobs').cstring('42')),
    encoded: backend.encodeNotificationResponse({
      processId: 4711,
      channel: 'jobs',
      payload: '42',
    }),
    decode: backend.decodeNotificationResponse,
    decoded: { processId: 4711, channel: 'jobs', payload: '42' },
    shape: 'exact',
  },
  {
    name: 'RowDescription',
    bytes: message(
      'T',
      bytes()
        .int16(2)
        .cstring('name')
        .int32(0)
        .int16(0)
        .int32(25)
        .int16(-1)
        .int32(-1)
        .int16(0)
        .cstring('größe')
        .int32(0x80000001)
        .int16(2)
        .int32(20)
        .int16(8)
        .int32(-1)
        .int16(1),
    ),
    encoded: result.encodeRowDescription(columns),
    decode: result.decodeRowDescription,
    decoded: columns,
    shape: 'exact',
  },
  {
    name: 'DataRow',
    bytes: message('D', bytes().int16(3).int32(2).text('é').int32(-1).int32(0)),
    encoded: result.encodeDataRow(['é', null, '']),
    decode: result.decodeDataRow,
    decoded: ['é', null, ''],
    shape: 'exact',
  },
  {
    name: 'CopyInResponse',
    bytes: message('G', bytes().int8(0).int16(2).int16(0).int16(0)),
    encoded: result.encodeCopyInResponse({ format: 'text', columnFormats: ['text', 'text'] }),
    decode: result.decodeCopyResponse,
    decoded: { format: 'text', columnFormats: ['text', 'text'] },
    shape: 'exact',
  },
  {
    name: 'CopyOutResponse',
    bytes: message('H', bytes().int8(1).int16(1).int16(1)),
    encoded: result.encodeCopyOutResponse({ format: 'binary', columnFormats: ['binary'] }),
    decode: result.decodeCopyResponse,
    decoded: { format: 'binary', columnFormats: ['binary'] },
    shape: 'exact',
  },
  {
    name: 'CopyBothResponse',
    bytes: message('W', bytes().int8(0).int16(0)),
    encoded: result.encodeCopyBothResponse({ format: 'text', columnFormats: [] }),
    decode: result.decodeCopyResponse,
    decoded: { format: 'text', columnFormats: [] },
    shape: 'exact',
  },
  ...(
    [
      ['EmptyQueryResponse', 'I', backend.encodeEmptyQueryResponse],
      ['ParseComplete', '1', backend.encodeParseComplete],
      ['BindComplete', '2', backend.encodeBindComplete],
      ['CloseComplete', '3', backend.encodeCloseComplete],
      ['NoData', 'n', backend.encodeNoData],
      ['PortalSuspended', 's', backend.encodePortalSuspended],
    ] as const
  ).map(([name, letter, encode]): Sample => ({
    name,
    bytes: message(letter),
    encoded: encode(),
    shape: 'exact',
  })),
];
