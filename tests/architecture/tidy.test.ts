/** The code's own rules, held against every file; the tables are in rules.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  BANNED_MODULES,
  BANS,
  ENTRY_POINTS,
  FILE_LINES_MAX,
  FUNCTION_LINES_MAX,
  IO_MODULES,
  LINE_COLUMNS_MAX,
  ONLY_FILE,
  PACKAGE_HOMES,
  PROTOCOL_WORDS,
  ROOMS,
} from './rules.ts';
import type { SourceFile, SyntaxNode } from './source-tree.ts';
import { heightOf, lineOf, readSourceTree, syntaxOf } from './source-tree.ts';

const files = readSourceTree();
const product = files.filter(({ kind }) => kind === 'product');
const byPath = new Map(files.map((file) => [file.path, file]));

/** Every violation is told, each as `file:line what`. */
function none(violations: Iterable<string>): void {
  const list = [...violations];
  assert.equal(list.length, 0, `${list.length} to mend:\n${list.join('\n')}`);
}

function isWithin(path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`);
}

function roomOf(path: string): string | undefined {
  const rooms = Object.keys(ROOMS).filter((name) => isWithin(path, name));
  return rooms.toSorted((a, b) => b.length - a.length)[0];
}

/** Lines of code, comments left out, that match. */
function* matches(file: SourceFile, pattern: RegExp, from: 'code' | 'text'): Iterable<string> {
  for (const [index, line] of file[from].split('\n').entries()) {
    const match = pattern.exec(line);
    if (match !== null) yield `${file.path}:${index + 1} ${match[0]}`;
  }
}

describe('the source tree', () => {
  it('is there to be checked', () => {
    assert.ok(product.length > 100, `${product.length} files found`);
    assert.ok(product.some(({ imports }) => imports.includes('shared/src/kernel/errors.ts')));
  });

  it(`has no line of more than ${LINE_COLUMNS_MAX} columns`, () => {
    none(files.flatMap((file) => [...longLines(file)]));
  });

  it(`has no product file of more than ${FILE_LINES_MAX} lines`, () => {
    const long = product.filter(({ lines }) => lines.length - 1 > FILE_LINES_MAX);
    none(long.map(({ path, lines }) => `${path} has ${lines.length - 1} lines`));
  });

  it(`has no function of more than ${FUNCTION_LINES_MAX} lines`, () => {
    none(files.flatMap((file) => [...longFunctions(file)]));
  });

  it('says at the head of each file what the file is for', () => {
    const mute = files.filter(({ text }) => !/^(#!.*\n)?\/\*\*[ \n]/.test(text));
    none(mute.map(({ path }) => `${path} does not begin with a /** comment */`));
  });

  it('leaves nothing for later', () => {
    none(files.flatMap((file) => [...matches(file, LATER, 'text')]));
  });

  it('has no test that runs alone or not at all', () => {
    const tests = files.filter(({ path }) => path.endsWith('.test.ts'));
    none(tests.flatMap((file) => [...partialRuns(file)]));
  });

  it('has no file that nothing reaches from an entry point', () => {
    const tests = files.filter(({ path }) => path.endsWith('.test.ts')).map(({ path }) => path);
    const starts = Object.keys(ENTRY_POINTS);
    const fromProduct = reachable(starts.filter((path) => !path.startsWith('tests/')));
    const fromAnywhere = reachable([...starts, ...tests]);
    const dead = files.filter(
      ({ path, kind }) => !(kind === 'product' ? fromProduct : fromAnywhere).has(path),
    );
    none(dead.map(({ path }) => `${path} is not imported by what runs`));
  });
});

// Spelled so that this file does not find itself.
const LATER = /\b(T[O]DO|FIX[M]E|X[X]X|H[A]CK)\b/;

describe('imports', () => {
  it('put every product file in a room', () => {
    const homeless = product.filter(({ path }) => roomOf(path) === undefined);
    none(homeless.map(({ path }) => `${path} is in no room of rules.ts`));
  });

  it('follow the table of rooms', () => {
    none(product.flatMap((file) => [...forbiddenImports(file)]));
  });

  it('name files that exist', () => {
    none(
      files.flatMap(({ path, imports }) =>
        imports.filter((to) => to.endsWith('.ts') && !byPath.has(to)).map((to) => `${path}: ${to}`),
      ),
    );
  });

  it('keep rooms without I/O free of it', () => {
    const pure = product.filter(({ path }) => ROOMS[roomOf(path) ?? '']?.io === 'pure');
    none(
      pure.flatMap(({ path, imports }) =>
        imports.filter((to) => IO_MODULES.has(to)).map((to) => `${path} imports ${to}`),
      ),
    );
  });

  it('keep each package in its home', () => {
    none(product.flatMap((file) => [...strayPackages(file)]));
  });
});

describe('product code', () => {
  it('calls nothing that has a better place', () => {
    none(product.flatMap((file) => [...bannedCalls(file)]));
  });

  it('imports no module that hides a banned call', () => {
    none(
      product.flatMap(({ path, imports }) =>
        imports
          .filter((to) => BANNED_MODULES[to] !== undefined && !(path in BANNED_MODULES[to]))
          .map((to) => `${path} imports ${to}`),
      ),
    );
  });

  it('names a protocol only where one is spoken or chosen', () => {
    const elsewhere = product.filter(
      ({ path }) => !Object.keys(PROTOCOL_WORDS).some((place) => isWithin(path, place)),
    );
    none(elsewhere.flatMap((file) => [...matches(file, /postgres|mysql/i, 'code')]));
  });
});

describe('the exceptions in rules.ts', () => {
  it('are all used', () => {
    const used = (path: string): boolean => product.some((file) => isWithin(file.path, path));
    const places = [
      ...Object.keys(ROOMS),
      ...Object.keys(PROTOCOL_WORDS),
      ...BANS.flatMap(({ homes }) => Object.keys(homes)),
      ...PACKAGE_HOMES.flatMap(([, homes]) => homes),
    ];
    none(places.filter((place) => !used(place)).map((place) => `${place} does not exist`));
    none(Object.keys(ENTRY_POINTS).filter((path) => !byPath.has(path)));
  });
});

function* longLines({ path, lines }: SourceFile): Iterable<string> {
  for (const [index, line] of lines.entries()) {
    if (line.length > LINE_COLUMNS_MAX) yield `${path}:${index + 1} has ${line.length} columns`;
  }
}

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);

/** A function of a test file that groups tests is a chapter: the tests in it are measured. */
function* longFunctions(file: SourceFile): Iterable<string> {
  for (const [node] of syntaxOf(file)) {
    if (!FUNCTIONS.has(node.type) || heightOf(node) <= FUNCTION_LINES_MAX) continue;
    if (file.kind === 'test' && groupsTests(node)) continue;
    yield `${file.path}:${lineOf(node)} is a function of ${heightOf(node)} lines`;
  }
}

const GROUPED = new Set(['describe', 'suite', 'it', 'test', 'before', 'beforeEach', 'after']);

function groupsTests(node: SyntaxNode): boolean {
  const { body = [] } = node['body'] as { body?: readonly SyntaxNode[] };
  return body.some((statement) => GROUPED.has(calleeOf(statement['expression']) ?? ''));
}

function calleeOf(node: unknown): string | undefined {
  return (node as { callee?: { name?: string } } | undefined)?.callee?.name;
}

function* partialRuns(file: SourceFile): Iterable<string> {
  for (const [node] of syntaxOf(file)) {
    const used = useOf(node) ?? '';
    if (/^(it|test|describe|suite)\.(only|skip|todo)$/.test(used)) {
      yield `${file.path}:${lineOf(node)} ${used}`;
    }
  }
}

function reachable(starts: readonly string[]): ReadonlySet<string> {
  const seen = new Set(starts);
  for (const path of seen) {
    for (const next of byPath.get(path)?.imports ?? []) if (byPath.has(next)) seen.add(next);
  }
  return seen;
}

function* forbiddenImports({ path, imports }: SourceFile): Iterable<string> {
  const from = roomOf(path);
  const allowed = ROOMS[from ?? '']?.mayImport ?? [];
  for (const target of imports.filter((to) => to.endsWith('.ts'))) {
    const to = roomOf(target);
    if (to === from) continue;
    if (byPath.get(target)?.kind === 'test') yield `${path} imports ${target}, made for tests`;
    const only = ONLY_FILE.find((rule) => rule[0] === from && rule[1] === to);
    const isAllowed = allowed.some((place) => isWithin(target, place));
    if (!isAllowed || (only !== undefined && only[2] !== target)) {
      yield `${path} imports ${target}`;
    }
  }
}

function* strayPackages({ path, imports }: SourceFile): Iterable<string> {
  for (const name of imports.filter((to) => !to.endsWith('.ts') && !to.startsWith('node:'))) {
    const homes = PACKAGE_HOMES.find(([packages]) => packages.test(name))?.[1];
    if (homes === undefined) yield `${path} imports ${name}, which has no home in rules.ts`;
    else if (!homes.some((home) => isWithin(path, home))) yield `${path} imports ${name}`;
  }
}

function* bannedCalls(file: SourceFile): Iterable<string> {
  for (const [node] of syntaxOf(file)) {
    const used = useOf(node);
    if (used === undefined) continue;
    const every = used.replace(/\.\w+$/, '.*');
    const ban = BANS.find(({ what }) => what.includes(used) || what.includes(every));
    if (ban === undefined || file.path in ban.homes) continue;
    yield `${file.path}:${lineOf(node)} ${used}: ${ban.instead}`;
  }
}

/** What a node uses, in the words of `Ban.what`. */
function useOf(node: SyntaxNode): string | undefined {
  const nameOf = (field: string): string | undefined =>
    (node[field] as { name?: string } | null)?.name;
  if (node.type === 'NewExpression') return `new ${nameOf('callee')}`;
  if (node.type === 'CallExpression') return nameOf('callee');
  if (node.type !== 'MemberExpression') return undefined;
  return `${nameOf('object')}.${nameOf('property')}`;
}
