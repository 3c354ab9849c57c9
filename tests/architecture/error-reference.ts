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

Clients read a SQLSTATE, a message that names the tenant, the limit and the setting, a detail that
ends in the code (\`DBBouncer: POOL_ACQUIRE_TIMEOUT\`), and a hint: the one below, unless the
failure knows better. The severity is FATAL where the connection ends.

${table('SQLSTATE', proxyErrors.specs, SQLSTATE_BY_CODE)}

## Command line

The command ends with 2 for SETTINGS_INVALID and wrong usage, with 1 for every other failure.
`;
}

function table(edge: string, specs: Specs, map: Readonly<Record<string, string | number>>): string {
  const hasHints = Object.values(specs).every(({ hint }) => hint !== undefined);
  const rows = Object.entries(specs).map(([code, spec]) => {
    const again = spec.retryable ? 'yes' : 'no';
    const cells = [map[code], `\`${code}\``, spec.summary, WHO_ACTS[spec.kind], again];
    return line(hasHints ? [...cells, spec.hint] : cells);
  });
  const titles = [edge, 'Code', 'When', 'Who acts', 'Try again', ...(hasHints ? ['Hint'] : [])];
  return [line(titles), `|${'---|'.repeat(titles.length)}`, ...rows.toSorted()].join('\n');
}

function line(cells: readonly (string | number | undefined)[]): string {
  return `| ${cells.join(' | ')} |`;
}
