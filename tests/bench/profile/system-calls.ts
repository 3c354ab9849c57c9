/**
 * How many system calls a process has made so far, as the kernel counts them anyway: nothing is
 * slowed down by looking.
 * Source: proc(5): /proc/PID/io (syscr, syscw: read and write and their vectored forms),
 * /proc/PID/task/TID/status (voluntary_ctxt_switches).
 */
import { readdirSync, readFileSync } from 'node:fs';

export interface Calls {
  readonly reads: number;
  readonly writes: number;
  /** Times that the main thread had nothing to do and waited in epoll. */
  readonly sleeps: number;
}

export function callsOf(pid: number): Calls {
  const [main = pid] = readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .toSorted((a, b) => a - b);
  const io = readFileSync(`/proc/${pid}/io`, 'utf8');
  const status = readFileSync(`/proc/${pid}/task/${main}/status`, 'utf8');
  return {
    reads: numberAfter(io, 'syscr'),
    writes: numberAfter(io, 'syscw'),
    sleeps: numberAfter(status, 'voluntary_ctxt_switches'),
  };
}

function numberAfter(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? NaN);
}
