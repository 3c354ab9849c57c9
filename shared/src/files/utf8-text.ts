/**
 * The text of files that people write. What is not UTF-8 is refused with its place: read all the
 * same, each such byte would become the sign "�", and a password one that nobody has.
 */
import { isUtf8 } from 'node:buffer';

export type Utf8Reading =
  | { readonly outcome: 'text'; readonly text: string }
  | { readonly outcome: 'not_utf8'; readonly line: number; readonly column: number };

export const NOT_UTF8 = 'is not UTF-8 here; save the file in that encoding';

const LINE_END = 0x0a;

export function readUtf8(bytes: Buffer): Utf8Reading {
  if (isUtf8(bytes)) return { outcome: 'text', text: bytes.toString('utf8') };
  let start = 0;
  for (let line = 1; ; line += 1) {
    const end = bytes.indexOf(LINE_END, start);
    const one = bytes.subarray(start, end === -1 ? bytes.length : end);
    if (!isUtf8(one) || end === -1) return { outcome: 'not_utf8', line, column: columnIn(one) };
    start = end + 1;
  }
}

function columnIn(line: Buffer): number {
  const sign = line.toString('utf8').indexOf('�');
  return sign + 1;
}
