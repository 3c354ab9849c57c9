/**
 * How many clients the process can hold: each needs a file descriptor, and so do server
 * connections, health checks and files, which must not starve.
 * Source: proc(5), /proc/self/limits; systems without it are taken at their word.
 */
import { readFileSync } from 'node:fs';

/** Kept back for server connections, the metrics port, the bus and files, at least. */
const RESERVED_MIN = 128;
/** And this share of all. */
const RESERVED_SHARE = 0.2;

/** The soft limit of open files; undefined where it cannot be known or does not exist. */
export function openFilesMax(limits: () => string = readLimits): number | undefined {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(limits());
    return found === null ? undefined : Number(found[1]);
  } catch {
    return undefined;
  }
}

/** As many clients as `wanted`, or as fit into the limit with enough kept back. */
export function clientsThatFit(wanted: number, filesMax: number | undefined): number {
  if (filesMax === undefined) return wanted;
  const reserved = Math.max(RESERVED_MIN, Math.ceil(filesMax * RESERVED_SHARE));
  return Math.max(1, Math.min(wanted, filesMax - reserved));
}

function readLimits(): string {
  return readFileSync('/proc/self/limits', 'utf8');
}
