/**
 * One line of the comparison: a load, what it comes to for one contender, and what is to be
 * reached.
 */
import type { Contender } from './contender.ts';
import type { Goal } from './goals.ts';
import type { Programs } from '../support/programs.ts';
import type { Summary } from './statistics.ts';

export interface Sample extends Partial<Summary> {
  /** What the row is about: transactions, connects or megabytes in a second, bytes, or a time. */
  readonly value: number;
  /** Units of work done, by which CPU is shared out; 0 where that says nothing. */
  readonly work: number;
  /** Of the pooler for that work; of the whole run when not given. */
  readonly cpuUs?: number;
  /** What else was counted, by names that read well: `logins p95 ms`. */
  readonly counts?: Readonly<Record<string, number>>;
}

export interface RowContext {
  readonly programs: Programs;
  readonly seconds: number;
}

export interface Row {
  /** For the command line. */
  readonly key: string;
  readonly title: string;
  readonly unit: 'tps' | 'connects/s' | 'MB/s' | 'bytes/client' | 'ms p99' | 'ms p95' | 'clients';
  readonly better: 'more' | 'less';
  readonly goals: readonly Goal[];
  /** Whether servers without a pooler between take part. */
  readonly direct: 'beside' | 'absent';
  /** `tenants`: fifty databases on a server of a hundred connections. */
  readonly stage: 'common' | 'tenants';
  /** PgBouncer in which mode; prepared statements of old versions need sessions. */
  readonly needs: 'transaction' | 'prepared';
  /** `once`: what is measured happens only the first time, such as memory being taken. */
  readonly turns: 'repeated' | 'once';
  run(contender: Contender, context: RowContext): Promise<Sample>;
}
