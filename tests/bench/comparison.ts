/**
 * Runs one row for all its contenders in turns (A B C A B C …), so that a busy minute of the
 * machine hits all of them, and sums the repeats up.
 */
import { cpuUs } from './contender.ts';
import type { Contender } from './contender.ts';
import type { Row, RowContext, Sample } from './row.ts';
import { spreadOf } from './statistics.ts';
import type { Spread } from './statistics.ts';

export interface Outcome {
  readonly contender: string;
  readonly side: Contender['side'];
  readonly value: Spread;
  /** Of the pooler, for one unit of work; NaN where there is no pooler. */
  readonly cpuUsPerWork: number;
  /** The most that the server counted at one moment. */
  readonly serverConnections: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
  /** Of the repeats that did not end well, the words of the first. */
  readonly failure: string | undefined;
}

export interface RowResult {
  readonly row: Row;
  readonly outcomes: readonly Outcome[];
  /** Ours to the best of theirs, or its inverse where less is better: above 1 is ahead. */
  readonly ratio: number;
}

export interface ComparisonOptions {
  readonly context: RowContext;
  readonly repeats: number;
  /** Server connections of a user at this moment. */
  readonly countConnections: (user: string) => Promise<number>;
  readonly onProgress: (text: string) => void;
}

interface Measured extends Sample {
  readonly cpuUs: number;
  readonly serverConnections: number;
}

const COUNT_INTERVAL_MS = 500;

export async function compare(
  row: Row,
  contenders: readonly Contender[],
  options: ComparisonOptions,
): Promise<RowResult> {
  const samples = new Map<Contender, Measured[]>(contenders.map((each) => [each, []]));
  const failures = new Map<Contender, string>();
  // The first turn warms caches, plans and the compiler, and is not counted.
  const [first, last] = row.turns === 'once' ? [1, 1] : [0, options.repeats];
  for (let turn = first; turn <= last; turn += 1) {
    for (const contender of contenders) {
      if (failures.has(contender)) continue;
      options.onProgress(`${row.title}: ${turn === 0 ? 'warm-up' : turn}, ${contender.name}`);
      try {
        const measured = await measure(row, contender, options);
        if (turn > 0) samples.get(contender)?.push(measured);
      } catch (error) {
        failures.set(contender, error instanceof Error ? error.message : String(error));
      }
    }
  }
  const outcomes = contenders.map((each) =>
    outcomeOf(each, samples.get(each) ?? [], failures.get(each)),
  );
  return { row, outcomes, ratio: ratioOf(row, outcomes) };
}

async function measure(
  row: Row,
  contender: Contender,
  { context, countConnections }: ComparisonOptions,
): Promise<Measured> {
  const { pid } = contender;
  let most = 0;
  const count = async () => {
    most = Math.max(most, await countConnections(contender.login.user));
  };
  const timer = setInterval(() => void count(), COUNT_INTERVAL_MS);
  const before = pid === undefined ? NaN : cpuUs(pid);
  try {
    const sample = await row.run(contender, context);
    const used = pid === undefined ? NaN : cpuUs(pid) - before;
    return { ...sample, cpuUs: used, serverConnections: most };
  } finally {
    clearInterval(timer);
  }
}

function outcomeOf(
  { name, side }: Contender,
  samples: readonly Measured[],
  failure: string | undefined,
): Outcome {
  const median = (of: (sample: Measured) => number) => spreadOf(samples.map(of)).median;
  return {
    contender: name,
    side,
    value: spreadOf(samples.map(({ value }) => value)),
    cpuUsPerWork: median(({ cpuUs: used, work }) => (work > 0 ? used / work : NaN)),
    serverConnections: Math.max(0, ...samples.map(({ serverConnections }) => serverConnections)),
    p50Ms: median(({ p50Ms }) => p50Ms),
    p95Ms: median(({ p95Ms }) => p95Ms),
    p99Ms: median(({ p99Ms }) => p99Ms),
    failure,
  };
}

function ratioOf(row: Row, outcomes: readonly Outcome[]): number {
  const values = (side: Contender['side']) =>
    outcomes
      .filter((outcome) => outcome.side === side && outcome.failure === undefined)
      .map(({ value }) => value.median);
  const [ours, theirs] = [values('ours'), values('theirs')];
  if (ours.length === 0 || theirs.length === 0) return NaN;
  return row.better === 'more'
    ? Math.max(...ours) / Math.max(...theirs)
    : Math.min(...theirs) / Math.min(...ours);
}
