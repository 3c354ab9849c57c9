/**
 * What the routes of one tenant have in common: finding it, doing a command at the version the
 * request names, answering with what the tenant has become.
 */
import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { newestOf } from '@dbbouncer/shared/contract/canary.ts';
import type { MakeSecret } from '@dbbouncer/shared/contract/secret.ts';
import { assert } from '@dbbouncer/shared/kernel/assert.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { toSecret } from '@dbbouncer/shared/secrets/password.ts';
import type { TenantResult } from '../commands/commands.ts';
import type { FleetReader } from '../fleet/fleet-state.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import type { TenantReader, TenantView } from '../store/read-models.ts';
import { tenantNotFound } from './access.ts';
import { toTenantAnswer } from './answers.ts';
import type { TenantAnswer } from './answers.ts';
import { toCanaryAnswer } from './canary-answers.ts';
import { invalidField } from './api-errors.ts';
import { etagOf, expectedVersion } from './preconditions.ts';
import type { ApiServices } from './services.ts';
import type { Write, WriteAnswer } from './writes/write.ts';

export const idParams = z.strictObject({ id: z.string().min(1) });

/** @throws TENANT_NOT_FOUND */
export function requireTenant({ core }: Pick<ApiServices, 'core'>, id: string): TenantView {
  return findTenant(core.tenants, id);
}

/** @throws TENANT_NOT_FOUND */
export function findTenant(tenants: TenantReader, id: string): TenantView {
  const view = tenants.getTenant(id);
  if (view !== undefined) return view;
  throw tenantNotFound(id);
}

/** Does `command` in the transaction of a write. @throws what commands throw */
export function handle(write: Write, command: TenantCommand, current?: TenantView): TenantResult {
  return write.scope.handle(command, {
    ...write.meta,
    whileCanary: canaryCare(write),
    expectedVersion: current && expectedVersion(write.precondition, current),
  });
}

/** Who forces a change does not wait for one that is being tried. */
export function canaryCare({ precondition }: Write): 'refuse' | 'end' {
  return precondition.version === 'forced' ? 'end' : 'refuse';
}

/** Does a command that leaves the tenant there, and answers with it. @throws what commands throw */
export function change(
  write: Write,
  fleet: FleetReader,
  command: TenantCommand,
  current?: TenantView,
): WriteAnswer & { readonly body: TenantAnswer; readonly tenant: TenantConfig } {
  const { view, position } = handle(write, command, current);
  assert(view !== undefined, 'only a removal leaves no view');
  const { defaults } = write.scope.tenants.getDefaults();
  const body = toTenantAnswer(view, defaults, fleet);
  const headers = { etag: etagOf(view.version) };
  return { status: 200, headers, body, position, tenant: newestOf(view.config) };
}

/** The tenant as an answer, with its ETag. */
export function answer({ core }: ApiServices, reply: FastifyReply, view: TenantView): TenantAnswer {
  reply.header('etag', etagOf(view.version));
  const { defaults } = core.tenants.getDefaults();
  const plain = toTenantAnswer(view, defaults, core.fleet);
  if (view.config.canary === undefined) return plain;
  return { ...plain, canary: toCanaryAnswer(view, core.canaries.evidence(view.config.id)) };
}

/**
 * A tenant cannot be renamed: an id in the body must be the one it is addressed by.
 * @throws VALIDATION_FAILED
 */
export function requireSameId(id: TenantId, inBody: string | undefined): void {
  if (inBody === undefined || tenantKey(inBody) === tenantKey(id)) return;
  throw invalidField('id', `must be "${id}", as in the path, or be left out; got "${inBody}"`);
}

/** Seals the passwords of a tenant; the one there is stays when it is written again. */
export function secretMaker({ keyring }: Pick<ApiServices, 'keyring'>, id: TenantId): MakeSecret {
  return (written, current) => toSecret(keyring, written, id, current);
}
