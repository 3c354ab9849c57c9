/**
 * Random bytes for logins. The system is asked for many at a time: asking costs more than a login's
 * HMACs, whatever it is for.
 * Owns: that no byte is given out twice, nor kept here once it is.
 */
import { randomFillSync } from 'node:crypto';

const RESERVE_BYTES = 4_096;

const reserve = Buffer.allocUnsafeSlow(RESERVE_BYTES);
let taken = RESERVE_BYTES;

/** `count` bytes that nobody has seen, for the caller alone; at most 4,096. */
export function unseenBytes(count: number): Buffer {
  if (taken + count > RESERVE_BYTES) {
    randomFillSync(reserve);
    taken = 0;
  }
  const bytes = Buffer.from(reserve.subarray(taken, taken + count));
  reserve.fill(0, taken, taken + count);
  taken += count;
  return bytes;
}
