/**
 * What the metrics page says of the buffer pool.
 * Leaves: counting to buffers/, the page to metrics.ts.
 */
import type { BufferPool } from '../buffers/buffer-pool.ts';

export type ReadBuffers = Pick<BufferPool, 'counts' | 'freeBytes' | 'takenBytes'>;

interface BufferMetric {
  readonly type: 'counter' | 'gauge';
  readonly name: string;
  readonly help: string;
  readonly read: () => readonly { labels: Readonly<Record<string, string>>; value: number }[];
}

const COUNTERS = [
  ['gets', 'dbbouncer_buffer_pool_gets_total', 'Buffers that were taken from the pool'],
  ['returns', 'dbbouncer_buffer_pool_returns_total', 'Buffers that were given back to it'],
  [
    'discards',
    'dbbouncer_buffer_pool_discards_total',
    'Buffers that were given up instead: too large, too many, or still read by somebody',
  ],
  ['misses', 'dbbouncer_buffer_pool_misses_total', 'Buffers taken that had to be allocated'],
] as const;

/** There is one pool; the label is there for queries that know of several. */
const LABELS = Object.freeze({ pool: 'buffer' });

export function bufferMetrics(buffers: ReadBuffers): readonly BufferMetric[] {
  const counters = COUNTERS.map(([field, name, help]) => ({
    type: 'counter' as const,
    name,
    help,
    read: () => [{ labels: LABELS, value: buffers.counts[field] }],
  }));
  const bytes: BufferMetric = {
    type: 'gauge',
    name: 'dbbouncer_buffer_pool_bytes',
    help: 'Memory of the buffer pool, by whether it is in use',
    read: () => [
      { labels: { ...LABELS, state: 'taken' }, value: buffers.takenBytes },
      { labels: { ...LABELS, state: 'free' }, value: buffers.freeBytes },
    ],
  };
  return [...counters, bytes];
}
