/**
 * npm run drill:fleet: accidents of a fleet under load; prints what clients saw, and writes the
 * table of docs/drills.md when all of them were drilled.
 * Owns: the command line.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ACCIDENTS } from './accidents.ts';
import { fleetDrill } from './fleet-drill.ts';
import { documentOf, lineOf } from './report.ts';

const DOCUMENT = join(import.meta.dirname, '..', '..', 'docs', 'drills.md');

const HELP = `npm run drill:fleet -- [options]

Three proxies, a control plane, three NATS servers and a database, under load; takes some minutes.
Ends with 1 when something was not as it must be.

  --rows A,B    only these, and writes no document: ${ACCIDENTS.map(({ key }) => key).join(', ')}
  --clients N   default 200
  --rest MS     between two requests of a client; default 250
  --help`;

const { values: flags } = parseArgs({
  options: {
    rows: { type: 'string' },
    clients: { type: 'string', default: '200' },
    rest: { type: 'string', default: '250' },
    help: { type: 'boolean', default: false },
  },
});

if (flags.help) say(HELP);
else process.exitCode = await main();

async function main(): Promise<0 | 1> {
  const keys = flags.rows?.split(',');
  const accidents = ACCIDENTS.filter(({ key }) => keys === undefined || keys.includes(key));
  const report = await fleetDrill({
    accidents,
    clients: Number(flags.clients),
    restMs: Number(flags.rest),
    say,
    onOutcome: (outcome) => say(lineOf(outcome)),
  });
  if (keys === undefined) writeFileSync(DOCUMENT, documentOf(report));
  return report.outcomes.every(({ broken }) => broken.length === 0) ? 0 : 1;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
