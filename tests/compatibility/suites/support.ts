/**
 * Small things that the suites share.
 */

/** 0, 1, … `count` - 1 */
export function upTo(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i);
}
