/**
 * The figures of PERFORMANCE.md: its generated parts and the chart it shows are made of the report
 * that is kept in docs/.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { markdownTable, withPart } from '../architecture/document-parts.ts';
import { ROOT } from '../support/processes.ts';
import type { Outcome, ReachedGoal } from './comparison.ts';
import { chartOf } from './chart.ts';
import { reportFrom } from './report.ts';
import type { KeptResult, Report } from './report.ts';
import { connectionsInWords, factor, short } from './words.ts';
import { limitTable, priceTable, profileTable, readProfiles } from './profile/profile-report.ts';

export const REPORT_FILE = join(ROOT, 'docs', 'bench.json');
export const CHART_FILE = join(ROOT, 'docs', 'bench.svg');
export const DOCUMENT_FILE = join(ROOT, 'PERFORMANCE.md');
export const WRITE_COMMAND = 'npm run bench -- --document';

/** The generated parts by their names. */
export function partsOf(report: Report): Readonly<Record<string, string>> {
  const profiles = readProfiles();
  const prices = profiles.after?.prices ?? profiles.before?.prices;
  return {
    machine: machineInWords(report),
    goals: goalTable(report),
    rows: rowTable(report),
    counts: countTable(report),
    profile: profileTable(profiles),
    prices: priceTable(prices),
    limit: limitTable(prices),
  };
}

export function documentWith(document: string, report: Report): string {
  return Object.entries(partsOf(report)).reduce(
    (text, [name, part]) => withPart(text, name, part),
    document,
  );
}

export function readReport(): Report {
  return reportFrom(readFileSync(REPORT_FILE, 'utf8'));
}

/** Writes the chart and the document anew from the report. */
export function writeDocument(report: Report): void {
  writeFileSync(CHART_FILE, chartOf(report));
  writeFileSync(DOCUMENT_FILE, documentWith(readFileSync(DOCUMENT_FILE, 'utf8'), report));
}

function machineInWords({ machine, results }: Report): string {
  const days = results.map(({ measuredAt }) => measuredAt.slice(0, 10)).toSorted();
  const { processor, cores, memoryGib, kernel, node, postgresql, pgbouncer, loadBefore } = machine;
  return [
    `- ${cores} cores of ${processor}, ${memoryGib} GiB, Linux ${kernel}`,
    `- Node ${node}, PostgreSQL ${postgresql}, PgBouncer ${pgbouncer}`,
    `- measured on ${[...new Set(days)].join(', ')}; load of the machine before: ${loadBefore}`,
  ].join('\n');
}

function goalTable({ results }: Report): string {
  const lines = results.flatMap((result) =>
    result.goals
      .filter(({ bar, dream }) => bar !== undefined || dream !== undefined)
      .map((goal) => [result.title, ...goalCells(goal)]),
  );
  return markdownTable(['Row', 'What', 'Reached', 'Bar', 'Dream', ''], lines);
}

function goalCells({ title, figure, is, bar, dream, verdict }: ReachedGoal): readonly string[] {
  const sign = is === 'at least' ? '≥' : '≤';
  const limit = (number: number | undefined) => (number === undefined ? '' : `${sign} ${number}`);
  const told = verdict === 'missed' ? '**missed**' : verdict;
  return [title, factor(figure), limit(bar), limit(dream), told];
}

const ROW_HEADS = [
  'Row',
  '',
  'Median',
  'Spread',
  'Turns',
  'CPU µs',
  'p50 ms',
  'p95 ms',
  'p99 ms',
  'Server connections',
];

/** DBBouncer, PgBouncer at its best pool size, and direct, with the others left to the JSON. */
function rowTable({ results }: Report): string {
  const lines = results.flatMap((result) =>
    shown(result).map((outcome, index) => [
      index === 0 ? `${result.title}, ${result.unit}` : ' ',
      outcome.contender,
      ...figuresOf(outcome),
    ]),
  );
  return markdownTable(ROW_HEADS, lines);
}

function shown({ outcomes, best }: KeptResult): readonly Outcome[] {
  return outcomes.filter(({ side, contender }) => side !== 'theirs' || contender === best);
}

function figuresOf(outcome: Outcome): readonly string[] {
  const { value, failure, turns, cpuUsPerWork, p50Ms, p95Ms, p99Ms } = outcome;
  if (failure !== undefined)
    return [`failed: ${failure.split('\n')[0]}`, ...Array<string>(7).fill('')];
  const times = [p50Ms, p95Ms, p99Ms].map(short);
  const spread = `${short(value.min)} … ${short(value.max)}`;
  const connections = connectionsInWords(outcome);
  return [short(value.median), spread, String(turns), short(cpuUsPerWork), ...times, connections];
}

/** What rows count besides. */
function countTable({ results }: Report): string {
  const lines = results.flatMap((result) =>
    shown(result).flatMap(({ contender, counts }) =>
      Object.entries(counts).map(([name, figure]) => [result.row, contender, name, short(figure)]),
    ),
  );
  return markdownTable(['Row', '', 'Counted', ''], lines);
}
