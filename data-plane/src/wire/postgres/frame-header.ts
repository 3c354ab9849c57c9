/**
 * The five bytes that every PostgreSQL message behind the startup begins with.
 * Source: PostgreSQL manual, "Message Formats": type byte, Int32 length that counts itself, body.
 */
import { showType } from './message-types.ts';

export const HEADER_BYTES = 5;
export const LENGTH_FIELD_BYTES = 4;

/** A signed Int32; spelled out because readInt32BE() checks the bounds once more. */
export function readLength(buffer: Buffer, at: number): number {
  return (
    ((buffer[at] as number) << 24) |
    ((buffer[at + 1] as number) << 16) |
    ((buffer[at + 2] as number) << 8) |
    (buffer[at + 3] as number)
  );
}

/**
 * Where the first frame begins, at `start` or behind it, that is of another type, not here whole,
 * or of a length that it must not have.
 */
export function endOfAlike(
  chunk: Buffer,
  start: number,
  type: number,
  bodyBytesMax: number,
): number {
  const { length } = chunk;
  const lengthMax = bodyBytesMax + LENGTH_FIELD_BYTES;
  let at = start;
  while (length - at >= HEADER_BYTES && chunk[at] === type) {
    const declared = readLength(chunk, at + 1);
    const next = at + 1 + declared;
    if (declared < LENGTH_FIELD_BYTES || declared > lengthMax || next > length) break;
    at = next;
  }
  return at;
}

/** What is wrong with the size that a header declares. @param bodyBytesMax -1: no such type */
export function sizeProblem(type: number, bodyLength: number, bodyBytesMax: number): string {
  const message = `message ${showType(type)}`;
  if (bodyBytesMax < 0) return `${message} is not one this peer may send`;
  return bodyLength < 0
    ? `${message} declares a length of ${bodyLength + LENGTH_FIELD_BYTES}, 4 is the least`
    : `${message} declares a body of ${bodyLength} bytes, ${bodyBytesMax} is the limit`;
}
