/**
 * Which channels the proxy can listen to for a client: those of whose name it is certain.
 * Names come byte for byte (latin1) and are compared so; the server cuts them to 63 bytes, and so
 * does sql/names.ts, sure only of ASCII.
 */

/** From here on sql/names.ts may have cut a name of other bytes elsewhere than the server. */
const CERTAIN_BYTES_MAX = 61;
const UNICODE_NAME = /u&"/i;

/** @param sql the text that the name is from. */
export function isCertainName(channel: string, sql: string): boolean {
  // oxlint-disable-next-line no-control-regex -- all of ASCII
  if (/^[\u0000-\u007f]*$/.test(channel)) return true;
  // A name in U&"…" is made of code points, not of the bytes that the client sent.
  return Buffer.byteLength(channel, 'utf8') <= CERTAIN_BYTES_MAX && !UNICODE_NAME.test(sql);
}
