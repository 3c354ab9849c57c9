/** For tests only: a pool as telemetry sees it, whose numbers a test can change. */
import type { PoolCounts, PoolReading, ReadablePool } from './pool-tally.ts';

type Numbers = Partial<Omit<PoolReading, 'counters'>> & { counters?: Partial<PoolCounts> };

export class FakePool implements ReadablePool {
  readonly identity: ReadablePool['identity'];
  numbers: Numbers;

  constructor(
    tenant: string,
    numbers: Numbers = {},
    identity: Partial<ReadablePool['identity']> = {},
  ) {
    this.identity = {
      tenant,
      protocol: 'postgres',
      database: `${tenant}_db`,
      user: 'app',
      ...identity,
    };
    this.numbers = numbers;
  }

  stats(): PoolReading {
    const { counters, ...rest } = this.numbers;
    return {
      state: 'open',
      active: 0,
      idle: 0,
      kept: 0,
      total: 0,
      waiting: 0,
      longestWaitMs: 0,
      ...rest,
      counters: {
        exhausted: 0,
        acquireTimeouts: 0,
        queueFull: 0,
        dialFailures: 0,
        waits: {},
        closes: {},
        ...counters,
      },
    };
  }
}
