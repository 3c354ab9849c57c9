/**
 * npm run simulate:mutations: does the simulation notice when the code of the budget is wrong?
 * Owns: running each mutation, the words. Ends with 1 when one was not found.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { MUTATIONS, RARE } from './mutations.ts';
import type { Mutation } from './mutations.ts';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '1000' },
    trouble: { type: 'string', default: '20000' },
    jobs: { type: 'string', default: '1' },
    rare: { type: 'boolean', default: false },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const wanted = MUTATIONS.filter(
  ({ name, equivalent }) =>
    equivalent === undefined &&
    RARE.has(name) === flags.rare &&
    (positionals.length === 0 || positionals.some((part) => name.includes(part))),
);
const left = [...wanted];
const missed: string[] = [];
await Promise.all(Array.from({ length: Number(flags.jobs) }, work));
say(`${wanted.length} mutations, ${missed.length} not found in ${flags.runs} worlds each`);
for (const name of missed) say(`  not found: ${name}`);
process.exit(missed.length === 0 ? 0 : 1);

async function work(): Promise<void> {
  for (let next = left.shift(); next !== undefined; next = left.shift()) await tryOut(next);
}

async function tryOut({ name }: Mutation): Promise<void> {
  const worlds = ['--seed', flags.seed, '--runs', flags.runs, '--trouble', flags.trouble];
  const { code, output } = await run([name, ...worlds]);
  const broken = /InvariantBroken: (seed .*)/.exec(output)?.[1];
  if (broken !== undefined) say(`found: ${name}: ${broken.slice(0, 90)}`);
  else if (code === 0) {
    say(`NOT FOUND: ${name}`);
    missed.push(name);
  } else throw new Error(`${name}: ${output}`);
}

async function run(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const program = join(import.meta.dirname, 'run-mutated.ts');
  const child = spawn(process.execPath, [program, ...args]);
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  }
  const code = await new Promise<number | null>((resolve) => void child.on('close', resolve));
  return { code, output: Buffer.concat(chunks).toString('utf8') };
}
