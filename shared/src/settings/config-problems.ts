/**
 * What is wrong with a config file, each with its place, and how that is told: in lines that
 * editors and terminals turn into links, and for people with the line itself and a mark under it.
 */
import type { FieldProblem } from '../contract/explain.ts';

export interface Place {
  /** Both from 1. */
  readonly line: number;
  readonly column: number;
}

export interface PlacedProblem extends Place {
  /** As in `tenants.acme.port`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
  /** The line as it may be shown, with every secret left out. */
  readonly excerpt?: Excerpt | undefined;
}

export interface Excerpt {
  readonly text: string;
  /** From 1, within `text`. */
  readonly column: number;
}

/** More are counted, not told: they would bury each other. */
export const PROBLEMS_TOLD_MAX = 100;

/** The first of them by their places; the last one says how many more there are. */
export function toldProblems(problems: readonly PlacedProblem[]): readonly PlacedProblem[] {
  const inOrder = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
  if (inOrder.length <= PROBLEMS_TOLD_MAX) return inOrder;
  const message = `and ${inOrder.length - PROBLEMS_TOLD_MAX} problems more`;
  const { line, column } = inOrder[PROBLEMS_TOLD_MAX] ?? { line: 1, column: 1 };
  return [...inOrder.slice(0, PROBLEMS_TOLD_MAX), { line, column, path: '', message }];
}

/** One line for each: `file:line:column: path message`. */
export function formatProblems(
  path: string,
  problems: readonly PlacedProblem[],
): readonly string[] {
  return problems.map(({ line, column, path: field, message }) =>
    [`${path}:${line}:${column}:`, field, message].filter((part) => part !== '').join(' '),
  );
}

/** The same lines, each with what stands there and a mark under the place. */
export function formatProblemsForPeople(
  path: string,
  problems: readonly PlacedProblem[],
): readonly string[] {
  return problems.flatMap((problem) => {
    const { line, excerpt } = problem;
    const told = formatProblems(path, [problem]);
    if (excerpt === undefined || excerpt.text.trim() === '') return told;
    const number = String(line);
    const margin = ' '.repeat(number.length);
    const mark = `${' '.repeat(excerpt.column - 1)}^`;
    return [...told, `  ${number} | ${excerpt.text}`, `  ${margin} | ${mark}`];
  });
}

export function problemAt(keys: readonly string[], message: string): FieldProblem {
  return { keys, path: keys.join('.'), message };
}
