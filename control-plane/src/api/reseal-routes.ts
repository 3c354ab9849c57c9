/**
 * The route that ends the use of an old master key: every secret of a tenant that another key than
 * the primary one has sealed is sealed anew, while everything else goes on. Clients keep their
 * connections: the passwords are the same. Leaves: what is renewed to renew-secrets.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { controlErrors } from '../errors.ts';
import type { EventMeta } from '../store/event.ts';
import type { TenantView } from '../store/read-models.ts';
import { renewSecrets } from './renew-secrets.ts';
import { commandMeta, reasonQuery } from './request-meta.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';

/** Committed together; between two of them others have their turn. */
const PAGE_TENANTS = 100;
/** Who writes at the same time wins; after that many times the next run will do. */
const ATTEMPTS_MAX = 5;
const FAILURES_SHOWN_MAX = 100;

const resealedSchema = z
  .strictObject({
    key_id: z.string().meta({ description: 'Of the key that seals now.' }),
    tenants: z.int().meta({ description: 'How many were looked at.' }),
    resealed: z.int().meta({ description: 'How many had a secret under another key.' }),
    failed: z
      .array(z.strictObject({ tenant: z.string(), reason: z.string() }))
      .max(FAILURES_SHOWN_MAX)
      .meta({ description: `Whose secrets stay as they were, the first ${FAILURES_SHOWN_MAX}.` }),
  })
  .meta({ id: 'Resealed' });
type Resealed = z.infer<typeof resealedSchema>;

export function registerResealRoutes(api: Api, services: ApiServices): void {
  let underWay: Promise<Resealed> | undefined;
  api.route({
    method: 'POST',
    url: '/secrets/reseal',
    config: { access: 'admin', tenants: 'all' },
    schema: {
      tags: ['Operation'],
      operationId: 'resealSecrets',
      summary: 'Seal every secret with the primary master key, so that the others can go',
      description:
        'First give the new key to every proxy. A key file is read anew. Old events keep what the' +
        ' old key has sealed: going back to them needs it.',
      querystring: reasonQuery,
      response: { 200: resealedSchema, ...problems(400) },
    },
    handler: async (request) => {
      underWay ??= resealAll(services, commandMeta(request)).finally(() => (underWay = undefined));
      const resealed = await underWay;
      services.log.info(
        { ...resealed, failed: resealed.failed.length },
        'secrets were sealed anew',
      );
      return resealed;
    },
  });
}

async function resealAll(services: ApiServices, meta: EventMeta): Promise<Resealed> {
  const { core, keyring } = services;
  const keyId = keyring.reload();
  const counts = { tenants: 0, resealed: 0 };
  const failed: Resealed['failed'] = [];
  let after: string | undefined;
  do {
    const page = core.tenants.listTenants({ after, limit: PAGE_TENANTS });
    const reseals = page.tenants.map(async (view) => {
      counts.tenants += 1;
      try {
        if (await reseal(services, view, meta)) counts.resealed += 1;
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        if (failed.length >= FAILURES_SHOWN_MAX) return;
        failed.push({ tenant: view.config.id, reason: error.message });
      }
    });
    await Promise.all(reseals);
    after = page.next;
  } while (after !== undefined);
  return { key_id: keyId, ...counts, failed };
}

/** Whether there was something to do. @throws SECRET_UNAVAILABLE, and what commands throw */
async function reseal(
  { core, keyring }: ApiServices,
  first: TenantView,
  meta: EventMeta,
): Promise<boolean> {
  let view: TenantView | undefined = first;
  for (let attempt = 1; view !== undefined; attempt += 1) {
    const { config, version } = view;
    const renewed = renewSecrets(keyring, config, undefined);
    if (isDeepStrictEqual(renewed, config)) return false;
    const { operations: _, canary: __, ...tenant } = renewed;
    try {
      const command = { kind: 'replace_tenant', tenant } as const;
      await core.commands.handle(command, { ...meta, expectedVersion: version });
      return true;
    } catch (error) {
      if (!isConflict(error) || attempt === ATTEMPTS_MAX) throw error;
      view = core.tenants.getTenant(config.id);
    }
  }
  return false;
}

/** It was changed or removed between the look at it and its turn. */
function isConflict(error: unknown): boolean {
  return (
    controlErrors.is(error) &&
    (error.code === 'VERSION_CONFLICT' || error.code === 'TENANT_NOT_FOUND')
  );
}
