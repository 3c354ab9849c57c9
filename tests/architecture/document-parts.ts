/**
 * Documents that people write and whose tables the code writes. A table stands between
 * `<!-- begin NAME … -->` and `<!-- end NAME -->`, alone on their lines, in a file of settings
 * between `# begin NAME …` and `# end NAME`; the prose around is free.
 */
import { join } from 'node:path';
import { ROOT } from './source-tree.ts';

export const CONFIGURATION = join(ROOT, 'docs', 'configuration.md');
export const NATS_CONF = join(ROOT, 'deploy', 'nats.conf');
export const SECURITY = join(ROOT, 'docs', 'security.md');
export const METRICS = join(ROOT, 'docs', 'metrics.md');

/** The names of the generated parts in `document`, in order. */
export function partNames(document: string): readonly string[] {
  return [...document.matchAll(/^(?:<!-- begin ([a-z-]+)\b.*-->| *# begin ([a-z-]+)\b.*)$/gm)].map(
    ([, inDocument, inSettings = '']) => inDocument ?? inSettings,
  );
}

/** `document` with another text in its part `name`. @throws Error when it has no such part. */
export function withPart(document: string, name: string, text: string): string {
  const inSettings = new RegExp(`(^ *# begin ${name}\\b.*\\n)[^]*?(^ *# end ${name}$)`, 'm');
  if (inSettings.test(document)) {
    return document.replace(inSettings, (_whole, begin: string, end: string) => {
      return `${begin}  ${text.trim()}\n${end}`;
    });
  }
  const pattern = new RegExp(`(^<!-- begin ${name}\\b.*-->\\n)[^]*?(^<!-- end ${name} -->$)`, 'm');
  if (!pattern.test(document)) throw new Error(`the document has no part "${name}"`);
  return document.replace(pattern, (_whole, begin: string, end: string) => {
    return `${begin}\n${text.trim()}\n\n${end}`;
  });
}

/** A Markdown table; bars in cells are escaped, an empty cell is a dash. */
export function markdownTable(
  heads: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const escape = (cell: string): string => (cell === '' ? '–' : cell.replaceAll('|', '\\|'));
  return [
    line(heads),
    line(heads.map(() => '---')),
    ...rows.map((row) => line(row.map(escape))),
  ].join('\n');
}

export function code(text: string | undefined): string {
  return text === undefined || text === '' ? '' : `\`${text}\``;
}
