/**
 * npm run bench: DBBouncer beside PgBouncer and a direct connection, in one run on one machine.
 * Owns: the command line and the order of things.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { compare } from './comparison.ts';
import type { RowResult } from './comparison.ts';
import type { Contender } from './contender.ts';
import { findPrograms } from '../support/programs.ts';
import { chartOf, jsonOf, tableOf } from './report.ts';
import { startRig } from './rig.ts';
import type { Rig } from './rig.ts';
import type { Row } from './row.ts';
import { ROWS } from './rows.ts';

const HELP = `npm run bench -- [options]

Compares DBBouncer (its defaults, pool_mode: transaction) with PgBouncer and with direct
connections. PgBouncer is the system's, or what PGBOUNCER_BIN names.

  --quick            three rows, one repeat of 2 s: ends within a minute
  --rows A,B         only these: ${ROWS.map(({ key }) => key).join(', ')}
  --repeats N        counted turns after one to warm up (default 5)
  --seconds N        of one turn (default 5)
  --pool-sizes A,B   of PgBouncer; the best one counts (default 4,10,20,64)
  --json FILE        write everything that was measured
  --chart FILE       write the ratios as an SVG chart
  --help`;

const QUICK_ROWS = 'simple-64,simple-16,simple-1';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rows: { type: 'string' },
    repeats: { type: 'string' },
    seconds: { type: 'string' },
    'pool-sizes': { type: 'string' },
    json: { type: 'string' },
    chart: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

if (flags.help) process.stdout.write(`${HELP}\n`);
else await main();

async function main(): Promise<void> {
  const rows = rowsOf(flags.rows ?? (flags.quick ? QUICK_ROWS : undefined));
  const repeats = Number(flags.repeats ?? (flags.quick ? 1 : 5));
  const seconds = Number(flags.seconds ?? (flags.quick ? 2 : 5));
  const poolSizes = (flags['pool-sizes'] ?? (flags.quick ? '20' : '4,10,20,64')).split(',');
  const programs = await findPrograms();
  const rig = await startRig({ programs, poolSizes: poolSizes.map(Number) });
  const results: RowResult[] = [];
  try {
    for (const row of rows) {
      const result = await compare(row, contendersOf(row, rig), {
        context: { programs, seconds },
        repeats,
        countConnections: (user) => rig.countConnections(user),
        onProgress: progress,
      });
      progress('');
      process.stdout.write(`${tableOf({ results: [result] })}\n\n`);
      results.push(result);
    }
  } finally {
    await rig.stop();
  }
  const { postgresVersion, pgbouncerVersion } = rig;
  const report = { postgresVersion, pgbouncerVersion, repeats, seconds, results };
  if (flags.json !== undefined) await writeFile(flags.json, jsonOf(report));
  if (flags.chart !== undefined) await writeFile(flags.chart, chartOf(report));
}

function rowsOf(list: string | undefined): readonly Row[] {
  if (list === undefined) return ROWS;
  return list.split(',').map((key) => {
    const row = ROWS.find((each) => each.key === key);
    if (row === undefined) throw new Error(`there is no row "${key}"; see --help`);
    return row;
  });
}

function contendersOf(row: Row, rig: Rig): readonly Contender[] {
  const theirs = row.needs === 'prepared' ? rig.theirsPrepared : rig.theirs;
  return [rig.ours, ...theirs, ...(row.direct === 'beside' ? [rig.direct] : [])];
}

/** One line that is written over; nothing where nobody watches. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
