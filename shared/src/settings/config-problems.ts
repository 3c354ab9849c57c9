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

/** What was found, before it is told. */
export interface FoundProblem extends Place {
  readonly path: string;
  readonly message: string;
  /** In the text, of the place. */
  readonly offset: number;
}

/**
 * The first of them by their places; the last one says how many more there are.
 * @param uncounted how many there are besides these, if these are more than are told.
 */
export function toldProblems(
  problems: readonly FoundProblem[],
  excerptAt: (offset: number, place: Place) => Excerpt,
  uncounted = 0,
): readonly PlacedProblem[] {
  const inOrder = problems.toSorted((a, b) => a.offset - b.offset);
  const told = inOrder.slice(0, PROBLEMS_TOLD_MAX).map(({ offset, ...problem }): PlacedProblem => {
    return { ...problem, excerpt: excerptAt(offset, problem) };
  });
  const next = inOrder[PROBLEMS_TOLD_MAX];
  if (next === undefined) return told;
  const message = `and ${inOrder.length + uncounted - PROBLEMS_TOLD_MAX} problems more`;
  return [...told, { line: next.line, column: next.column, path: '', message }];
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
