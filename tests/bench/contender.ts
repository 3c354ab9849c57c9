/**
 * Who takes part in a comparison: where it listens, and what its processes have used so far.
 * Source: proc(5): /proc/PID/stat, /proc/PID/smaps_rollup, /proc/PID/task/TID/children.
 */
import { readFileSync, readdirSync } from 'node:fs';

export interface Contender {
  readonly name: string;
  readonly side: Side;
  readonly host: string;
  readonly port: number;
  /** The process of which CPU and memory are counted, with its children; none for the server. */
  readonly pid: number | undefined;
  /** Each has a user of its own on the server, by which the server counts its connections. */
  readonly login: Login;
  /** More than one where clients belong to several tenants; then `login` is the first. */
  readonly logins?: readonly Login[];
  /** Where it cannot prepare statements: it takes the same load by the simple protocol. */
  readonly protocol?: 'simple';
}

/** `theirs` is compared at the best of its pool sizes; `variant` is ours in another way. */
export type Side = 'ours' | 'theirs' | 'direct' | 'variant';

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** The users by which the server knows its connections. */
export function usersOf({ login, logins = [login] }: Contender): readonly string[] {
  return logins.map(({ user }) => user);
}

/** Ticks in a second, USER_HZ: 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** User and system time of a process and its children so far, in microseconds. */
export function cpuUs(pid: number): number {
  return (
    (withChildren(pid).reduce((sum, each) => sum + cpuTicks(each), 0) * 1e6) / TICKS_PER_SECOND
  );
}

/** Memory of its own (private, not shared with others) of a process and its children, in bytes. */
export function privateBytes(pid: number): number {
  return withChildren(pid).reduce((sum, each) => sum + privateBytesOf(each), 0);
}

function withChildren(pid: number): number[] {
  const children = readTasks(pid).flatMap((task) =>
    readText(`/proc/${pid}/task/${task}/children`).split(' '),
  );
  const known = children.filter((text) => text !== '').map(Number);
  return [pid, ...known.flatMap(withChildren)];
}

function readTasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Fields 14 and 15 (utime, stime), counted behind the command's name, which may hold blanks. */
function cpuTicks(pid: number): number {
  const stat = readText(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

function privateBytesOf(pid: number): number {
  const rollup = readText(`/proc/${pid}/smaps_rollup`);
  const kilobytes = [...rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)];
  return kilobytes.reduce((sum, [, amount]) => sum + Number(amount), 0) * 1024;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process has ended.
    return '';
  }
}
