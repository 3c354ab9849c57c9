/**
 * Tells one process from every other, a later one with the same pid included.
 * Source: proc_pid_stat(5), field 22 `starttime`; elsewhere than on Linux `ps -o lstart=`.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface ProcessMark {
  readonly pid: number;
  /** When it began, in the words of this system: compare only for equality. */
  readonly startedAt: string;
}

const UNKNOWN = 'unknown';

export function ownMark(): ProcessMark {
  return { pid: process.pid, startedAt: startOf(process.pid) ?? UNKNOWN };
}

/** Whether the process that left `mark` still runs on this machine. */
export function isAlive(mark: ProcessMark): boolean {
  // Where start times cannot be read, a process of that pid has to count as the same one.
  if (mark.startedAt === UNKNOWN) return exists(mark.pid);
  return startOf(mark.pid) === mark.startedAt;
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function startOf(pid: number): string | undefined {
  return process.platform === 'linux' ? startFromProc(pid) : startFromPs(pid);
}

function startFromProc(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in parentheses and may hold anything, also spaces and ")".
    const afterName = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const state = afterName[0];
    // A zombie has ended; only its parent does not know yet.
    if (state === 'Z' || state === 'X') return undefined;
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}/${afterName[19] ?? ''}`;
  } catch {
    return undefined;
  }
}

function startFromPs(pid: number): string | undefined {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}
