/**
 * One PostgreSQL template for all test files of a run: dozens of them start a server, and each
 * would make the same template first. Loaded into the process of every file, before the file.
 */
import {
  borrowTemplate,
  installPostgres,
  isRoot,
} from '@dbbouncer/cli/demo/postgres-installation.ts';
import { createScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';
import type { ScratchFolder } from '@dbbouncer/cli/demo/scratch-folder.ts';

const VARIABLE = 'TESTS_POSTGRES_TEMPLATE';
const template = process.env[VARIABLE];
if (template !== undefined) borrowTemplate(template);

/** For the processes that this one starts from now on; to be removed when they have ended. */
export async function lendTemplate(): Promise<ScratchFolder> {
  const scratch = await createScratchFolder(isRoot() ? 'everyone' : 'owner');
  const installation = await installPostgres(scratch);
  process.env[VARIABLE] = installation.template;
  return scratch;
}
