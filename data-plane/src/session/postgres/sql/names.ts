/**
 * How names are meant: folding, truncation, and the escapes of quoted names.
 * Source: PostgreSQL manual, "Identifiers and Key Words"; downcase_truncate_identifier(),
 * str_udeescape().
 */

/**
 * A name as the server has it; several parts when it was written with dots, the last one the object
 * itself.
 */
export type QualifiedName = readonly string[];

/** NAMEDATALEN - 1, in bytes of the server's encoding, taken to be UTF-8. */
export const NAME_BYTES_MAX = 63;
/** No UTF-16 code unit takes more bytes in UTF-8. */
const BYTES_PER_UNIT_MAX = 3;

/** Folds an unquoted name: ASCII letters only, as servers with a multi-byte encoding do. */
export function foldName(written: string, letters: 'ascii' | 'any'): string {
  const folded =
    letters === 'ascii'
      ? written.toLowerCase()
      : written.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase());
  return clipName(folded);
}

/** Cuts a name to what the server keeps of it, between two characters. */
export function clipName(name: string): string {
  if (name.length * BYTES_PER_UNIT_MAX <= NAME_BYTES_MAX) return name;
  const bytes = Buffer.from(name, 'utf8');
  if (bytes.length <= NAME_BYTES_MAX) return name;
  let end = NAME_BYTES_MAX;
  while (((bytes[end] as number) & 0xc0) === 0x80) end--;
  return bytes.toString('utf8', 0, end);
}

/** The name inside "…". */
export function quotedName(inside: string): string {
  return clipName(inside.includes('"') ? inside.replaceAll('""', '"') : inside);
}

/** The name inside U&"…"; undefined when an escape is wrong. */
export function unicodeQuotedName(inside: string, escape: string): string | undefined {
  const parts = inside.replaceAll('""', '"').split(escape);
  let name = parts[0] as string;
  for (let i = 1; i < parts.length; i++) {
    const part = parts[i] as string;
    const digits = /^(?:[0-9a-fA-F]{4}|\+[0-9a-fA-F]{6})/.exec(part)?.[0];
    if (digits !== undefined) {
      const code = Number.parseInt(digits.replace('+', ''), 16);
      if (code === 0 || code > 0x10ffff) return undefined;
      name += String.fromCodePoint(code) + part.slice(digits.length);
    } else if (part === '' && i + 1 < parts.length) {
      // A doubled escape character stands for itself.
      i++;
      name += escape + (parts[i] as string);
    } else {
      return undefined;
    }
  }
  return clipName(name);
}

/** Whether `name` is the schema of the session's own temporary objects, under any of its names. */
export function isTemporarySchema(name: string): boolean {
  return /^pg_temp(?:_\d+)?$/.test(name);
}
