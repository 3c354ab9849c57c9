/**
 * What a row is to reach: a figure made of the outcomes, the bar it has to pass, and the dream
 * behind it.
 */
import type { Outcome } from './comparison.ts';

export interface Goal {
  /** What the figure is. */
  readonly title: string;
  readonly is: 'at least' | 'at most';
  readonly bar?: number;
  readonly dream?: number;
  /** NaN where it cannot be told. */
  readonly measure: (outcomes: Outcomes) => number;
}

/** Those who did not fail: ours, and PgBouncer at its best pool size by the row's value. */
export interface Outcomes {
  readonly ours: Outcome | undefined;
  readonly best: Outcome | undefined;
}

/** `dream missed`: there is no bar before it; `told`: there is nothing to reach. */
export type Verdict = 'dream reached' | 'reached' | 'missed' | 'dream missed' | 'unknown' | 'told';

type Figure = (outcome: Outcome) => number;
type Limits = Pick<Goal, 'bar' | 'dream'>;

export function verdictOf({ is, bar, dream }: Omit<Goal, 'measure'>, figure: number): Verdict {
  if (bar === undefined && dream === undefined) return 'told';
  if (Number.isNaN(figure)) return 'unknown';
  const passes = (limit: number) => (is === 'at least' ? figure >= limit : figure <= limit);
  if (dream !== undefined && passes(dream)) return 'dream reached';
  if (bar === undefined) return 'dream missed';
  return passes(bar) ? 'reached' : 'missed';
}

/** Ours by theirs: more is better. */
export function moreThanTheirs(title: string, figure: Figure, limits: Limits): Goal {
  return {
    title: `${title}, to PgBouncer's`,
    is: 'at least',
    ...limits,
    measure: ({ ours, best }) => quotient(ours, best, figure),
  };
}

/** Theirs by ours: less is better, and above 1 ours is ahead. */
export function lessThanTheirs(title: string, figure: Figure, limits: Limits): Goal {
  return {
    title: `PgBouncer's ${title}, to ours`,
    is: 'at least',
    ...limits,
    measure: ({ ours, best }) => quotient(best, ours, figure),
  };
}

/** A share of theirs: less is better. */
export function shareOfTheirs(title: string, figure: Figure, limits: Limits): Goal {
  return {
    title: `${title}, as a share of PgBouncer's`,
    is: 'at most',
    ...limits,
    measure: ({ ours, best }) => quotient(ours, best, figure),
  };
}

/** A figure of ours alone. */
export function alone(is: Goal['is'], title: string, figure: Figure, limits: Limits): Goal {
  return {
    title,
    is,
    ...limits,
    measure: ({ ours }) => (ours === undefined ? NaN : figure(ours)),
  };
}

/** How much of the gain over theirs stays when `former` becomes `present`: gains beyond 1. */
export function shareOfGain(title: string, former: Figure, present: Figure, limits: Limits): Goal {
  return {
    title,
    is: 'at least',
    ...limits,
    measure: ({ ours, best }) => {
      const gain = quotient(ours, best, former) - 1;
      return gain > 0 ? (quotient(ours, best, present) - 1) / gain : NaN;
    },
  };
}

export const value: Figure = (outcome) => outcome.value.median;

export function counted(name: string): Figure {
  return ({ counts }) => counts[name] ?? NaN;
}

function quotient(of: Outcome | undefined, by: Outcome | undefined, figure: Figure): number {
  return of === undefined || by === undefined ? NaN : figure(of) / figure(by);
}
