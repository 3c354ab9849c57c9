/**
 * The simulation over code that was broken on purpose while it was loaded; nothing on disk changes.
 * Usage: run-mutated.ts NAME [what main.ts takes]. Ends with 1 when the simulation has found it.
 */
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MUTATIONS } from './mutations.ts';
import type { Mutation } from './mutations.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

const mutation = MUTATIONS.find(({ name }) => name === process.argv[2]);
if (mutation === undefined) throw new Error(`no mutation is called ${process.argv[2]}`);
const url = pathToFileURL(join(ROOT, mutation.file)).href;
const source = mutated(mutation);
registerHooks({
  load: (loaded, context, next) =>
    loaded === url
      ? { format: 'module-typescript', source, shortCircuit: true }
      : next(loaded, context),
});
process.argv.splice(2, 1);
await import('../main.ts');

function mutated({ name, file, text, instead }: Mutation): string {
  const parts = readFileSync(join(ROOT, file), 'utf8').split(text);
  if (parts.length !== 2)
    throw new Error(`${name}: ${file} has that text ${parts.length - 1} times`);
  return parts.join(instead);
}
