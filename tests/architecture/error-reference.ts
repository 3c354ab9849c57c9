/**
 * ERRORS.md as it follows from the catalogues: every code with what a client reads, who has to act
 * and whether to try again.
 */
import { join } from 'node:path';
import { apiErrors } from '@dbbouncer/control-plane/api/api-errors.ts';
import { HTTP_STATUS } from '@dbbouncer/control-plane/api/problem.ts';
import { controlErrors } from '@dbbouncer/control-plane/errors.ts';
import { proxyErrors } from '@dbbouncer/data-plane/errors.ts';
import { SQLSTATE_BY_CODE } from '@dbbouncer/data-plane/session/client-error.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { ErrorKind, ErrorSpec } from '@dbbouncer/shared/kernel/errors.ts';
import { ROOT } from './source-tree.ts';

export const ERROR_REFERENCE = join(ROOT, 'ERRORS.md');

type Specs = Readonly<Record<string, ErrorSpec>>;

/** Every catalogue, by the file that holds it. */
export const CATALOGUES: Readonly<Record<string, Specs>> = {
  'shared/src/errors.ts': sharedErrors.specs,
  'control-plane/src/errors.ts': controlErrors.specs,
  'control-plane/src/api/api-errors.ts': apiErrors.specs,
  'data-plane/src/errors.ts': proxyErrors.specs,
};

/** Where codes get what the outside reads; naming a code there is not raising it. */
export const MAPS: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
  'control-plane/src/api/problem.ts': HTTP_STATUS,
  'data-plane/src/session/client-error.ts': SQLSTATE_BY_CODE,
};

const WHO_ACTS: Readonly<Record<ErrorKind, string>> = {
  client: 'the client',
  config: 'the operator',
  capacity: 'the operator, if it lasts',
  upstream: 'the database',
  unavailable: 'nobody, unless it lasts',
  internal: 'the developers of DBBouncer',
};

export function errorReference(): string {
  const control = { ...sharedErrors.specs, ...controlErrors.specs, ...apiErrors.specs };
  return `# Errors

Every failure has a stable code. This file is written from the catalogues in the code by
\`node tests/architecture/write-error-reference.ts\`; a test compares the two.

## REST API

Answers are problem+json (RFC 9457) with the code as \`code\`.

${table('Status', control, HTTP_STATUS)}

## PostgreSQL clients

Clients read a SQLSTATE and a message that names the tenant, the limit and the setting; the log has
the code.

${table('SQLSTATE', proxyErrors.specs, SQLSTATE_BY_CODE)}

## Command line

The command ends with 2 for SETTINGS_INVALID and wrong usage, with 1 for every other failure.
`;
}

function table(edge: string, specs: Specs, map: Readonly<Record<string, string | number>>): string {
  const rows = Object.entries(specs).map(([code, spec]) => {
    const again = spec.retryable ? 'yes' : 'no';
    return `| ${map[code]} | \`${code}\` | ${spec.summary} | ${WHO_ACTS[spec.kind]} | ${again} |`;
  });
  const head = `| ${edge} | Code | When | Who acts | Try again |\n|---|---|---|---|---|`;
  return [head, ...rows.toSorted()].join('\n');
}
