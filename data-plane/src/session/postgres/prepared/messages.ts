/**
 * The messages that prepared-relay.ts puts in, as bytes. Names are latin1: byte for byte what the
 * client wrote.
 */
import { FRONTEND } from '../../../wire/postgres/message-types.ts';
import { TARGET_STATEMENT } from './names.ts';
import type { PreparedStatement } from './statement-catalogue.ts';

const HEADER_BYTES = 5;
const LENGTH_FIELD_BYTES = 4;

/** A message's header and first cstrings, with room in its length for `restBytes` more. */
export function frameHead(type: number, names: readonly string[], restBytes: number): Buffer {
  let namesBytes = 0;
  for (const name of names) namesBytes += name.length + 1;
  const head = Buffer.allocUnsafe(HEADER_BYTES + namesBytes);
  head[0] = type;
  head.writeInt32BE(LENGTH_FIELD_BYTES + namesBytes + restBytes, 1);
  let at = HEADER_BYTES;
  for (const name of names) {
    at += head.write(name, at, 'latin1');
    head[at++] = 0;
  }
  return head;
}

export function parseMessage({ name, definition }: PreparedStatement): Buffer {
  return Buffer.concat([frameHead(FRONTEND.Parse, [name], definition.length), definition]);
}

export function closeMessage({ name }: PreparedStatement): Buffer {
  return frameHead(FRONTEND.Close, [TARGET_STATEMENT + name], 0);
}

/** A Parse that no server accepts, in any state: what is behind it up to Sync is skipped. */
export function failingParse(): Buffer {
  const noTypes = Buffer.alloc(2);
  const head = frameHead(FRONTEND.Parse, ['dbb_refused', 'refused by the pooler'], noTypes.length);
  return Buffer.concat([head, noTypes]);
}
