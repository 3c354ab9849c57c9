/** Telling at a glance which messages can be a LISTEN: most are not, and need not be read. */
import { FRONTEND } from '../../../wire/postgres/message-types.ts';

const SPACE = 0x20;
const LOWER_CASE = 0x20;
const LETTER_L = 0x6c;

/** The text (latin1) of a whole Query or Parse, if its first letter can be that of LISTEN. */
export function listenText(
  type: number,
  buffer: Buffer,
  bodyStart: number,
  bodyEnd: number,
): string | undefined {
  let start = bodyStart;
  if (type === FRONTEND.Parse) start = buffer.indexOf(0, bodyStart) + 1;
  else if (type !== FRONTEND.Query) return undefined;
  let at = start;
  while (at < bodyEnd && (buffer[at] as number) <= SPACE && buffer[at] !== 0) at++;
  if (at >= bodyEnd || ((buffer[at] as number) | LOWER_CASE) !== LETTER_L) return undefined;
  const end = buffer.indexOf(0, at);
  return end === -1 || end >= bodyEnd ? undefined : buffer.toString('latin1', start, end);
}
