/** The small rooms of the shared lane: queue, line, allowance, times. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../../../../../tests/support/manual-clock.ts';
import { readTextEffects } from '../sql/effects.ts';
import type { TextEffects } from '../sql/effects.ts';
import { BatchQueue } from './batch-queue.ts';
import type { BatchRequest } from './batch-request.ts';
import { LaneLine } from './lane-line.ts';
import { ResendAllowance } from './resend-allowance.ts';
import { ServerStopwatch } from './server-stopwatch.ts';
import { ServiceTimes } from './service-times.ts';
import { roundTrip, SharedBatch } from './shared-batch.ts';

const newClass = () => readTextEffects('SELECT 1', { standardConformingStrings: true });

describe('BatchQueue', () => {
  const costing = (expectedUs: number) =>
    new SharedBatch({
      client: undefined,
      bytes: Buffer.alloc(0),
      effects: undefined,
      expectedUs,
      injectedReplies: 0,
      statement: undefined,
    });

  it('has 1,000 batches in order, and their times summed up', () => {
    const queue = new BatchQueue();
    const batches = Array.from({ length: 1_000 }, (_, at) => costing(at));
    for (const batch of batches) queue.push(batch);
    assert.equal(queue.backlogUs, 499_500);
    assert.deepEqual(queue.behindHead(), batches.slice(1));
    for (const [at, batch] of batches.entries()) {
      assert.equal(queue.head, batch);
      assert.equal(queue.depth, 1_000 - at);
      queue.shift();
    }
    assert.deepEqual([queue.head, queue.depth, queue.backlogUs], [undefined, 0, 0]);
  });

  it('gives all away at once', () => {
    const queue = new BatchQueue();
    const batches = [roundTrip(), costing(5), costing(6)];
    for (const batch of batches) queue.push(batch);
    queue.shift();
    assert.deepEqual(queue.takeAll(), batches.slice(1));
    assert.deepEqual([queue.depth, queue.backlogUs], [0, 0]);
  });
});

describe('ResendAllowance', () => {
  it('allows 128 at once, and then one of ten where the ratio is a tenth', () => {
    const allowance = new ResendAllowance();
    for (let i = 0; i < 128; i++) assert.ok(allowance.take());
    assert.equal(allowance.take(), false);
    for (let i = 0; i < 9; i++) allowance.earned(1 / 8);
    assert.equal(allowance.take(), true);
    assert.equal(allowance.take(), false);
  });

  it('saves up no more than 128', () => {
    const allowance = new ResendAllowance();
    for (let i = 0; i < 10_000; i++) allowance.earned(1);
    let taken = 0;
    while (allowance.take()) taken += 1;
    assert.equal(taken, 128);
  });
});

describe('ServerStopwatch', () => {
  it('counts what was waited, and what was passed busily but for the last 10 ms', async () => {
    const clock = new ManualClock();
    const work = new ServerStopwatch(clock);
    work.start();
    await clock.pass(3);
    assert.equal(work.elapsedUs, 3_000);
    clock.stall(8);
    assert.equal(work.elapsedUs, 3_000, 'the answer may have lain there for 8 ms');
    clock.stall(12);
    assert.equal(work.elapsedUs, 13_000);
    work.start();
    assert.equal(work.elapsedUs, 0);
  });
});

describe('ServiceTimes', () => {
  const learn = (times: ServiceTimes, effects: TextEffects, us: number) =>
    times.learnTogether([{ effects }], us);

  it('follows what is faster quickly, and what is slower slowly', () => {
    const times = new ServiceTimes();
    const effects = newClass();
    learn(times, effects, 100);
    assert.equal(times.expectedUs(effects), 100);
    learn(times, effects, 20);
    assert.equal(times.expectedUs(effects), 80);
    learn(times, effects, 1_000_000);
    assert.equal(times.expectedUs(effects), 80 + (640 - 80) / 16);
  });

  it('believes at once that a class is faster when it ran alone', () => {
    const times = new ServiceTimes();
    const effects = newClass();
    learn(times, effects, 1_000);
    times.learnAlone(effects, 100);
    assert.equal(times.expectedUs(effects), 100);
    times.learnAlone(effects, 0);
    assert.equal(times.expectedUs(effects), 20);
  });

  it('takes 30 answers that a standstill of the server delayed for one that was slow', () => {
    const times = new ServiceTimes();
    const effects = newClass();
    learn(times, effects, 20);
    times.learnTogether(
      Array.from({ length: 30 }, () => ({ effects })),
      90_000,
    );
    assert.equal(times.expectedUs(effects), 20 + (160 - 20) / 16);
  });

  it('believes the first of a class where it was quick or very slow, else the third', () => {
    const times = new ServiceTimes();
    const [quick, slow, cold] = [newClass(), newClass(), newClass()];
    times.learnAlone(quick, 150);
    times.learnAlone(slow, 50_000);
    assert.deepEqual([times.expectedUs(quick), times.expectedUs(slow)], [150, 50_000]);
    times.learnAlone(cold, 9_000);
    times.learnAlone(cold, 3_000);
    assert.equal(times.expectedUs(cold), undefined);
    times.learnAlone(cold, 2_000);
    assert.equal(times.expectedUs(cold), 2_000);
  });

  it('has the next of a class measured as soon as the first was, while it needs more', () => {
    const times = new ServiceTimes();
    const effects = newClass();
    times.measuring(effects, 100);
    assert.equal(times.isBeingMeasured(effects, 101, 500), true);
    times.learnAlone(effects, 2_000);
    assert.equal(times.isBeingMeasured(effects, 101, 500), false);
  });

  it('has one of a class measured at a time, for as long as that may take', () => {
    const times = new ServiceTimes();
    const effects = newClass();
    times.measuring(effects, 100);
    assert.equal(times.isBeingMeasured(effects, 149, 50), true);
    assert.equal(times.isBeingMeasured(effects, 150, 50), false);
    assert.equal(times.isBeingMeasured(newClass(), 149, 50), false);
  });
});

describe('LaneLine', () => {
  const waiting = (key: string) => ({ vector: { key } }) as unknown as BatchRequest;

  it('serves in order of arrival, and keeps who has to stay where they are', () => {
    const line = new LaneLine();
    const [a, b, c] = [waiting('utc'), waiting('tokyo'), waiting('utc')];
    for (const request of [a, b, c]) line.join({ request, sinceMs: 100 });
    const seen: BatchRequest[] = [];
    line.serve(({ request }) => {
      seen.push(request);
      return request === b ? 'left' : 'stays';
    });
    assert.deepEqual(seen, [a, b, c]);
    assert.deepEqual([line.isBefore('utc'), line.isBefore('tokyo')], [true, false]);
    line.leave(a);
    line.leave(b);
    assert.equal(line.length, 1);
    line.leave(c);
    assert.deepEqual([line.length, line.isBefore('utc')], [0, false]);
  });

  it('tries no more than 32 that cannot be helped, and loses none of those behind', () => {
    const line = new LaneLine();
    for (let i = 0; i < 100; i++) line.join({ request: waiting('utc'), sinceMs: 100 });
    let tried = 0;
    line.serve(() => {
      tried += 1;
      return 'stays';
    });
    assert.deepEqual([tried, line.length], [32, 100]);
  });

  it('lets go of those who have waited for long, and of no other', () => {
    const line = new LaneLine();
    const requests = [10, 20, 30].map((sinceMs) => {
      const request = waiting('utc');
      line.join({ request, sinceMs });
      return request;
    });
    assert.deepEqual(line.takeLate(9), []);
    assert.deepEqual(line.takeLate(20), requests.slice(0, 2));
    const left: number[] = [];
    line.serve(({ sinceMs }) => {
      left.push(sinceMs);
      return 'left';
    });
    assert.deepEqual([left, line.length, line.isBefore('utc')], [[30], 0, false]);
  });

  it('loses and serves nobody twice who comes or leaves while it serves', () => {
    const line = new LaneLine();
    const [a, b, c, d] = [waiting('utc'), waiting('utc'), waiting('utc'), waiting('utc')];
    for (const request of [a, b, c]) line.join({ request, sinceMs: 100 });
    line.serve(({ request }) => {
      if (request === b) {
        line.leave(a);
        line.leave(c);
        line.join({ request: d, sinceMs: 200 });
      }
      return 'stays';
    });
    const seen: BatchRequest[] = [];
    line.serve(({ request }) => {
      seen.push(request);
      return 'left';
    });
    assert.deepEqual([seen, line.length, line.isBefore('utc')], [[b, d], 0, false]);
  });

  it('keeps the order of arrival through thousands that come and go', () => {
    const line = new LaneLine();
    const seen: number[] = [];
    for (let sinceMs = 0; sinceMs < 5_000; sinceMs++) {
      line.join({ request: waiting('utc'), sinceMs });
      let served = 0;
      line.serve((each) => {
        if (sinceMs % 3 === 0 || served++ > 0) return 'stays';
        seen.push(each.sinceMs);
        return 'left';
      });
    }
    while (line.length > 0) {
      line.serve((each) => {
        seen.push(each.sinceMs);
        return 'left';
      });
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 5_000 }, (_, at) => at),
    );
  });

  it('has room for 10,000', () => {
    const line = new LaneLine();
    for (let i = 0; i < 10_000; i++) line.join({ request: waiting('utc'), sinceMs: 1 });
    assert.equal(line.hasRoom, false);
  });
});
