/**
 * A message whose bytes are spelled independently of the codec; the suites of this folder share
 * them.
 */
export interface Sample {
  readonly name: string;
  readonly bytes: Buffer;
  readonly encoded: Buffer;
  /** Absent for messages that have nothing to decode. */
  readonly decode?: (buffer: Buffer, start?: number, end?: number) => unknown;
  readonly decoded?: unknown;
  /**
   * `exact`: no shorter and no longer body is this message. `open`: it ends with bytes of any
   * number.
   */
  readonly shape: 'exact' | 'open';
}
