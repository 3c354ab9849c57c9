/**
 * A userlist.txt of PgBouncer: `"name" "password"` on each line. Pure; never throws.
 * Source: PgBouncer 1.25, src/loader.c: a double quote is written twice, what follows the password
 * is not looked at, a line that begins with ";" is a comment.
 */
import type { Findings, Spot } from './findings.ts';

export interface ListedUser {
  readonly name: string;
  /** A password, or a verifier as the server keeps it. */
  readonly password: string;
  readonly spot: Spot;
}

/** By name; of two entries for one user the later counts. */
export function readUserlist(
  text: string,
  file: string,
  findings: Findings,
): ReadonlyMap<string, ListedUser> {
  const users = new Map<string, ListedUser>();
  for (const [index, line] of text.split('\n').entries()) {
    const rest = line.trim();
    if (rest === '' || rest.startsWith(';')) continue;
    const spot = { file, line: index + 1, column: line.length - line.trimStart().length + 1 };
    const name = readQuoted(rest, 0);
    const password = name && readQuoted(rest, rest.indexOf('"', name.end));
    if (name === undefined || password === undefined) {
      findings.fault(spot, 'must be "name" "password", each in double quotes');
    } else if (name.text === '') {
      findings.fault(spot, 'the name of the user is empty');
    } else {
      users.set(name.text, { name: name.text, password: password.text, spot });
    }
  }
  return users;
}

/** Nothing when no quoted text begins at `start`, or it does not end. */
function readQuoted(
  line: string,
  start: number,
): { readonly text: string; readonly end: number } | undefined {
  if (line[start] !== '"') return undefined;
  for (let at = start + 1; at < line.length; at += 1) {
    if (line[at] !== '"') continue;
    if (line[at + 1] !== '"') {
      return { text: line.slice(start + 1, at).replaceAll('""', '"'), end: at + 1 };
    }
    at += 1;
  }
  return undefined;
}
