/**
 * `?canary=10%&promote_after=60s` on changes of a tenant, and the routes that end a canary by hand.
 * Leaves: which proxies try the change, and how it ends by itself, to canary/.
 */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import { CANARY_PROMOTE_AFTER_MS } from '@dbbouncer/shared/contract/canary-limits.ts';
import { formatDuration, parseDurationMs } from '@dbbouncer/shared/contract/duration.ts';
import { chooseCanaries } from '../canary/choose.ts';
import { CANARY_LIMITS } from '../canary/watch.ts';
import type { ReplaceTenant, TenantCommand, UpdateTenant } from '../domain/tenant/commands.ts';
import { tenantIdOf } from '../domain/tenant/commands.ts';
import { controlErrors } from '../errors.ts';
import { tenantAnswerSchema } from './answers.ts';
import { invalidField } from './api-errors.ts';
import { reasonBody, withReason, writeHeaders } from './request-meta.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';
import { change, findTenant, idParams } from './tenant-requests.ts';
import { tenantChangeQuery, writeQuery } from './writes/write-options.ts';
import { writeResponses } from './writes/write-responses.ts';

const TAGS = ['Tenants'];
const PROMOTE_AFTER_DEFAULT = '60s';
const SHARE = /^(\d{1,2}(?:\.\d{1,2})?)%?$/;

/** The query of changes that some proxies may try first. */
export const canaryQuery = tenantChangeQuery.extend({
  canary: z
    .string()
    .optional()
    .meta({
      description:
        'That part of the live proxies, at least one and never all, serves the change first. It' +
        ' holds for all after `promote_after`, or for none: at once when the canaries cannot' +
        ' connect to the server, refuse the config or are lost, or when more of their queries end' +
        ' in errors than elsewhere. Nothing else changes the tenant meanwhile, but for force=true.',
      examples: ['10%'],
    }),
  promote_after: z
    .string()
    .optional()
    .meta({
      description: `For how long it is tried. Default: ${PROMOTE_AFTER_DEFAULT}.`,
      examples: [PROMOTE_AFTER_DEFAULT],
    }),
});

/**
 * `command`, or what has some proxies try it first where the request asks for that.
 * @throws VALIDATION_FAILED, CANARY_TOO_FEW_PROXIES, CANARIES_FULL
 */
export function triedFirst(
  { core, clock }: Pick<ApiServices, 'core' | 'clock'>,
  request: FastifyRequest,
  command: ReplaceTenant | UpdateTenant,
): TenantCommand {
  const { canary, promote_after } = request.query as z.infer<typeof canaryQuery>;
  if (canary === undefined) {
    if (promote_after === undefined) return command;
    throw invalidField('promote_after', 'is for a canary alone');
  }
  const share = shareOf(canary);
  const promoteAfterMs = promoteAfter(promote_after ?? PROMOTE_AFTER_DEFAULT);
  const { canaries, fleet } = core;
  if (canaries.size >= CANARY_LIMITS.runningMax) {
    throw controlErrors.fail(
      'CANARIES_FULL',
      `${canaries.size} changes are being tried; at most ${CANARY_LIMITS.runningMax} may be.`,
    );
  }
  const { proxies, before } = chooseCanaries(fleet.proxies(), tenantIdOf(command), share);
  const startedAt = clock.timestamp();
  const how = { proxies, share, startedAt, promoteAfterMs };
  return { kind: 'start_canary', change: command, canary: how, before };
}

function shareOf(text: string): number {
  const percent = Number(SHARE.exec(text.trim())?.[1]);
  if (percent > 0 && percent < 100) return percent / 100;
  throw invalidField('canary', `must be a share such as "10%"; got ${shown(text)}`);
}

function promoteAfter(text: string): number {
  const { min, max } = CANARY_PROMOTE_AFTER_MS;
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms >= min && ms <= max) return ms;
  const range = `${formatDuration(min)} and ${formatDuration(max)}`;
  throw invalidField('promote_after', `must be a duration between ${range}; got ${shown(text)}`);
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 40));
}

const ENDINGS = Object.freeze({
  promote: {
    operationId: 'promoteCanary',
    summary: 'Have all proxies serve what the canaries try, now',
  },
  abort: {
    operationId: 'abortCanary',
    summary: 'Have the canaries serve what all other proxies do',
  },
});

export function registerCanaryRoutes(api: Api, { writes, core }: ApiServices): void {
  for (const ending of ['promote', 'abort'] as const) {
    api.route({
      method: 'POST',
      url: `/tenants/:id/canary/${ending}`,
      config: { access: 'operator', tenants: 'path' },
      schema: {
        tags: TAGS,
        ...ENDINGS[ending],
        description: 'Without a canary that runs, 409.',
        params: idParams,
        querystring: writeQuery,
        headers: writeHeaders,
        body: reasonBody,
        response: writeResponses(200, tenantAnswerSchema, 404, 409, 412),
      },
      handler: (request, reply) =>
        writes.perform(request, reply, (write) => {
          const current = findTenant(write.scope.tenants, request.params.id);
          const { id } = current.config;
          const command: TenantCommand =
            ending === 'promote'
              ? { kind: 'promote_canary', id }
              : { kind: 'roll_back_canary', id, cause: 'aborted' };
          const meta = withReason(write.meta, request.body?.reason);
          return change({ ...write, meta }, core.fleet, command, current);
        }),
    });
  }
}
