/** PERFORMANCE.md and its chart say what the kept report says, and the report covers every row. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { partNames } from '../architecture/document-parts.ts';
import { chartOf } from './chart.ts';
import {
  CHART_FILE,
  DOCUMENT_FILE,
  documentWith,
  partsOf,
  readReport,
  WRITE_COMMAND,
} from './performance-document.ts';
import { jsonOf, merged, reportFrom } from './report.ts';
import { ROWS } from './rows.ts';

const report = readReport();
const document = readFileSync(DOCUMENT_FILE, 'utf8');

describe('PERFORMANCE.md', () => {
  it('has the parts that are generated and no others', () => {
    assert.deepEqual(partNames(document).toSorted(), Object.keys(partsOf(report)).toSorted());
  });

  it('is as the report has it', () => {
    const command = `${WRITE_COMMAND} --rows none`;
    assert.equal(document, documentWith(document, report), `run: ${command}`);
    assert.equal(readFileSync(CHART_FILE, 'utf8'), chartOf(report), `run: ${command}`);
  });
});

describe('the kept report', () => {
  it('has a result for each row, in order, with DBBouncer and PgBouncer in it', () => {
    assert.deepEqual(
      report.results.map(({ row }) => row),
      ROWS.map(({ key }) => key),
    );
    for (const { row, outcomes } of report.results) {
      const sides = outcomes.map(({ side }) => side);
      assert.ok(sides.includes('ours') && sides.includes('theirs'), row);
    }
  });

  it('judges by the goals that the rows have now', () => {
    const limits = (goals: readonly { title: string; bar?: number; dream?: number }[]) =>
      goals.map(({ title, bar, dream }) => ({ title, bar, dream }));
    for (const [index, { goals }] of report.results.entries()) {
      assert.deepEqual(limits(goals), limits(ROWS[index]?.goals ?? []), ROWS[index]?.key);
    }
  });

  it('is the same after it was written and read again', () => {
    assert.equal(jsonOf(reportFrom(jsonOf(report))), jsonOf(report));
  });
});

describe('merged', () => {
  const [one, other] = report.results;
  assert.ok(one !== undefined && other !== undefined);

  it('keeps rows that were not measured again, and puts all of them in order', () => {
    const newer = { ...other, ratio: 42 };
    const keys = [one.row, other.row];
    const { results } = merged(report, { ...report, results: [newer] }, keys);
    assert.deepEqual(results, [one, newer]);
  });
});
