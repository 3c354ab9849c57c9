/** Results as a table for the terminal. */
import type { Outcome } from './comparison.ts';
import { aheadOf } from './report.ts';
import type { KeptResult } from './report.ts';
import { connectionsInWords, factor, goalInWords, short } from './words.ts';

const COLUMNS = [
  'contender',
  'median',
  'min … max',
  'ours ×',
  'CPU µs',
  'p50',
  'p95',
  'p99',
  'conns',
] as const;

/** One row: a line for each contender, what else was counted, and the goals. */
export function tableOf(result: KeptResult): string {
  const lines = [COLUMNS, ...result.outcomes.map((outcome) => cellsOf(result, outcome))];
  const widths = COLUMNS.map((_, column) =>
    Math.max(...lines.filter(isWhole).map((line) => line[column]?.length ?? 0)),
  );
  const table = lines.map((line) =>
    line
      .map((cell, column) => (isWhole(line) ? cell.padEnd(widths[column] ?? 0) : cell))
      .join('  ')
      .trimEnd(),
  );
  return [
    `${result.row}: ${result.title} (${result.unit})`,
    ...table.map((line) => `  ${line}`),
    ...result.outcomes.flatMap(countsOf).map((line) => `  ${line}`),
    ...(result.best === undefined ? [] : [`  PgBouncer at its best: ${result.best}`]),
    ...result.goals.map((goal) => `  ${goalInWords(goal)}`),
  ].join('\n');
}

/** Not only the words of a failure. */
function isWhole(line: readonly string[]): boolean {
  return line.length === COLUMNS.length;
}

function cellsOf(result: KeptResult, outcome: Outcome): readonly string[] {
  const { contender, value, failure } = outcome;
  if (failure !== undefined) return [contender, `failed: ${failure.split('\n')[0]?.slice(0, 80)}`];
  return [
    contender,
    short(value.median),
    `${short(value.min)} … ${short(value.max)}`,
    outcome.side === 'ours' ? '' : factor(aheadOf(result, outcome)),
    short(outcome.cpuUsPerWork),
    short(outcome.p50Ms),
    short(outcome.p95Ms),
    short(outcome.p99Ms),
    connectionsInWords(outcome),
  ];
}

function countsOf({ contender, counts }: Outcome): string[] {
  const words = Object.entries(counts).map(([name, figure]) => `${name} ${short(figure)}`);
  return words.length === 0 ? [] : [`${contender}: ${words.join('; ')}`];
}
