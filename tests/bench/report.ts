/** The comparison as a table for the terminal, as JSON, and as a chart. */
import type { Outcome, RowResult } from './comparison.ts';

export interface Report {
  readonly postgresVersion: string;
  readonly pgbouncerVersion: string;
  readonly repeats: number;
  readonly seconds: number;
  readonly results: readonly RowResult[];
}

const COLUMNS = ['row', 'contender', 'median', 'min … max', 'CPU µs', 'p50', 'p95', 'p99', 'conns'];

export function tableOf({ results }: Pick<Report, 'results'>): string {
  const lines = results.flatMap(({ row, outcomes, ratio }) => [
    ...outcomes.map((outcome, index) => [
      index === 0 ? `${row.key} (${row.unit})` : '',
      ...cellsOf(outcome),
    ]),
    ['', `ours / theirs: ${ratio.toFixed(2)}${barOf(row.bar, ratio)}`],
  ]);
  const cells = [COLUMNS, ...lines];
  const widths = COLUMNS.map((_, column) =>
    Math.max(...cells.filter(({ length }) => length > 2).map((line) => line[column]?.length ?? 0)),
  );
  return cells
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function cellsOf(outcome: Outcome): string[] {
  const { contender, value, failure } = outcome;
  if (failure !== undefined) return [contender, `failed: ${failure.split('\n')[0]?.slice(0, 60)}`];
  return [
    contender,
    whole(value.median),
    `${whole(value.min)} … ${whole(value.max)}`,
    fraction(outcome.cpuUsPerWork),
    fraction(outcome.p50Ms),
    fraction(outcome.p95Ms),
    fraction(outcome.p99Ms),
    String(outcome.serverConnections),
  ];
}

function barOf(bar: number | undefined, ratio: number): string {
  if (bar === undefined) return '';
  return ratio >= bar ? ` (bar ${bar}: reached)` : ` (bar ${bar}: missed)`;
}

function whole(value: number): string {
  return Number.isNaN(value) ? '–' : Math.round(value).toLocaleString('en');
}

function fraction(value: number): string {
  if (Number.isNaN(value)) return '–';
  return value >= 100 ? whole(value) : value.toPrecision(2);
}

export function jsonOf(report: Report): string {
  const results = report.results.map(({ row, outcomes, ratio }) => ({
    row: row.key,
    title: row.title,
    unit: row.unit,
    bar: row.bar ?? null,
    ratio,
    outcomes,
  }));
  return `${JSON.stringify({ ...report, results }, undefined, 2)}\n`;
}

const BAR_HEIGHT = 16;
const CHART_WIDTH = 760;
const LABEL_WIDTH = 280;
/** Where a ratio of 1 stands. */
const UNIT_WIDTH = 180;

/** Ratios to PgBouncer, a bar for each row; the line is PgBouncer itself. */
export function chartOf({ results, pgbouncerVersion }: Report): string {
  const rows = results.filter(({ ratio }) => Number.isFinite(ratio));
  const height = rows.length * (BAR_HEIGHT + 8) + 50;
  const bars = rows.map(({ row, ratio }, index) => {
    const y = 30 + index * (BAR_HEIGHT + 8);
    const width = Math.min(ratio * UNIT_WIDTH, CHART_WIDTH - LABEL_WIDTH - 60);
    const colour = ratio >= 1 ? '#2a7' : '#c73';
    return [
      `<text x="${LABEL_WIDTH - 8}" y="${y + 12}" text-anchor="end">${escaped(row.title)}</text>`,
      `<rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}"`,
      ` height="${BAR_HEIGHT}" fill="${colour}"/>`,
      `<text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + 12}">${ratio.toFixed(2)}</text>`,
    ].join('');
  });
  const one = LABEL_WIDTH + UNIT_WIDTH;
  const size = `viewBox="0 0 ${CHART_WIDTH} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="12">
<rect width="${CHART_WIDTH}" height="${height}" fill="#fff"/>
<text x="${one}" y="18" text-anchor="middle" fill="#555">PgBouncer ${pgbouncerVersion} = 1</text>
${bars.join('\n')}
<line x1="${one}" y1="24" x2="${one}" y2="${height - 20}" stroke="#555" stroke-dasharray="4 3"/>
</svg>
`;
}

function escaped(text: string): string {
  return text.replaceAll('`', '').replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}
