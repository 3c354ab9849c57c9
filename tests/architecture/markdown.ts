/** The project's documents, taken apart for the tests: lines, links, blocks of code, anchors. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ROOT } from './source-tree.ts';

export interface Link {
  /** White space is one blank. */
  readonly text: string;
  /** A file or folder from the root, or empty for a link within the document. */
  readonly target: string;
  readonly anchor: string;
}

export interface CodeBlock {
  /** What stands behind the opening fence: `sh`, `yaml`, `yaml alerts`, or nothing. */
  readonly kind: string;
  readonly text: string;
}

export interface Document {
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  readonly blocks: readonly CodeBlock[];
  /** Links to files of the project and into the document itself. */
  readonly links: readonly Link[];
  /** What `#…` of a link may name here. */
  readonly anchors: ReadonlySet<string>;
}

const FENCED = /^```(.*)\n([^]*?)^```$/gm;

export function readDocuments(): readonly Document[] {
  return globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT }).toSorted().map(readDocument);
}

export function readDocument(path: string): Document {
  const text = readFileSync(join(ROOT, path), 'utf8');
  const prose = text.replaceAll(FENCED, '');
  const blocks = Array.from(text.matchAll(FENCED), ([, kind = '', code = '']) => ({
    kind: kind.trim(),
    text: code,
  }));
  const headings = Array.from(prose.matchAll(/^#+ (.+)$/gm), ([, heading = '']) => heading);
  return {
    path,
    text,
    lines: text.split('\n'),
    blocks,
    links: Array.from(prose.matchAll(/\[([^\]]+)\]\(([^)\s]+)\)/g), ([, label = '', to = '']) =>
      linkFrom(path, label, to),
    ).filter((link) => link !== undefined),
    anchors: new Set(headings.map(anchorOf)),
  };
}

function linkFrom(path: string, label: string, to: string): Link | undefined {
  if (/^[a-z]+:/.test(to)) return undefined;
  const [file = '', anchor = ''] = to.split('#');
  const target = file === '' ? '' : join(dirname(path), file);
  return { text: label.replaceAll(/\s+/g, ' '), target, anchor };
}

/** As GitHub names headings. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-');
}

/** The part of a document below one heading, up to the next of the same level. */
export function section({ path, text }: Document, heading: string): string {
  const from = text.indexOf(`\n## ${heading}\n`);
  if (from < 0) throw new Error(`${path} has no section "${heading}"`);
  const end = text.indexOf('\n## ', from + 1);
  return text.slice(from + 1, end < 0 ? undefined : end);
}
