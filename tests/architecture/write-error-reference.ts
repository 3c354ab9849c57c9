/** Writes ERRORS.md anew: node tests/architecture/write-error-reference.ts */
import { writeFileSync } from 'node:fs';
import { ERROR_REFERENCE, errorReference } from './error-reference.ts';

writeFileSync(ERROR_REFERENCE, errorReference());
