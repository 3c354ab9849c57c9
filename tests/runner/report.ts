/**
 * What a person reads while the tests run and after them. It only makes text; tests/run.ts prints
 * it.
 */
import { styleText } from 'node:util';
import type { FileOutcome } from './run-file.ts';

const SLOW_FILES_MAX = 5;
const SLOW_FILE_MS = 2_000;

/** One line for a file that has ended. */
export function fileLine(outcome: FileOutcome): string {
  const { file, passed, failures, skipped, durationMs } = outcome;
  const counts = [`${passed} passed`];
  if (failures.length > 0) counts.push(`${failures.length} failed`);
  if (skipped > 0) counts.push(`${skipped} skipped`);
  const mark = failures.length > 0 ? styleText('red', '✖') : styleText('green', '✔');
  return `${mark} ${file}  ${styleText('dim', `${counts.join(', ')}, ${seconds(durationMs)}`)}`;
}

/** Every failure in full, with what its file printed; empty when there is none. */
export function failureReport(outcomes: readonly FileOutcome[]): string {
  const parts: string[] = [];
  for (const outcome of outcomes.filter(({ failures }) => failures.length > 0)) {
    for (const { file, line, name, text } of outcome.failures) {
      const where = line === undefined ? file : `${file}:${line}`;
      parts.push(`${styleText('red', '✖')} ${where}\n  ${name}\n\n${indent(text)}\n`);
    }
    const printed = outcome.output.trimEnd();
    const isNew = printed !== '' && !outcome.failures.some(({ text }) => text === printed);
    if (isNew) parts.push(`  ${outcome.file} printed:\n\n${indent(printed)}\n`);
  }
  return parts.length === 0 ? '' : `\n${parts.join('\n')}`;
}

/** The files worth a look when the run feels long; empty when none took 2 s. */
export function slowestFiles(outcomes: readonly FileOutcome[]): string {
  const slow = outcomes
    .filter(({ durationMs }) => durationMs >= SLOW_FILE_MS)
    .toSorted((a, b) => b.durationMs - a.durationMs)
    .slice(0, SLOW_FILES_MAX);
  if (slow.length === 0) return '';
  const lines = slow.map(({ file, durationMs }) => `  ${seconds(durationMs).padStart(7)}  ${file}`);
  return `\nslowest files\n${lines.join('\n')}\n`;
}

/** What was skipped for which reason: nobody is to take it for tested. Empty when nothing was. */
export function skipReport(outcomes: readonly FileOutcome[]): string {
  const lines = outcomes.flatMap(({ file, skipReasons }) =>
    Object.entries(skipReasons).map(([why, count]) => `  ${count} in ${file}: ${why}`),
  );
  return lines.length === 0 ? '' : `\nskipped\n${lines.join('\n')}\n`;
}

/** The last line of a run; other programs read it. */
export function closingLine(outcomes: readonly FileOutcome[]): string {
  const passed = sum(outcomes, (outcome) => outcome.passed);
  const failed = sum(outcomes, (outcome) => outcome.failures.length);
  const skipped = sum(outcomes, (outcome) => outcome.skipped);
  const line = `${passed} passed, ${failed} failed`;
  return skipped === 0 ? line : `${line}, ${skipped} skipped`;
}

function sum(outcomes: readonly FileOutcome[], of: (outcome: FileOutcome) => number): number {
  return outcomes.reduce((total, outcome) => total + of(outcome), 0);
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '    ');
}
