/**
 * Liveness, readiness and metrics. `/health` and `/ready` are open, so they say no more
 * than an orchestrator needs; everything else needs the key.
 */
import { z } from 'zod';
import { apiErrors } from './api-errors.ts';
import { problemResponse, problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';

const TAGS = ['Operation'];
const OPEN = { access: 'open', rateLimit: false } as const;

const writingIsOff = z.literal('read_only').optional().meta({
  description:
    'There while the event log takes no changes: writes get 503 STORE_READ_ONLY, reads go on.',
});

const role = z
  .enum(['starting', 'following', 'taking_over', 'leading', 'stopped'])
  .optional()
  .meta({ description: 'Of one of several control planes: `leading` takes writes itself.' });

const healthSchema = z.strictObject({ status: z.literal('up'), role, event_log: writingIsOff });

const readySchema = z.strictObject({
  status: z.literal('ready'),
  role,
  config_file: z.enum(['rejected', 'missing']).optional().meta({
    description: 'There when the config file is not in force; GET /config-file says why.',
  }),
  event_log: writingIsOff,
});

/** What cannot be written takes nobody out of service either: there is no other to ask. */
function eventLogIn({ core }: ApiServices): { event_log?: 'read_only' } {
  return core.status().writing.mode === 'read_only' ? { event_log: 'read_only' } : {};
}

function roleIn({ core }: ApiServices): Pick<z.infer<typeof healthSchema>, 'role'> {
  const { replica } = core.status();
  return replica === undefined ? {} : { role: replica.role };
}

/** A file that is wrong takes nobody out of service: what was loaded before is served. */
function configFileIn({
  configFile,
}: ApiServices): Pick<z.infer<typeof readySchema>, 'config_file'> {
  const state = configFile?.status().state;
  const isInForce = state === undefined || state === 'applied' || state === 'waiting';
  return isInForce ? {} : { config_file: state };
}

export function registerStatusRoutes(api: Api, services: ApiServices): void {
  const { metrics } = services;
  api.route({
    method: 'GET',
    url: '/health',
    config: OPEN,
    schema: {
      tags: TAGS,
      operationId: 'getHealth',
      summary: 'Whether the process lives; needs no key',
      response: { 200: healthSchema },
    },
    handler: () => ({ status: 'up', ...roleIn(services), ...eventLogIn(services) }) as const,
  });
  api.route({
    method: 'GET',
    url: '/ready',
    config: OPEN,
    schema: {
      tags: TAGS,
      operationId: 'getReadiness',
      summary: 'Whether requests should be sent here; needs no key',
      response: { 200: readySchema, 503: problemResponse(503) },
    },
    handler: () => {
      const reason = services.notReady();
      if (reason === undefined) {
        const facts = { ...roleIn(services), ...configFileIn(services), ...eventLogIn(services) };
        return { status: 'ready', ...facts } as const;
      }
      throw apiErrors.fail('NOT_READY', `Not ready: ${reason}.`);
    },
  });
  api.route({
    method: 'GET',
    url: '/metrics',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'getMetrics',
      summary: 'Metrics in the Prometheus text format',
      response: {
        200: {
          description: 'Prometheus text format',
          content: { 'text/plain': { schema: z.string() } },
        },
        ...problems(),
      },
    },
    handler: async (_request, reply) => {
      const text = await metrics.render();
      // The body is text already; the serializer of the schema would make JSON of it.
      return reply.type(metrics.contentType).serializer(String).send(text);
    },
  });
}
