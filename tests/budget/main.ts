/**
 * npm run simulate: the fleet-wide budget under faults, one seed after the other.
 * Owns: the command line and the words.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { simulate } from './trouble.ts';

const { values: flags } = parseArgs({
  options: {
    seed: { type: 'string', default: String(randomInt(1, 2 ** 30)) },
    runs: { type: 'string', default: '3000' },
    trouble: { type: 'string', default: '40000' },
    trace: { type: 'boolean', default: false },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const first = Number(flags.seed);
const runs = Number(flags.runs);
say(`seeds ${first} to ${first + runs - 1}; one again with: npm run simulate -- --runs 1 --seed N`);
for (let seed = first; seed < first + runs; seed++) {
  try {
    const troubleMs = Number(flags.trouble);
    simulate({ seed, troubleMs, ...(flags.trace && { say }) });
  } catch (error) {
    say(String((error as Error).stack ?? error));
    process.exit(1);
  }
}
say(`${runs} runs, every invariant held`);
process.exit(0);
