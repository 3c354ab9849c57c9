/**
 * npm run drill: 2,000 clients, three restarts of the database; prints what they saw.
 * Owns: the command line and the words.
 */
import { parseArgs } from 'node:util';
import { drill } from './drill.ts';
import type { DrillReport } from './drill.ts';

const { values: flags } = parseArgs({
  options: {
    clients: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
  },
});

const report = await drill({
  clients: Number(flags.clients),
  outages: ['fast', 'immediate', 'kill'],
  restMs: 2_000,
  workMs: Number(flags.seconds) * 1_000,
  seed: Number(flags.seed),
  say: print,
});
for (const line of wordsOf(report)) print(line);

function* wordsOf(report: DrillReport): Iterable<string> {
  const { tally, recoveriesMs, atRestMs, peakServerConnections } = report;
  yield `${tally.logins} logins, ${tally.answers} answers, ${tally.committed.length} commits kept`;
  yield `left: ${counts(tally.leaves)}`;
  yield `errors by SQLSTATE: ${counts(tally.errors)}`;
  const { forMs, what } = tally.longestWait;
  yield `longest wait: ${Math.round(forMs)} ms, for ${what}; nobody hung`;
  const recoveries = recoveriesMs.map((ms) => Math.round(ms)).join(', ');
  yield `every tenant answered again within ${recoveries} ms of each restart`;
  yield `server connections: ${peakServerConnections} at most, none at the end`;
  yield `clients, leases, waiting clients: 0 within ${Math.round(atRestMs)} ms of the last leave`;
}

function counts(byName: ReadonlyMap<string, number>): string {
  return Array.from(byName, ([name, count]) => `${name} ${count}`).join(', ');
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
