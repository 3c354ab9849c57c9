/**
 * YAML text as plain values plus the place of each, with `${NAME}` filled in from the environment.
 * Owns: syntax, substitution, places. Leaves: what the values mean to config-file.ts.
 *
 * `${NAME}` is the variable, `${NAME:-text}` the variable or the text, `$${` a literal `${`.
 */
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Document, Pair, Scalar, YAMLError, YAMLMap } from 'yaml';
import type { FieldProblem } from '../contract/explain.ts';
import { formatPath } from '../contract/explain.ts';
import type { ReadEnv } from '../secrets/keyring.ts';
import type { Place, PlacedProblem } from './config-problems.ts';
import { Excerpts } from './yaml-excerpt.ts';
import type { FieldSecrecy } from './yaml-excerpt.ts';

export interface YamlSource {
  /** `broken`: it is no YAML, and `value` is empty. */
  readonly state: 'readable' | 'broken';
  /** Maps as objects without a prototype's keys in the way; `{}` for an empty file. */
  readonly value: unknown;
  /** With the text and with its variables. */
  readonly problems: readonly PlacedProblem[];
  /** The problem with the place of its path, or of the nearest ancestor that is in the text. */
  place(problem: FieldProblem, at: 'key' | 'value'): PlacedProblem;
}

/**
 * How a field's text is to be taken: YAML's guess at its type is right for most, wrong for names
 * and passwords.
 */
export interface FieldKinds extends FieldSecrecy {
  /** `12345` and `yes` are text here, with every leading zero. */
  readonly isText: (field: string) => boolean;
  /** A number even when it came out of a variable. */
  readonly isNumber: (field: string) => boolean;
  /** `${NAME}` as the whole value stays as it is: it is resolved elsewhere. */
  readonly keepsReference: (field: string) => boolean;
}

const REFERENCE = /\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{/g;
const WHOLE_REFERENCE = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/;
/** Enough for a few hundred uses of one anchor, too few for a file that grows exponentially. */
const ALIASES_MAX = 1_000;

/** Never throws; what is wrong with the text is in `problems`, all of it. */
export function readYaml(text: string, kinds: FieldKinds, readEnv: ReadEnv): YamlSource {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const isBroken = document.errors.length > 0;
  const excerpts = new Excerpts(text, isBroken ? undefined : document, kinds);
  const placed = (offset: number, path: string, message: string): PlacedProblem => {
    const place = placeOf(lines, offset);
    return { ...place, path, message, excerpt: excerpts.at(offset, place) };
  };
  if (isBroken) {
    const problems = document.errors.map((error) => placed(error.pos[0], '', withoutText(error)));
    return sourceOf('broken', {}, problems, placed, document);
  }
  const problems: PlacedProblem[] = [];
  const lost: PlacedProblem[] = [];
  visit(document, {
    Alias(_, node) {
      if (node.resolve(document) !== undefined) return;
      lost.push(placed(node.range?.[0] ?? 0, '', QUOTING.BAD_ALIAS));
    },
    Scalar(role, node, ancestors) {
      if (role === 'key') return;
      const keys = ancestors.filter((ancestor) => isPair(ancestor)).map(keyOf);
      for (const message of fill(node, keys.at(-1) ?? '', kinds, readEnv)) {
        problems.push(placed(node.range?.[0] ?? 0, formatPath(keys), message));
      }
    },
  });
  const value = lost.length > 0 ? undefined : toValue(document);
  if (value instanceof Error) lost.push(placed(0, '', value.message));
  return lost.length > 0
    ? sourceOf('broken', {}, lost, placed, document)
    : sourceOf('readable', value, problems, placed, document);
}

type PlaceAt = (offset: number, path: string, message: string) => PlacedProblem;

function sourceOf(
  state: YamlSource['state'],
  value: unknown,
  problems: readonly PlacedProblem[],
  placed: PlaceAt,
  document: Document,
): YamlSource {
  const find = finderIn(document);
  const place = ({ keys, path, message }: FieldProblem, at: 'key' | 'value') =>
    placed(find(keys, at), path, message);
  return Object.freeze({ state, value, problems, place });
}

/** What the text holds can be a password, and some errors quote it. */
function withoutText({ code, message }: YAMLError): string {
  const quoting = (QUOTING as Readonly<Partial<Record<typeof code, string>>>)[code];
  if (quoting !== undefined) return quoting;
  return message.includes(': ') ? (message.split(': ', 1)[0] ?? message) : message;
}

const QUOTING = Object.freeze({
  BAD_ALIAS:
    'this alias, "*" and a name, has no anchor "&" of that name before it;' +
    ' a text that begins with "*" or "&" must be quoted',
  BAD_DQ_ESCAPE:
    'is no escape sequence of double quotes; write a backslash twice, or use single quotes',
  TAG_RESOLVE_FAILED: 'this tag is not known; a text that begins with "!" must be quoted',
  UNEXPECTED_TOKEN: 'is not expected here; a text with signs of YAML in it must be quoted',
});

function toValue(document: Document): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX }) ?? {};
  } catch (error) {
    return error;
  }
}

/** Gives the scalar its value for good; yields what is wrong with it. */
function* fill(node: Scalar, field: string, kinds: FieldKinds, readEnv: ReadEnv): Iterable<string> {
  if (typeof node.value !== 'string') {
    if (kinds.isText(field) && node.value !== null && node.source !== undefined) {
      node.value = node.source;
    }
    return;
  }
  const written = node.value;
  if (!written.includes('${')) return;
  if (kinds.keepsReference(field) && WHOLE_REFERENCE.test(written)) return;
  const problems: string[] = [];
  const filled = written.replace(REFERENCE, (match, name?: string, fallback?: string) => {
    if (match === '$${') return '${';
    if (name === undefined) {
      problems.push(
        '"${" must be closed, as in ${NAME}; write "$${" for the characters themselves',
      );
      return '';
    }
    const variable = readEnv(name);
    if (variable !== undefined && variable !== '') return variable;
    if (fallback === undefined)
      problems.push(`needs the environment variable ${name}, which is not set`);
    return fallback ?? '';
  });
  yield* problems;
  node.value = kinds.isNumber(field) && /^\d{1,15}$/.test(filled) ? Number(filled) : filled;
}

function keyOf(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : '';
}

/** Where `keys` lead, as far as they lead: the offset in the text. */
function finderIn(
  document: Document,
): (keys: readonly PropertyKey[], at: 'key' | 'value') => number {
  const indexes = new WeakMap<YAMLMap, ReadonlyMap<string, Pair>>();
  const pairOf = (map: YAMLMap, key: string): Pair | undefined => {
    const index = indexes.get(map) ?? new Map(map.items.map((pair) => [keyOf(pair), pair]));
    indexes.set(map, index);
    return index.get(key);
  };
  return (keys, at) => {
    let node: unknown = document.contents;
    let offset = 0;
    for (const [index, key] of keys.entries()) {
      if (isAlias(node)) node = node.resolve(document);
      if (isMap(node)) {
        const pair = pairOf(node, String(key));
        if (pair === undefined) break;
        offset = startOf(pair.key) ?? offset;
        node = pair.value;
        if (index === keys.length - 1 && at === 'key') break;
      } else if (isSeq(node)) {
        node = node.items[Number(key)];
      } else {
        break;
      }
      if (index === keys.length - 1) offset = startOf(node) ?? offset;
    }
    return offset;
  };
}

function startOf(node: unknown): number | undefined {
  const isEmpty = isScalar(node) && node.value === null;
  if (isEmpty || !(isScalar(node) || isMap(node) || isSeq(node) || isAlias(node))) return undefined;
  return node.range?.[0];
}

function placeOf(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(line, 1), column: Math.max(col, 1) };
}
