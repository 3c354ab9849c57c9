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
import { toldProblems } from './config-problems.ts';
import type { FoundProblem, Place, PlacedProblem } from './config-problems.ts';
import { tooDeepAt, YAML_DEEP_MAX } from './yaml-depth.ts';
import { Excerpts } from './yaml-excerpt.ts';
import type { FieldSecrecy } from './yaml-excerpt.ts';

export interface YamlSource {
  /** `broken`: it is no YAML, and `value` is empty. */
  readonly state: 'readable' | 'broken';
  /** Maps as objects without a prototype's keys in the way; `{}` for an empty file. */
  readonly value: unknown;
  /** With the text and with its variables. */
  readonly problems: readonly FoundProblem[];
  /** The problem at the place of its path, or of the nearest ancestor that is in the text. */
  find(problem: FieldProblem, at: 'key' | 'value'): FoundProblem;
  /** As `toldProblems`, with what stands there. */
  tell(problems: readonly FoundProblem[], uncounted?: number): readonly PlacedProblem[];
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
  const deepAt = tooDeepAt(text);
  // Whether keys are unique is looked at here: there it takes the square of their number.
  const document = parseDocument(deepAt === undefined ? text : '', {
    lineCounter: lines,
    prettyErrors: false,
    merge: true,
    uniqueKeys: false,
  });
  const found: FindProblem = (offset, path, message) => {
    return { ...placeOf(lines, offset), path, message, offset };
  };
  const source = (state: YamlSource['state'], value: unknown, problems: readonly FoundProblem[]) =>
    sourceOf({ state, value, problems }, found, text, document, kinds);
  if (deepAt !== undefined) {
    // Nothing has read the text, so nobody has counted its lines.
    for (const { index } of text.matchAll(/\n/g)) lines.addNewLine(index + 1);
    return source('broken', {}, [found(deepAt, '', TOO_DEEP)]);
  }
  if (document.errors.length > 0) {
    const broken = document.errors.map((error) => found(error.pos[0], '', withoutText(error)));
    return source('broken', {}, broken);
  }
  const broken = [...structureProblems(document, found)];
  const problems = fillAll(document, kinds, readEnv, found);
  const value = broken.length > 0 ? undefined : toValue(document);
  if (value instanceof Error) broken.push(found(0, '', value.message));
  return broken.length > 0 ? source('broken', {}, broken) : source('readable', value, problems);
}

const TOO_DEEP = `is nested more than ${YAML_DEEP_MAX} deep, which no config file has to be`;

type FindProblem = (offset: number, path: string, message: string) => FoundProblem;

/** Keys that are there twice, and aliases of nothing. */
function structureProblems(document: Document, found: FindProblem): readonly FoundProblem[] {
  const problems: FoundProblem[] = [];
  const anchors = new Set<string>();
  const remember = ({ anchor }: { anchor?: string }) => {
    if (anchor !== undefined) anchors.add(anchor);
  };
  visit(document, {
    Alias(_, { source, range }) {
      if (!anchors.has(source)) problems.push(found(range?.[0] ?? 0, '', QUOTING.BAD_ALIAS));
    },
    Scalar: (_, node) => remember(node),
    Seq: (_, node) => remember(node),
    Map(_, node) {
      remember(node);
      const keys = new Set<string>();
      for (const pair of node.items) {
        const known = keys.size;
        if (keys.add(keyOf(pair)).size > known) continue;
        problems.push(found(startOf(pair.key) ?? 0, '', 'is there twice: keys must be unique'));
      }
    },
  });
  return problems;
}

/** Gives every value what its variables hold. */
function fillAll(
  document: Document,
  kinds: FieldKinds,
  readEnv: ReadEnv,
  found: FindProblem,
): readonly FoundProblem[] {
  const problems: FoundProblem[] = [];
  visit(document, {
    Scalar(role, node, ancestors) {
      if (role === 'key') return;
      const keys = ancestors.filter((ancestor) => isPair(ancestor)).map(keyOf);
      for (const message of fill(node, keys.at(-1) ?? '', kinds, readEnv)) {
        problems.push(found(node.range?.[0] ?? 0, formatPath(keys), message));
      }
    },
  });
  return problems;
}

function sourceOf(
  read: Pick<YamlSource, 'state' | 'value' | 'problems'>,
  found: FindProblem,
  text: string,
  document: Document,
  kinds: FieldKinds,
): YamlSource {
  const find = finderIn(document);
  const isReadable = read.state === 'readable';
  return Object.freeze({
    ...read,
    find: ({ keys, path, message }: FieldProblem, at: 'key' | 'value') =>
      found(find(keys, at), path, message),
    tell: (problems: readonly FoundProblem[], uncounted?: number) => {
      const excerpts = new Excerpts(text, isReadable ? document : undefined, kinds);
      return toldProblems(problems, (offset, place) => excerpts.at(offset, place), uncounted);
    },
  });
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
