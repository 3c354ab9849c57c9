/**
 * npm run bench:scale: how DBBouncer does with a million events and a hundred thousand tenants.
 * Owns: the command line and the order of things.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { lineOf } from './figures.ts';
import { SCALE_ROWS } from './rows.ts';
import type { ScaleRow } from './scale-row.ts';

const HELP = `npm run bench:scale -- [options]

Measures with real processes, and makes the logs it needs first: a million events take a minute.

  --rows A,B     only these: ${SCALE_ROWS.map(({ key }) => key).join(', ')}
  --tenants N    default 100000
  --events N     of the log that replay, verify and past read; default 1000000
  --samples N    how often what is quick is done; default 300
  --proxies N    of the row fleet; default 50. Its goal is meant for --tenants 10000
  --folder DIR   keeps the logs there for the next run
  --help`;

const { values: flags } = parseArgs({
  options: {
    rows: { type: 'string' },
    tenants: { type: 'string', default: '100000' },
    events: { type: 'string', default: '1000000' },
    samples: { type: 'string', default: '300' },
    proxies: { type: 'string', default: '50' },
    folder: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (flags.help) process.stdout.write(`${HELP}\n`);
else await main();

async function main(): Promise<void> {
  const rows = rowsOf(flags.rows);
  const folder = flags.folder === undefined ? temporaryFolder() : resolve(flags.folder);
  mkdirSync(folder, { recursive: true });
  const counts = [flags.tenants, flags.events, flags.samples, flags.proxies].map(Number);
  const [tenants, events, samples, proxies] = counts as [number, number, number, number];
  try {
    for (const row of rows) {
      const [load = NaN] = loadavg();
      process.stdout.write(`${row.key}: ${row.title} (load before: ${load.toFixed(1)})\n`);
      const ofLog = row.usesLog === 'whole' ? events : tenants;
      const figures = await row.measure({ tenants, events: ofLog, samples, proxies, folder });
      process.stdout.write(`${figures.map(lineOf).join('\n')}\n\n`);
    }
  } finally {
    if (flags.folder === undefined) rmSync(folder, { recursive: true });
  }
}

function rowsOf(list: string | undefined): readonly ScaleRow[] {
  if (list === undefined) return SCALE_ROWS;
  return list.split(',').map((key) => {
    const row = SCALE_ROWS.find((each) => each.key === key);
    if (row === undefined) throw new Error(`there is no row "${key}"; see --help`);
    return row;
  });
}

function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'dbbouncer-scale-'));
}
