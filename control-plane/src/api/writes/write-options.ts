/**
 * What every write can be asked for beside the change itself: to be rehearsed, to be waited for, to
 * be done whatever version is there. Owns: those words of the query. Leaves: If-Match to
 * preconditions.ts, Idempotency-Key to idempotency.ts.
 */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { formatDuration, parseDurationMs } from '@dbbouncer/shared/contract/duration.ts';
import type { CommandMode } from '../../commands/commands.ts';
import { invalidField } from '../api-errors.ts';
import { reasonQuery } from '../request-meta.ts';
import { isSaid, queryFlag } from './query-flag.ts';

export const WAIT_LIMITS = Object.freeze({ defaultMs: 5_000, maxMs: 60_000 });

const MILLISECONDS = /^\d{1,9}$/;

/** The query of every write. */
export const writeQuery = reasonQuery.extend({
  dry_run: queryFlag(
    'Nothing is changed; the answer tells which events would be stored, what proxies would be' +
      ' told, what would become of the tenant, and what to look out for.',
  ),
  wait: z
    .literal('applied')
    .optional()
    .meta({
      description:
        'Answer when every live proxy serves the change, or with 202 when the time is over. The' +
        ' change is made and stays made either way.',
    }),
  timeout: z
    .string()
    .optional()
    .meta({
      description:
        'How long to wait: milliseconds or a duration, between 1ms and' +
        ` ${formatDuration(WAIT_LIMITS.maxMs)}. Default: ${formatDuration(WAIT_LIMITS.defaultMs)}.`,
      examples: ['5s'],
    }),
});

const probe = queryFlag(
  'A live proxy first tries whether it can connect to the server as the tenant would be then.' +
    ' With dry_run that is told; without, the write is refused when it cannot (424) or nobody' +
    ' could try (503), unless force is said.',
);

/** The query of writes that register or bring back tenants. */
export const tenantQuery = writeQuery.extend({ probe });

/** The query of writes on what has a version. */
export const changeQuery = writeQuery.extend({
  force: queryFlag(
    'Writes over whatever version is there; If-Match is not needed, and not looked at.',
  ),
});

/** The same of tenants. */
export const tenantChangeQuery = changeQuery.extend({ probe });

export interface WriteOptions {
  readonly mode: CommandMode;
  /** Whether a proxy has to try first. `told`: nothing is refused for what it finds. */
  readonly probe: 'no' | 'required' | 'told';
  /** How long to wait for the proxies; absent: not at all. */
  readonly waitMs: number | undefined;
}

/** @throws VALIDATION_FAILED for what contradicts itself. */
export function writeOptions(request: FastifyRequest): WriteOptions {
  const { dry_run, wait, timeout } = request.query as z.infer<typeof writeQuery>;
  const mode = isSaid(dry_run) ? 'dry_run' : 'commit';
  const probe = probeOption(request, mode);
  if (wait === undefined) {
    if (timeout === undefined) return { mode, probe, waitMs: undefined };
    throw invalidField('timeout', 'is for wait=applied alone');
  }
  if (mode === 'dry_run') {
    throw invalidField('wait', 'cannot be combined with dry_run: there is nothing to wait for');
  }
  const waitMs = timeout === undefined ? WAIT_LIMITS.defaultMs : timeoutMs(timeout);
  return { mode, probe, waitMs };
}

/** What is forced is not probed either, unless only that is asked for. */
function probeOption({ query }: FastifyRequest, mode: CommandMode): WriteOptions['probe'] {
  const { probe, force } = query as Partial<z.infer<typeof tenantChangeQuery>>;
  if (!isSaid(probe)) return 'no';
  if (mode === 'dry_run') return 'told';
  return isSaid(force) ? 'no' : 'required';
}

function timeoutMs(text: string): number {
  const ms = MILLISECONDS.test(text) ? Number(text) : parseDurationMs(text);
  if (ms !== undefined && ms >= 1 && ms <= WAIT_LIMITS.maxMs) return ms;
  throw invalidField(
    'timeout',
    `must be milliseconds or a duration such as "5s", between 1ms and` +
      ` ${formatDuration(WAIT_LIMITS.maxMs)}; got ${JSON.stringify(text.slice(0, 40))}`,
  );
}
