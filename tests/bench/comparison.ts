/**
 * Runs one row for all its contenders in turns (A B C A B C …), so that a busy minute of the
 * machine hits all of them, and sums the repeats up.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { cpuUs } from './contender.ts';
import type { Contender, Side } from './contender.ts';
import { verdictOf } from './goals.ts';
import type { Goal, Outcomes, Verdict } from './goals.ts';
import type { Row, RowContext, Sample } from './row.ts';
import { spreadOf } from './statistics.ts';
import type { Spread, Summary } from './statistics.ts';

/** A time that was not taken is NaN. */
export interface Outcome extends Summary {
  readonly contender: string;
  readonly side: Side;
  readonly value: Spread;
  /** Counted turns; fewer for pool sizes that were far behind in the first ones. */
  readonly turns: number;
  /** Of the pooler, for one unit of work; NaN where there is no pooler. */
  readonly cpuUsPerWork: number;
  /** The most that the server saw in use within one turn, be it for a moment. */
  readonly serverConnections: number;
  /** In use within a quarter of a second, the median of those. */
  readonly usualConnections: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Of the turns that did not end well, the words of the first. */
  readonly failure: string | undefined;
}

export interface ReachedGoal extends Omit<Goal, 'measure'> {
  readonly figure: number;
  readonly verdict: Verdict;
}

export interface RowResult {
  readonly row: Pick<Row, 'key' | 'title' | 'unit' | 'better'>;
  readonly outcomes: readonly Outcome[];
  /** The contender that is PgBouncer at its best. */
  readonly best: string | undefined;
  /** Ours to the best of theirs, or its inverse where less is better: above 1 is ahead. */
  readonly ratio: number;
  readonly goals: readonly ReachedGoal[];
}

/** Connections that did anything since then, asked as often as one likes. */
export interface ConnectionsInUse {
  (contender: Contender, since: Date): Promise<number>;
}

export interface ComparisonOptions {
  readonly context: RowContext;
  readonly repeats: number;
  /** Of the first turn, which is not counted: compilers at run time take their time. */
  readonly warmUpSeconds: number;
  readonly connectionsInUse: ConnectionsInUse;
  readonly onProgress: (text: string) => void;
}

interface Measured extends Sample, Connections {
  readonly cpuUs: number;
}

type Connections = Pick<Outcome, 'serverConnections' | 'usualConnections'>;

const COUNT_INTERVAL_MS = 250;
/** Of the best pool size; whoever has less after the first counted turn need not go on. */
const FAR_BEHIND = 0.8;

export async function compare(
  row: Row,
  contenders: readonly Contender[],
  options: ComparisonOptions,
): Promise<RowResult> {
  const samples = new Map<Contender, Measured[]>(contenders.map((each) => [each, []]));
  const failures = new Map<Contender, string>();
  // The first turn warms caches, plans and the compiler, and is not counted.
  const [first, last] = row.turns === 'once' ? [1, 1] : [0, options.repeats];
  let present = contenders;
  for (let turn = first; turn <= last; turn += 1) {
    for (const contender of present) {
      options.onProgress(`${row.title}: ${turn === 0 ? 'warm-up' : turn}, ${contender.name}`);
      try {
        const seconds = turn === 0 ? options.warmUpSeconds : options.context.seconds;
        const measured = await measure(row, contender, options, seconds);
        if (turn > 0) samples.get(contender)?.push(measured);
      } catch (error) {
        failures.set(contender, error instanceof Error ? error.message : String(error));
      }
    }
    present = present.filter((contender) => !failures.has(contender));
    if (turn === 1) present = withoutThoseFarBehind(row, present, samples);
  }
  const outcomes = contenders.map((each) =>
    outcomeOf(each, samples.get(each) ?? [], failures.get(each)),
  );
  return { row, outcomes, ...judge(row, outcomes) };
}

async function measure(
  row: Row,
  contender: Contender,
  { context, connectionsInUse }: ComparisonOptions,
  seconds: number,
): Promise<Measured> {
  const { pid } = contender;
  const watch = watchConnections((since) => connectionsInUse(contender, since));
  const before = pid === undefined ? NaN : cpuUs(pid);
  try {
    const sample = await row.run(contender, { ...context, seconds });
    const used = pid === undefined ? NaN : cpuUs(pid) - before;
    return { cpuUs: used, ...sample, ...(await watch.counts()) };
  } finally {
    watch.end();
  }
}

interface Watch {
  /** Ends it. */
  counts(): Promise<Connections>;
  end(): void;
}

/** Counts again and again, one count at a time, and all since the beginning at the end. */
function watchConnections(countSince: (since: Date) => Promise<number>): Watch {
  const over = new AbortController();
  const began = new Date();
  const watching = (async () => {
    const lately: number[] = [];
    let most = 0;
    for (let since = began; !over.signal.aborted;) {
      await pause(COUNT_INTERVAL_MS, undefined, over).catch(() => {});
      const now = new Date();
      lately.push(await countSince(since));
      most = Math.max(most, await countSince(began));
      since = now;
    }
    return { serverConnections: most, usualConnections: spreadOf(lately).median };
  })();
  // Of a row that failed nobody asks for the numbers.
  watching.catch(() => {});
  return {
    counts: () => {
      over.abort();
      return watching;
    },
    end: () => over.abort(),
  };
}

function withoutThoseFarBehind(
  { better }: Row,
  contenders: readonly Contender[],
  samples: ReadonlyMap<Contender, readonly Measured[]>,
): readonly Contender[] {
  const value = (contender: Contender) => samples.get(contender)?.[0]?.value ?? NaN;
  const theirs = contenders.filter(({ side }) => side === 'theirs').map(value);
  const [most, least] = [Math.max(...theirs), Math.min(...theirs)];
  return contenders.filter((contender) => {
    if (contender.side !== 'theirs') return true;
    const share = better === 'more' ? value(contender) / most : least / value(contender);
    return !(share < FAR_BEHIND);
  });
}

function outcomeOf(
  { name, side }: Contender,
  samples: readonly Measured[],
  failure: string | undefined,
): Outcome {
  const median = (of: (sample: Measured) => number) => spreadOf(samples.map(of)).median;
  const names = Object.keys(samples[0]?.counts ?? {});
  return {
    contender: name,
    side,
    value: spreadOf(samples.map(({ value }) => value)),
    turns: samples.length,
    cpuUsPerWork: median(({ cpuUs: used, work }) => (work > 0 ? used / work : NaN)),
    serverConnections: Math.max(0, ...samples.map(({ serverConnections }) => serverConnections)),
    usualConnections: median(({ usualConnections }) => usualConnections),
    p50Ms: median(({ p50Ms = NaN }) => p50Ms),
    p95Ms: median(({ p95Ms = NaN }) => p95Ms),
    p99Ms: median(({ p99Ms = NaN }) => p99Ms),
    maxMs: spreadOf(samples.map(({ maxMs = NaN }) => maxMs)).max,
    counts: Object.fromEntries(
      names.map((each) => [each, median(({ counts }) => counts?.[each] ?? NaN)]),
    ),
    failure,
  };
}

function judge(
  { better, goals }: Row,
  outcomes: readonly Outcome[],
): Pick<RowResult, 'best' | 'ratio' | 'goals'> {
  const { ours, best } = rivalsOf(better, outcomes);
  const [mine, theirs] = [ours?.value.median ?? NaN, best?.value.median ?? NaN];
  return {
    best: best?.contender,
    ratio: better === 'more' ? mine / theirs : theirs / mine,
    goals: goals.map(({ measure: figureOf, ...goal }) => {
      const figure = figureOf({ ours, best });
      return { ...goal, figure, verdict: verdictOf(goal, figure) };
    }),
  };
}

function rivalsOf(better: Row['better'], outcomes: readonly Outcome[]): Outcomes {
  const ranked = outcomes
    .filter(({ failure, turns }) => failure === undefined && turns > 0)
    .toSorted((a, b) => (b.value.median - a.value.median) * (better === 'more' ? 1 : -1));
  const first = (wanted: Side) => ranked.find(({ side }) => side === wanted);
  return { ours: first('ours'), best: first('theirs') };
}
