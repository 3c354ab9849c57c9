/** What was measured, as JSON to keep: with the machine, the versions, and one result for a row. */
import { cpus, release, totalmem } from 'node:os';
import type { Outcome, RowResult } from './comparison.ts';

export interface Machine {
  readonly processor: string;
  readonly cores: number;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly node: string;
  readonly postgresql: string;
  readonly pgbouncer: string;
  /** Processes that wanted to run in the minute before: how much others disturbed. */
  readonly loadBefore: number;
}

/** A row's result with what it was measured by: reports are made of several runs. */
export interface KeptResult extends Omit<RowResult, 'row'> {
  readonly row: string;
  readonly title: string;
  readonly unit: string;
  readonly better: 'more' | 'less';
  readonly seconds: number;
  readonly measuredAt: string;
}

export interface Report {
  readonly machine: Machine;
  readonly results: readonly KeptResult[];
}

type Given = Pick<Machine, 'postgresql' | 'pgbouncer' | 'loadBefore'>;

export function machineWith(given: Given): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    ...given,
  };
}

export function keep(result: RowResult, seconds: number, now: Date): KeptResult {
  const { row, ...rest } = result;
  const { key, title, unit, better } = row;
  const measuredAt = now.toISOString().slice(0, 16);
  return { row: key, title, unit, better, seconds, measuredAt, ...rest };
}

/** `report` with newer results in place of older ones, in the order of `keys`. */
export function merged(
  former: Report | undefined,
  report: Report,
  keys: readonly string[],
): Report {
  const all = [...report.results, ...(former?.results ?? [])];
  const results = keys.flatMap((key) => all.find(({ row }) => row === key) ?? []);
  return { machine: report.machine, results };
}

/** What cannot be told is null there, since JSON has no NaN. */
export function jsonOf(report: Report): string {
  return `${JSON.stringify(report, rounded, 2)}\n`;
}

export function reportFrom(json: string): Report {
  return JSON.parse(json, (_key, each: unknown) => (each === null ? NaN : each)) as Report;
}

const SIGNIFICANT_DIGITS = 4;

function rounded(_key: string, each: unknown): unknown {
  if (typeof each !== 'number' || Number.isInteger(each)) return each;
  return Number.isFinite(each) ? Number(each.toPrecision(SIGNIFICANT_DIGITS)) : null;
}

/** Ours by this one, or the inverse where less is better: above 1, ours is ahead of it. */
export function aheadOf(result: Pick<RowResult, 'outcomes'> & Better, other: Outcome): number {
  const ours = result.outcomes.find(({ side }) => side === 'ours')?.value.median ?? NaN;
  const theirs = other.value.median;
  return result.better === 'more' ? ours / theirs : theirs / ours;
}

interface Better {
  readonly better: 'more' | 'less';
}
