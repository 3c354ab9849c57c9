/** Writes the tables of docs/ anew: node tests/architecture/write-references.ts */
import { readFileSync, writeFileSync } from 'node:fs';
import { references, updated } from './references.ts';

for (const [path, parts] of Object.entries(await references())) {
  writeFileSync(path, updated(readFileSync(path, 'utf8'), parts));
}
