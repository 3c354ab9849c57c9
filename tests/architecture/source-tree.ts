/**
 * The project's own TypeScript files, read for the architecture tests: their text, their code
 * without comments, what they import, and their syntax once the types are taken out.
 */
import { globSync, readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { parse } from 'acorn';
import type { Node } from 'acorn';
import { FOR_TESTS } from './rules.ts';

export const ROOT = dirname(dirname(import.meta.dirname));
const WORKSPACES = '{shared,control-plane,data-plane,cli,tests}';

export interface SourceFile {
  /** From the root of the project, with `/`. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** `text` with every comment blanked out; lines and columns stay. */
  readonly code: string;
  readonly kind: 'product' | 'test';
  /** Paths of own files, and names of packages (`node:net`, `zod`, `@nats-io/obj`). */
  readonly imports: readonly string[];
}

/** Tests, what only tests use, and everything below tests/. */
const TEST_FILE = /\.test\.ts$|\.contract\.ts$|[/.-]testing\.ts$|^tests\//;

export function readSourceTree(): readonly SourceFile[] {
  return globSync(`${WORKSPACES}/**/*.ts`, { cwd: ROOT, exclude: (name) => name === MODULES })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted()
    .map(readSource);
}

const MODULES = 'node_modules';

function readSource(path: string): SourceFile {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const code = withoutComments(text);
  return {
    path,
    text,
    lines: text.split('\n'),
    code,
    kind: TEST_FILE.test(path) || path in FOR_TESTS ? 'test' : 'product',
    imports: importsOf(path, code),
  };
}

/** Comments stand on lines of their own or behind code and a blank: prettier keeps them so. */
function withoutComments(text: string): string {
  const blank = (comment: string): string => comment.replaceAll(/[^\n]/g, ' ');
  return text
    .replaceAll(/^[ \t]*\/\*[^]*?\*\//gm, blank)
    .replaceAll(/(?<=^|[\s;,{(])\/\/ .*$/gm, blank);
}

const STATEMENT = /^(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*'([^'\n]+)'/gm;
const CALL = /\bimport\(\s*'([^'\n]+)'\s*\)/g;

function importsOf(path: string, code: string): readonly string[] {
  const found = [...code.matchAll(STATEMENT), ...code.matchAll(CALL)];
  return found.map(([, specifier = '']) => resolveImport(path, specifier));
}

function resolveImport(from: string, specifier: string): string {
  if (specifier.startsWith('.')) return posix.join(posix.dirname(from), specifier);
  const own = /^@dbbouncer\/([a-z-]+)\/(.+)$/.exec(specifier);
  if (own !== null) return `${own[1]}/src/${own[2]}`;
  if (specifier.startsWith('node:')) return specifier;
  const [scope = '', name] = specifier.split('/');
  return scope.startsWith('@') ? `${scope}/${name}` : scope;
}

/** A node of the syntax tree with the fields its kind has. */
export type SyntaxNode = Node & Readonly<Record<string, unknown>>;

/** Every node of the file, parents first, each with those above it. */
export function* syntaxOf(file: SourceFile): Generator<readonly [SyntaxNode, SyntaxNode[]]> {
  const script = stripTypeScriptTypes(file.text, { mode: 'strip' });
  const tree = parse(script, { ecmaVersion: 'latest', sourceType: 'module', locations: true });
  yield* walk(tree as unknown as SyntaxNode, []);
}

function* walk(
  node: SyntaxNode,
  above: SyntaxNode[],
): Generator<readonly [SyntaxNode, SyntaxNode[]]> {
  yield [node, above];
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (isNode(child)) yield* walk(child, [...above, node]);
    }
  }
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
}

/** The first line of a node, from 1. */
export function lineOf(node: SyntaxNode): number {
  return node.loc?.start.line ?? 0;
}

/** How many lines a node spans. */
export function heightOf(node: SyntaxNode): number {
  return node.loc ? node.loc.end.line - node.loc.start.line + 1 : 0;
}
