/** The zero-terminated names at the beginning of a message, which may not have arrived whole. */

/** First byte of Describe and Close for a statement. */
export const TARGET_STATEMENT = 'S';

export interface Names {
  /** Byte for byte (latin1), so that no two different names look equal. */
  readonly texts: readonly string[];
  /** Where the rest of the body begins in the buffer. */
  readonly end: number;
}

/** Reads `count` names, or nothing when their ends have not arrived. */
export function readNames(
  buffer: Buffer,
  start: number,
  end: number,
  count: 1 | 2,
): Names | undefined {
  const texts: string[] = [];
  let at = start;
  for (let i = 0; i < count; i++) {
    const zero = buffer.indexOf(0, at);
    if (zero === -1 || zero >= end) return undefined;
    texts.push(buffer.toString('latin1', at, zero));
    at = zero + 1;
  }
  return { texts, end: at };
}

/**
 * The name of a statement that a Describe or Close is about; undefined for portals and the unnamed
 * statement.
 */
export function statementName(buffer: Buffer, start: number, end: number): string | undefined {
  const [text = ''] = readNames(buffer, start, end, 1)?.texts ?? [];
  const name = text.slice(1);
  return text.startsWith(TARGET_STATEMENT) && name !== '' ? name : undefined;
}
