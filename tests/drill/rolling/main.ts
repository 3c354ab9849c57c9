/**
 * npm run drill:rolling: 200 clients, three proxies restarted five times each; prints what clients
 * saw. Owns: the command line and the words.
 */
import { parseArgs } from 'node:util';
import { rollingRestart } from './rolling.ts';

const { values: flags } = parseArgs({
  options: {
    clients: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '5' },
  },
});

const { committed, moves, slowestMs, longestDrainMs } = await rollingRestart({
  clients: Number(flags.clients),
  rounds: Number(flags.rounds),
  restMs: 1_000,
  say: print,
});
print(`${committed} transactions, each there once; none broken off`);
print(`moves to another proxy: ${JSON.stringify(moves)}`);
print(`slowest transaction, moves included: ${Math.round(slowestMs)} ms`);
print(`longest stop of a proxy: ${Math.round(longestDrainMs)} ms`);

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
