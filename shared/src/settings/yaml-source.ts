/**
 * YAML text as plain values plus the place of each, with `${NAME}` filled in from the environment.
 * Owns: syntax, substitution, places. Leaves: what the values mean to config-file.ts.
 *
 * `${NAME}` is the variable, `${NAME:-text}` the variable or the text, `$${` a literal `${`.
 */
import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml';
import type { Document, Pair, Scalar } from 'yaml';
import type { FieldProblem } from '../contract/explain.ts';
import { formatPath } from '../contract/explain.ts';
import type { ReadEnv } from '../secrets/keyring.ts';

export interface Place {
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
}

export interface PlacedProblem extends Place {
  /** As in `tenants.acme.port`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
}

export interface YamlSource {
  /** Maps as objects without a prototype's keys in the way; `{}` for an empty file. */
  readonly value: unknown;
  readonly problems: readonly PlacedProblem[];
  /** The problem with the place of its path, or of the nearest ancestor that is in the text. */
  place(problem: FieldProblem, at: 'key' | 'value'): PlacedProblem;
}

/**
 * How a field's text is to be taken: YAML's guess at its type is right for most, wrong for names
 * and passwords.
 */
export interface FieldKinds {
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
  const problems: PlacedProblem[] = document.errors.map((error) => ({
    ...placeOf(lines, error.pos[0]),
    path: '',
    message: error.message,
  }));
  visit(document, {
    Scalar(role, node, ancestors) {
      if (role === 'key') return;
      const keys = ancestors.filter((ancestor) => isPair(ancestor)).map(keyOf);
      for (const message of fill(node, keys.at(-1) ?? '', kinds, readEnv)) {
        problems.push({
          ...placeOf(lines, node.range?.[0] ?? 0),
          path: formatPath(keys),
          message,
        });
      }
    },
  });
  return Object.freeze({
    value: problems.length > 0 ? {} : toValue(document, problems),
    problems,
    place: (problem: FieldProblem, at: 'key' | 'value') => ({
      ...placeOf(lines, offsetOf(document, problem.keys, at)),
      path: problem.path,
      message: problem.message,
    }),
  });
}

function toValue(document: Document, problems: PlacedProblem[]): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX }) ?? {};
  } catch (error) {
    problems.push({ line: 1, column: 1, path: '', message: (error as Error).message });
    return {};
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

/** Where `keys` leads, as far as it leads. */
function offsetOf(document: Document, keys: readonly PropertyKey[], at: 'key' | 'value'): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const [index, key] of keys.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => keyOf(item) === String(key));
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
