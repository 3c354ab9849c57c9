/**
 * The texts of corpus/*.sql, each followed by a line `-- #` (the last one by the end of its file).
 */
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const SEPARATOR = '\n-- #\n';

export interface CorpusText {
  /** The file's name without its ending. */
  readonly file: string;
  readonly sql: string;
}

export function readCorpus(): readonly CorpusText[] {
  const files = globSync(join(import.meta.dirname, 'corpus', '*.sql')).toSorted();
  return files.flatMap((path) => {
    const texts = readFileSync(path, 'utf8').trimEnd().split(SEPARATOR);
    return texts.map((sql) => ({ file: basename(path, '.sql'), sql }));
  });
}
