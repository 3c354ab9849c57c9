/**
 * A file in PgBouncer's INI format as its settings in order, each with its place, `%include`
 * followed. Never throws: what is wrong is told for every line of every file. Pure; how a file is
 * read is passed in.
 * Source: PgBouncer 1.25, lib/usual/cfparser.c: comments are lines of their own, a value goes to
 * the end of its line, names are letters, digits and "_.-*" or anything in single quotes.
 */
import type { Findings, Spot } from './findings.ts';
import { faultOfFile } from './read-text.ts';
import type { ReadText } from './read-text.ts';

export interface IniSetting {
  readonly section: string;
  readonly name: string;
  readonly value: string;
  /** Of the name. */
  readonly spot: Spot;
  /** Where the value begins in its line. */
  readonly valueColumn: number;
}

const INCLUDES_DEEP_MAX = 10;
const SETTINGS_MAX = 200_000;

const INCLUDE = /^%include[ \t]+(.*)$/;
const SECTION = /^\[([^\]]*)\]/;
const NAME = /^(?:'([^']+)'|"([^"]+)"|([A-Za-z0-9_.*-]+))[ \t]*=[ \t]*/;

export function readIni(path: string, read: ReadText, findings: Findings): readonly IniSetting[] {
  const reader = new IniReader(read, findings);
  reader.readFile(path, undefined, 0);
  return reader.settings;
}

class IniReader {
  readonly settings: IniSetting[] = [];
  readonly #read: ReadText;
  readonly #findings: Findings;
  /** Goes on over the borders of files, as it does there. */
  #section: string | undefined;

  constructor(read: ReadText, findings: Findings) {
    this.#read = read;
    this.#findings = findings;
  }

  readFile(path: string, from: Spot | undefined, depth: number): void {
    const spot = from ?? { file: path, line: 1, column: 1 };
    if (depth > INCLUDES_DEEP_MAX) {
      this.#findings.fault(spot, `files include each other more than ${INCLUDES_DEEP_MAX} deep`);
      return;
    }
    let found: ReturnType<ReadText>;
    try {
      found = this.#read(path, from?.file);
    } catch (error) {
      faultOfFile(this.#findings, error, path, spot);
      return;
    }
    for (const [index, line] of found.text.split('\n').entries()) {
      if (this.settings.length >= SETTINGS_MAX) {
        this.#findings.fault(spot, `there are more than ${SETTINGS_MAX} settings`);
        return;
      }
      this.#readLine(line, { file: found.path, line: index + 1 }, depth);
    }
  }

  #readLine(line: string, at: Spot, depth: number): void {
    let rest = line.trimStart();
    const section = SECTION.exec(rest);
    if (section !== null) {
      this.#section = section[1] ?? '';
      rest = rest.slice(section[0].length).trimStart();
    }
    if (rest === '' || rest.startsWith('#') || rest.startsWith(';')) return;
    const column = line.length - rest.length + 1;
    const spot = { ...at, column };
    const include = INCLUDE.exec(rest)?.[1]?.trim();
    if (include !== undefined) this.readFile(include, spot, depth + 1);
    else this.#readSetting(rest, spot, column);
  }

  #readSetting(rest: string, spot: Spot, column: number): void {
    const match = NAME.exec(rest);
    const [written = '', single, double, plain] = match ?? [];
    const name = single ?? double ?? plain;
    if (name === undefined) {
      const what = 'must be "name = value", "[section]", "%include FILE" or a comment';
      this.#findings.fault(spot, `${what}${/^[^=]*[;#]/.test(rest) ? NO_COMMENT : ''}`);
    } else if (this.#section === undefined) {
      this.#findings.fault(spot, `${name} stands before any [section]`);
    } else {
      const value = rest.slice(written.length).trimEnd();
      const section = this.#section;
      this.settings.push({ section, name, value, spot, valueColumn: column + written.length });
    }
  }
}

const NO_COMMENT = '; a comment has a line of its own';
