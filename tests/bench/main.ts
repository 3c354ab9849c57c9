/**
 * npm run bench: DBBouncer beside PgBouncer and a direct connection, in one run on one machine.
 * Owns: the command line and the order of things.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { chartOf } from './chart.ts';
import { compare } from './comparison.ts';
import type { RowResult } from './comparison.ts';
import type { Contender } from './contender.ts';
import { findPrograms } from '../support/programs.ts';
import type { Programs } from '../support/programs.ts';
import { DOCUMENT_FILE, REPORT_FILE, writeDocument } from './performance-document.ts';
import { jsonOf, keep, machineWith, merged, reportFrom } from './report.ts';
import type { KeptResult, Report } from './report.ts';
import { SCALE, startRig } from './rig.ts';
import type { Row } from './row.ts';
import { ROWS } from './rows.ts';
import type { Stage } from './stage.ts';
import { tableOf } from './table.ts';
import { startTenantsRig } from './tenants-rig.ts';

const KEYS = ROWS.map(({ key }) => key);
const HELP = `npm run bench -- [options]

Compares DBBouncer (its defaults, pool_mode: transaction) with PgBouncer and with direct
connections. PgBouncer is the system's, or what PGBOUNCER_BIN names.

  --quick            three rows, one repeat of 2 s: ends within a minute
  --rows A,B         only these: ${KEYS.join(', ')}
  --repeats N        counted turns after one to warm up (default 5)
  --seconds N        of one turn (default 5)
  --warm-up N        seconds of the turn to warm up (default 10, at least those of one turn)
  --pool-sizes A,B   of PgBouncer; the best one counts (default 4,10,20,64)
  --scale N          of pgbench's tables (default ${SCALE})
  --checkout DIR     DBBouncer of another checkout takes part
  --setting 'S: V'   DBBouncer with this setting of its tenant takes part; can be repeated
  --bare-relay       a relay in Node that reads nothing takes part: the floor
  --json FILE        write what was measured; rows that the file has from before stay
  --chart FILE       write the ratios as an SVG chart
  --document         the same into docs/bench.json, docs/bench.svg and PERFORMANCE.md;
                     with --rows none, the last two anew from the first
  --help`;

const QUICK_ROWS = 'simple-64,simple-16,simple-1';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rows: { type: 'string' },
    repeats: { type: 'string' },
    seconds: { type: 'string' },
    'warm-up': { type: 'string' },
    'pool-sizes': { type: 'string' },
    scale: { type: 'string', default: String(SCALE) },
    checkout: { type: 'string', multiple: true, default: [] },
    setting: { type: 'string', multiple: true, default: [] },
    json: { type: 'string' },
    chart: { type: 'string' },
    'bare-relay': { type: 'boolean', default: false },
    document: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (flags.help) process.stdout.write(`${HELP}\n`);
else await main();

async function main(): Promise<void> {
  const rows = rowsOf(flags.rows ?? (flags.quick ? QUICK_ROWS : undefined));
  const measured = rows.length === 0 ? undefined : await measureAll(rows);
  const report = (path: string): Report => {
    const former = existsSync(path) ? reportFrom(readFileSync(path, 'utf8')) : undefined;
    const newest = measured ?? former;
    if (newest === undefined) throw new Error(`there is no ${path}`);
    return merged(former, newest, KEYS);
  };
  if (flags.json !== undefined) writeFileSync(flags.json, jsonOf(report(flags.json)));
  if (flags.chart !== undefined && measured) writeFileSync(flags.chart, chartOf(measured));
  if (!flags.document) return;
  const whole = report(REPORT_FILE);
  writeFileSync(REPORT_FILE, jsonOf(whole));
  // As it is read back, digits included.
  writeDocument(reportFrom(jsonOf(whole)));
  process.stdout.write(`${REPORT_FILE}, its chart and ${DOCUMENT_FILE} are written\n`);
}

async function measureAll(rows: readonly Row[]): Promise<Report> {
  const programs = await findPrograms();
  const results: KeptResult[] = [];
  const [loadBefore = NaN] = loadavg();
  let versions = { postgresql: '', pgbouncer: '' };
  for (const stageName of ['common', 'tenants'] as const) {
    const wanted = rows.filter(({ stage: of }) => of === stageName);
    if (wanted.length === 0) continue;
    const stage = await startStage(stageName, programs);
    versions = { postgresql: stage.postgresVersion, pgbouncer: stage.pgbouncerVersion };
    try {
      for (const row of wanted) {
        const kept = keep(await measure(row, stage, programs), secondsOfTurn(), new Date());
        progress('');
        process.stdout.write(`${tableOf(kept)}\n\n`);
        results.push(kept);
      }
    } finally {
      await stage.stop();
    }
  }
  return { machine: machineWith({ ...versions, loadBefore }), results };
}

function startStage(name: Row['stage'], programs: Programs): Promise<Stage> {
  if (name === 'tenants') return startTenantsRig();
  const poolSizes = (flags['pool-sizes'] ?? (flags.quick ? '20' : '4,10,20,64')).split(',');
  return startRig({
    programs,
    poolSizes: poolSizes.map(Number),
    scale: Number(flags.scale),
    variants: [
      ...flags.checkout.map((checkout) => ({ checkout })),
      ...flags.setting.map((setting) => ({ setting })),
      ...(flags['bare-relay'] ? (['bare_relay'] as const) : []),
    ],
  });
}

function measure(row: Row, stage: Stage, programs: Programs): Promise<RowResult> {
  return compare(row, contendersOf(row, stage), {
    context: { programs, seconds: secondsOfTurn() },
    warmUpSeconds: warmUpSeconds(),
    repeats: Number(flags.repeats ?? (flags.quick ? 1 : 5)),
    connectionsInUse: stage.connectionsInUse,
    onProgress: progress,
  });
}

function warmUpSeconds(): number {
  return Math.max(Number(flags['warm-up'] ?? (flags.quick ? 2 : 10)), secondsOfTurn());
}

function secondsOfTurn(): number {
  return Number(flags.seconds ?? (flags.quick ? 2 : 5));
}

function rowsOf(list: string | undefined): readonly Row[] {
  if (list === undefined) return ROWS;
  if (list === 'none') return [];
  return list.split(',').map((key) => {
    const row = ROWS.find((each) => each.key === key);
    if (row === undefined) throw new Error(`there is no row "${key}"; see --help`);
    return row;
  });
}

function contendersOf(row: Row, stage: Stage): readonly Contender[] {
  const theirs = row.needs === 'prepared' ? stage.theirsPrepared : stage.theirs;
  const direct = row.direct === 'beside' ? [stage.direct] : [];
  return [stage.ours, ...stage.variants, ...theirs, ...direct];
}

/** One line that is written over; nothing where nobody watches. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
