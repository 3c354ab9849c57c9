/** The routes on the read models: making them anew. Leaves: how that is done to the store. */
import { z } from 'zod';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';

const rebuiltSchema = z
  .strictObject({
    position: z.int().meta({ description: 'The last event they are of.' }),
    mended: z
      .strictObject({
        table: z.string(),
        row: z.string().nullable(),
        field: z.string().nullable(),
        reason: z.string(),
      })
      .nullable()
      .meta({
        description: 'The first thing that was not what the events say; null if all of it was.',
      }),
  })
  .meta({ id: 'RebuiltReadModels' });

const readModelsSchema = z
  .strictObject({
    position: z.int().meta({ description: 'The last event they are of.' }),
    rebuilt_up_to: z.int().nullable().meta({
      description: 'While they are made anew: the event that has come to. Else null.',
    }),
  })
  .meta({ id: 'ReadModels' });

export function registerReadModelRoutes(api: Api, { core, log }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/read-models',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: ['Operation'],
      operationId: 'getReadModels',
      summary: 'Read how far a rebuild of what queries see has come',
      querystring: z.strictObject({}),
      response: { 200: readModelsSchema, ...problems() },
    },
    handler: () => ({
      position: core.status().position,
      rebuilt_up_to: core.rebuiltUpTo() ?? null,
    }),
  });
  api.route({
    method: 'POST',
    url: '/read-models/rebuild',
    config: { access: 'admin', tenants: 'all', servedBy: 'any' },
    schema: {
      tags: ['Operation'],
      operationId: 'rebuildReadModels',
      summary: 'Make what queries see anew from the events, while everything else goes on',
      description:
        'The answer comes when the new ones are in place. The log itself is not touched;' +
        ' dbbouncer verify tells whether that is as it was written.',
      querystring: z.strictObject({}),
      response: { 200: rebuiltSchema, ...problems(400) },
    },
    handler: async (request) => {
      const { position, mended } = await core.rebuildReadModels();
      const { id: requestId, actor } = request;
      log.info({ position, mended, requestId, actor }, 'read models were made anew');
      if (mended === undefined) return { position, mended: null };
      const { table, row = null, field = null, reason } = mended;
      return { position, mended: { table, row, field, reason } };
    },
  });
}
