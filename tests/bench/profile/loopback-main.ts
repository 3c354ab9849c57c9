/**
 * Reads and writes connections that are its files, and prints what that took; started by
 * loopback.ts. `alone`: 3 and 4 are the ends of one. Who waits for the other has its end as
 * standard input, which blocks; who `wakes` the other has it as 3, which does not, and never
 * sleeps itself.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { percentile } from '../statistics.ts';

const CALLS = 100_000;
const WARM_UP = 10_000;
const FALLS_ASLEEP_NS = 20_000n;
/** About a short question or a short answer. */
const MESSAGE = Buffer.alloc(100, 'x');
const room = Buffer.alloc(64 * 1024);

const ROLES: Readonly<Record<string, () => unknown>> = {
  alone: both,
  calls: () => inTurns('writes first'),
  answers: () => inTurns('reads first'),
  wakes: waking,
  'is woken': () => inTurns('reads first'),
};
process.stdout.write(JSON.stringify(ROLES[process.argv[2] ?? '']?.()));

/** Each message is there when it is read: on loopback, writing delivers. */
function both(): { readonly reads: number; readonly writes: number } {
  const nowhere = openSync('/dev/null', 'r+');
  const nothing = {
    writes: averageUs(() => writeSync(nowhere, MESSAGE)),
    reads: averageUs(() => readSync(nowhere, room)),
  };
  closeSync(nowhere);
  const pair = averageUs(() => {
    writeSync(3, MESSAGE);
    readSync(4, room);
  });
  // Many small messages written, read at once: the reading is one call among many.
  const batch = 100;
  const burst = averageUs(() => {
    for (let count = 0; count < batch; count += 1) writeSync(3, MESSAGE);
    for (let read = 0; read < batch * MESSAGE.length;) read += readSync(4, room);
  }, CALLS / batch);
  const writes = burst / batch;
  return { reads: pair - writes - nothing.reads, writes: writes - nothing.writes };
}

function inTurns(order: 'writes first' | 'reads first'): number {
  const round = () => {
    writeSync(0, MESSAGE);
    readSync(0, room);
  };
  if (order === 'writes first') return averageUs(round);
  readSync(0, room);
  const took = averageUs(round, CALLS - 1);
  writeSync(0, MESSAGE);
  return took;
}

/** What writing alone takes: the other one answers, and is asleep again before the next. */
function waking(): number {
  const timesUs = new Float64Array(WARM_UP + CALLS);
  for (let count = 0; count < timesUs.length; count += 1) {
    sleepsAgain();
    const beganNs = process.hrtime.bigint();
    writeSync(3, MESSAGE);
    timesUs[count] = Number(process.hrtime.bigint() - beganNs) / 1_000;
    while (!answered());
  }
  // Not the mean: what else runs on this core would be in it.
  return percentile(timesUs.subarray(WARM_UP).sort(), 0.5);
}

function answered(): boolean {
  try {
    return readSync(3, room) > 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return false;
    throw error;
  }
}

function sleepsAgain(): void {
  const untilNs = process.hrtime.bigint() + FALLS_ASLEEP_NS;
  while (process.hrtime.bigint() < untilNs);
}

function averageUs(act: () => void, times = CALLS): number {
  for (let count = 0; count < Math.min(times, WARM_UP); count += 1) act();
  const before = process.cpuUsage();
  for (let count = 0; count < times; count += 1) act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / times;
}
