/** Where the text that a command makes goes. */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

/**
 * To `file`, for its owner alone, which must not be there; without one to standard output.
 * @throws Error when it is there already.
 */
export function putOut(text: string, file: string | undefined, cwd: string): void {
  if (file === undefined) {
    process.stdout.write(text);
    return;
  }
  try {
    writeFileSync(resolve(cwd, file), text, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new Error(`${file} is there already; choose another name`, { cause: error });
  }
}
