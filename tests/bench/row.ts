/**
 * One line of the comparison: a load, and what it comes to for one contender.
 */
import type { Contender } from './contender.ts';
import type { Programs } from '../support/programs.ts';

export interface Sample {
  /** What the row is about: transactions, connects or megabytes in a second, or bytes. */
  readonly value: number;
  /** Units of work done, by which CPU is shared out; 0 where that says nothing. */
  readonly work: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly p99Ms: number;
}

export interface RowContext {
  readonly programs: Programs;
  readonly seconds: number;
}

export interface Row {
  /** For the command line. */
  readonly key: string;
  readonly title: string;
  readonly unit: 'tps' | 'connects/s' | 'MB/s' | 'bytes/client' | 'ms p99' | 'ms p95';
  readonly better: 'more' | 'less';
  /** What a ratio is to reach; none where the row only tells. */
  readonly bar?: number;
  /** Whether servers without a pooler between take part. */
  readonly direct: 'beside' | 'absent';
  /** PgBouncer in which mode; prepared statements of old versions need sessions. */
  readonly needs: 'transaction' | 'prepared';
  /** `once`: what is measured happens only the first time, such as memory being taken. */
  readonly turns: 'repeated' | 'once';
  run(contender: Contender, context: RowContext): Promise<Sample>;
}
