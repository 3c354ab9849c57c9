/**
 * How an import gets the text of a file, and how it is told that it does not. Leaves: reading to
 * config-import.ts.
 */
import type { Findings, Spot } from './findings.ts';

/**
 * The text of a file, by its path as it is written there.
 * @throws UnreadableText; Error that says in words why the file cannot be read, without its name.
 */
export type ReadText = (path: string, from: string | undefined) => { path: string; text: string };

/** Something in a file is no text. */
export class UnreadableText extends Error {
  override readonly name = 'UnreadableText';
  readonly spot: Spot;

  constructor(spot: Spot, message: string) {
    super(message);
    this.spot = spot;
  }
}

/** @param named where the file is named. */
export function faultOfFile(findings: Findings, error: unknown, path: string, named: Spot): void {
  if (error instanceof UnreadableText) findings.fault(error.spot, error.message);
  else findings.fault(named, `${path} cannot be read: ${(error as Error).message}`);
}
