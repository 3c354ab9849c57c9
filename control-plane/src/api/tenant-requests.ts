/**
 * What the routes of one tenant have in common: finding it, handing a command to the core with the
 * request's preconditions, answering with what the tenant has become.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import type { TenantResult } from '../commands/commands.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import type { TenantView } from '../store/read-models.ts';
import { tenantNotFound } from './access.ts';
import { toTenantAnswer } from './answers.ts';
import type { TenantAnswer } from './answers.ts';
import { etagOf, expectedVersion } from './preconditions.ts';
import { commandMeta } from './request-meta.ts';
import type { ApiServices } from './services.ts';

export const idParams = z.strictObject({ id: z.string().min(1) });

/** @throws TENANT_NOT_FOUND */
export function requireTenant({ core }: ApiServices, id: string): TenantView {
  const view = core.tenants.getTenant(id);
  if (view !== undefined) return view;
  throw tenantNotFound(id);
}

/** The view after a command that leaves the tenant there. @throws what commands throw */
export async function change(
  services: ApiServices,
  request: FastifyRequest,
  command: TenantCommand,
  current?: TenantView,
): Promise<TenantView> {
  const { view } = await handle(services, request, command, current);
  assert(view !== undefined, 'only a removal leaves no view');
  return view;
}

/** @throws what commands throw */
export function handle(
  { core }: ApiServices,
  request: FastifyRequest,
  command: TenantCommand,
  current?: TenantView,
): Promise<TenantResult> {
  return core.commands.handle(command, {
    ...commandMeta(request),
    expectedVersion: current && expectedVersion(request.headers['if-match'], current),
  });
}

/** The tenant as an answer, with its ETag. */
export function answer({ core }: ApiServices, reply: FastifyReply, view: TenantView): TenantAnswer {
  reply.header('etag', etagOf(view.version));
  const { defaults } = core.tenants.getDefaults();
  return toTenantAnswer(view, defaults, core.fleet);
}
