/**
 * The compatibility matrix as a document.
 * Owns: its words and tables. Leaves: running suites to write-matrix.ts, its truth to
 * matrix.test.ts.
 */
import { join } from 'node:path';
import type { PoolMode } from '@dbbouncer/shared/contract/pool-settings.ts';
import { MODES, ORDINARY_WORK } from './suite.ts';
import type { Suite } from './suite.ts';

export const DOCUMENT = join(import.meta.dirname, '..', '..', 'docs', 'compatibility.md');

export type Outcome = 'passed' | 'failed' | 'failed as expected' | 'not run here';

/** What came of one case in one mode. */
export type OutcomeOf = (suite: Suite, mode: PoolMode, name: string) => Outcome;

/** What must come of every case for all tests to pass. */
export const asExpected: OutcomeOf = (suite, mode, name) =>
  suite.expectedFailures?.[name]?.[mode] === undefined ? 'passed' : 'failed as expected';

const HEAD = `# Compatibility

Drivers and object mappers of others, through the proxy, in both pool modes. Every suite has cases
of ${ORDINARY_WORK.slice(0, -1).join(', ')} and a ${ORDINARY_WORK.at(-1)};
most have COPY, cursors, notifications, cancels and concurrent use as well. Each case runs in
\`npm test\`, where its driver is installed. The tables are written by \`npm run compatibility\`;
a case that is expected to fail fails the run when it passes.

`;

export function matrix(suites: readonly Suite[], outcomeOf: OutcomeOf): string {
  const parts = [HEAD, summary(suites, outcomeOf), expectedFailures(suites)];
  return [...parts, ...suites.map((suite) => casesOf(suite, outcomeOf))].join('');
}

function summary(suites: readonly Suite[], outcomeOf: OutcomeOf): string {
  const rows = suites.map((suite) => {
    const modes = MODES.map((mode) => counts(suite, mode, outcomeOf));
    return [suite.name, suite.versions(), ...modes];
  });
  return table(['Suite', 'Of', ...MODES.map((mode) => `In \`${mode}\` mode`)], rows);
}

function counts(suite: Suite, mode: PoolMode, outcomeOf: OutcomeOf): string {
  const totals = new Map<Outcome, number>();
  for (const name of Object.keys(suite.cases)) {
    const outcome = outcomeOf(suite, mode, name);
    totals.set(outcome, (totals.get(outcome) ?? 0) + 1);
  }
  return Array.from(totals, ([outcome, count]) => `${count} ${outcome}`)
    .toSorted((a, b) => (a.endsWith('passed') ? -1 : b.endsWith('passed') ? 1 : 0))
    .join(', ');
}

function expectedFailures(suites: readonly Suite[]): string {
  const rows = suites.flatMap((suite) =>
    Object.entries(suite.expectedFailures ?? {}).flatMap(([name, reasons]) =>
      grouped(reasons).map(([reason, modes]) => [suite.name, name, modes, reason]),
    ),
  );
  return `\n## What is expected to fail\n\n${table(['Suite', 'Case', 'Mode', 'Why'], rows)}`;
}

/** One row where both modes have the same reason. */
function grouped(reasons: Partial<Record<PoolMode, string>>): readonly [string, string][] {
  const modesOf = new Map<string, PoolMode[]>();
  for (const mode of MODES) {
    const reason = reasons[mode];
    if (reason !== undefined) modesOf.set(reason, [...(modesOf.get(reason) ?? []), mode]);
  }
  return Array.from(modesOf, ([reason, modes]) => [reason, modes.join(', ')]);
}

function casesOf(suite: Suite, outcomeOf: OutcomeOf): string {
  const rows = Object.keys(suite.cases).map((name) => [
    name,
    ...MODES.map((mode) => outcomeOf(suite, mode, name)),
  ]);
  return `\n## ${suite.name}\n\n${table(['Case', ...MODES.map((mode) => `\`${mode}\``)], rows)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |\n`;
  const rule = head.map(() => '---');
  return [head, rule, ...rows].map((cells) => line(cells)).join('');
}
