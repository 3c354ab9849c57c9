/** What a process holds in memory. Source: proc(5), /proc/[pid]/status. */
import { readFileSync } from 'node:fs';

const BYTES_PER_KIB = 1024;
const MEGABYTE = 1_000_000;

/** In megabytes: now, and the most it ever was; NaN once it has ended. */
export function residentMemory(pid: number): { readonly now: number; readonly peak: number } {
  const status = statusOf(pid);
  const read = (name: string) => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
    return (Number(kib) * BYTES_PER_KIB) / MEGABYTE;
  };
  return { now: read('VmRSS'), peak: read('VmHWM') };
}

function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}
