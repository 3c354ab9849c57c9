/** Ratios to PgBouncer as an SVG: a bar for each row, its bar as a mark; the line is PgBouncer. */
import type { KeptResult, Report } from './report.ts';
import { factor } from './words.ts';

const BAR_HEIGHT = 16;
const ROW_HEIGHT = 24;
const TOP = 30;
const CHART_WIDTH = 940;
const LABEL_WIDTH = 450;
/** Where a ratio of 1 stands. */
const UNIT_WIDTH = 150;
const RATIO_MAX = (CHART_WIDTH - LABEL_WIDTH - 50) / UNIT_WIDTH;
const [AHEAD, BEHIND] = ['#2a7', '#c73'];

export function chartOf({ results, machine }: Report): string {
  const rows = results.filter(({ ratio }) => Number.isFinite(ratio));
  const height = rows.length * ROW_HEIGHT + TOP + 20;
  const one = LABEL_WIDTH + UNIT_WIDTH;
  const size = `viewBox="0 0 ${CHART_WIDTH} ${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="12">
<rect width="${CHART_WIDTH}" height="${height}" fill="#fff"/>
<text x="${one}" y="18" text-anchor="middle" fill="#555">PgBouncer ${machine.pgbouncer} = 1</text>
${rows.map(barOf).join('\n')}
<line x1="${one}" y1="24" x2="${one}" y2="${height - 14}" stroke="#555" stroke-dasharray="4 3"/>
</svg>
`;
}

function barOf({ title, ratio, goals }: KeptResult, index: number): string {
  const y = TOP + index * ROW_HEIGHT;
  const width = Math.min(ratio, RATIO_MAX) * UNIT_WIDTH;
  const colour = ratio >= 1 ? AHEAD : BEHIND;
  const bar = goals.find(({ title: goal }) => goal.endsWith("to PgBouncer's"))?.bar;
  const mark = LABEL_WIDTH + (bar ?? 0) * UNIT_WIDTH;
  return [
    `<text x="${LABEL_WIDTH - 8}" y="${y + 12}" text-anchor="end">${escaped(title)}</text>`,
    `<rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}"`,
    ` height="${BAR_HEIGHT}" fill="${colour}"/>`,
    bar === undefined ? '' : `<rect x="${mark}" y="${y - 3}" width="2" height="22" fill="#000"/>`,
    `<text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + 12}">${factor(ratio)}</text>`,
  ].join('');
}

export function escaped(text: string): string {
  return text
    .replaceAll('`', '')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
