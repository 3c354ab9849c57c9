/** A program that opens the database it is given, and says how that went. */
import { controlErrors } from '@dbbouncer/control-plane/errors.ts';
import { openStore } from './core-harness.ts';

export const OPEN_STORE = import.meta.filename;

if (import.meta.main) {
  const [, , file = ''] = process.argv;
  try {
    openStore(file).close();
    process.stdout.write('opened\n');
  } catch (error) {
    process.stdout.write(`${controlErrors.is(error) ? error.code : String(error)}\n`);
  }
}
