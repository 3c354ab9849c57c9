/** Milliseconds that two processes of one machine agree on. Source: clock_gettime(2), MONOTONIC. */

const NS_PER_MS = 1e6;

export function machineMs(): number {
  return Number(process.hrtime.bigint()) / NS_PER_MS;
}
