/**
 * npm run model: random commands and crashes against a model, for long; prints what was seen.
 * Owns: the command line and the words.
 */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { runModel } from './run.ts';

const { values: flags } = parseArgs({
  options: {
    seed: { type: 'string', default: String(randomInt(1, 2 ** 31)) },
    rounds: { type: 'string', default: '40' },
    lanes: { type: 'string', default: '6' },
  },
});
const say = (line: string): void => void process.stdout.write(`${line}\n`);

say(`seed ${flags.seed}; the same choices again with: npm run model -- --seed ${flags.seed}`);
const report = await runModel({
  seed: Number(flags.seed),
  lanes: Number(flags.lanes),
  rounds: Number(flags.rounds),
  faults: ['kill', 'kill_unpublished', 'kill', 'kill_nats', 'kill_unpublished', 'stop'],
  say,
});
say(`${report.acknowledged} acknowledged, ${report.refused} refused as they had to be`);
say(`${report.repeated} were cut off and sent again, ${report.replayed} of them had been done`);
say(`${report.unpublished} events were committed and unpublished when it was killed`);
say(`${report.positions} positions without a gap, each once on the bus; verify is clean`);
process.exit(0);
