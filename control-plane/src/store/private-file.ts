/** Files only their owner may read. */
import { chmodSync, closeSync, openSync } from 'node:fs';

/**
 * Gives the file mode 0600, making it first when it is not there, so that it never had another one.
 */
export function makePrivate(file: string): void {
  closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
}
