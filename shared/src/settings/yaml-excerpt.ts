/**
 * Lines of a YAML text as they may be shown to whoever reads a terminal or a log: names of fields,
 * values of fields that hold no secret, and the signs between them. Everything else, comments too,
 * is left out, since a password stands in the most unlikely places once a file is wrong.
 */
import { isAlias, isPair, isScalar, isSeq, visit } from 'yaml';
import type { Document, Node, Pair } from 'yaml';
import type { Excerpt, Place } from './config-problems.ts';

export interface FieldSecrecy {
  /** A field of the format, whose name may be shown wherever it stands. */
  readonly isKnown: (field: string) => boolean;
  /** Whose value nobody may read. */
  readonly isSecret: (field: string) => boolean;
  /** That is one value or a list of such: what stands there instead may be anything. */
  readonly isPlain: (field: string) => boolean;
}

const LEFT_OUT = '…';
const COLUMNS_MAX = 110;
/** Columns in front of the place, where a line is too long to be shown as a whole. */
const COLUMNS_BEFORE = 60;

const SIGN = /[\s{}[\],:"'|>&*-]/;
const NAME = /[A-Za-z_][A-Za-z0-9_]*(?=["']?\s*:)/g;

type Seen = 'sign_only' | 'shown' | 'hidden';

/** Ranges of a text, later ones over earlier ones. */
type Ranges = readonly (readonly [start: number, end: number, seen: Seen])[];

export class Excerpts {
  readonly #text: string;
  readonly #ranges: () => Ranges;
  #known: Ranges | undefined;

  /** @param document nothing when the text is not understood. */
  constructor(text: string, document: Document | undefined, secrecy: FieldSecrecy) {
    this.#text = text;
    this.#ranges = () =>
      document === undefined ? rangesInText(text, secrecy) : rangesIn(document, secrecy);
  }

  /** The line that `offset` is in. @param place of that offset. */
  at(offset: number, place: Place): Excerpt {
    const start = offset - (place.column - 1);
    const end = this.#text.indexOf('\n', start);
    const line = this.#text.slice(start, end === -1 ? undefined : end).trimEnd();
    return cut(mask(line, this.#seenIn(start, line.length), place.column));
  }

  #seenIn(start: number, length: number): readonly Seen[] {
    this.#known ??= this.#ranges();
    const seen: Seen[] = Array.from({ length }, () => 'sign_only');
    for (const [from, to, what] of this.#known) {
      const last = Math.min(to - start, length);
      for (let index = Math.max(from - start, 0); index < last; index += 1) seen[index] = what;
    }
    return seen;
  }
}

function rangesIn(document: Document, { isKnown, isSecret, isPlain }: FieldSecrecy): Ranges {
  const ranges: [number, number, Seen][] = [];
  const add = (node: unknown, seen: Seen) => {
    const range = (node as Node | null)?.range;
    if (range !== undefined && range !== null) ranges.push([range[0], range[1], seen]);
  };
  visit(document, {
    Pair(_, pair) {
      const field = nameOf(pair);
      const isName = isKnown(field) || isNameLike(field, isEmpty(pair.value) ? null : pair.value);
      if (isScalar(pair.key)) add(pair.key, isName ? 'shown' : 'hidden');
      if (isSecret(field)) {
        add(pair.value, 'hidden');
        return visit.SKIP;
      }
      const value: unknown = pair.value;
      const values: readonly unknown[] = isSeq(value) ? value.items : [value];
      const seen = isPlain(field) ? 'shown' : 'hidden';
      for (const each of values) if (isScalar(each) || isAlias(each)) add(each, seen);
      return undefined;
    },
  });
  return ranges;
}

/** Without a tree: known names are shown, and the signs, but those behind the name of a secret. */
function rangesInText(text: string, { isKnown, isSecret }: FieldSecrecy): Ranges {
  const ranges: [number, number, Seen][] = [];
  let hiddenUpTo = 0;
  for (const { 0: name, index } of text.matchAll(NAME)) {
    if (index < hiddenUpTo || !isKnown(name)) continue;
    const end = index + name.length;
    ranges.push([index, end, 'shown']);
    if (!isSecret(name)) continue;
    const lineEnd = text.indexOf('\n', end);
    hiddenUpTo = lineEnd === -1 ? text.length : lineEnd;
    ranges.push([end, hiddenUpTo, 'hidden']);
  }
  return ranges;
}

/**
 * Whether an unknown name is one at all. Where signs of YAML are missing, a password is taken for a
 * name: one without a value, or with a blank in it.
 */
export function isNameLike(name: string, value: unknown): boolean {
  return value !== null && value !== undefined && NAME_LIKE.test(name);
}

const NAME_LIKE = /^[\w.-]{1,64}$/;

function isEmpty(value: unknown): boolean {
  return value === null || (isScalar(value) && value.value === null);
}

function nameOf(pair: Pair): string {
  return isPair(pair) && isScalar(pair.key) ? String(pair.key.value) : '';
}

/** Each stretch that is not shown becomes one sign for it. */
function mask(line: string, seen: readonly Seen[], column: number): Excerpt {
  let text = '';
  let shownColumn = 1;
  for (let index = 0; index < line.length; index += 1) {
    const character = line[index] === '\t' ? ' ' : (line[index] ?? '');
    const what = seen[index];
    const isShown = what === 'shown' || (what === 'sign_only' && SIGN.test(character));
    if (isShown) text += character;
    else if (!text.trimEnd().endsWith(LEFT_OUT)) text += LEFT_OUT;
    else text = text.trimEnd();
    if (index === column - 1) shownColumn = text.length;
  }
  return { text, column: column > line.length ? text.length + 1 : shownColumn };
}

function cut({ text, column }: Excerpt): Excerpt {
  if (text.length <= COLUMNS_MAX) return { text, column };
  const start = Math.max(0, column - COLUMNS_BEFORE);
  const head = start === 0 ? '' : LEFT_OUT;
  const rest = text.slice(start, start + COLUMNS_MAX);
  const tail = start + COLUMNS_MAX < text.length ? LEFT_OUT : '';
  return { text: head + rest + tail, column: column - start + head.length };
}
