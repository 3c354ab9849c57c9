/**
 * The routes about single clients of the fleet: who is connected, and ending one of them. Both ask
 * the proxies; nothing of it is kept, so a killed client is in the log, not among the events.
 */
import { z } from 'zod';
import { CLIENT_DESK, formatClientId } from '@dbbouncer/shared/contract/client-desk.ts';
import type { FleetClient } from '../fleet/fleet-clients.ts';
import { controlErrors } from '../errors.ts';
import { reachOf, requireReach } from './access.ts';
import { invalidField } from './api-errors.ts';
import { decodeProxyPlace, encodeCursor } from './cursor.ts';
import { reasonBody } from './request-meta.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';

const TAGS = ['Fleet'];
const LIMIT_DEFAULT = 100;

const clientSchema = z.strictObject({
  id: z.string().meta({ description: 'Of this connection alone, over the whole fleet.' }),
  proxy: z.string(),
  tenant: z.string(),
  user: z.string().meta({ description: 'As it has logged in, without the tenant.' }),
  database: z.string(),
  address: z.string().meta({ description: '"unix": over a socket file.' }),
  encryption: z.enum(['tls', 'none']),
  pool_mode: z.string(),
  state: z.string().meta({
    description:
      'idle; begun, failed: in a transaction without a server connection; waiting: in line for' +
      ' one; leased, shared, settling: at work on one; skipping: its batch was refused.',
  }),
  connected_ms: z.number(),
});

const clientListSchema = z
  .strictObject({
    clients: z.array(clientSchema),
    next_cursor: z.string().nullable().meta({ description: 'null on the last page.' }),
    unanswered: z
      .array(z.strictObject({ proxy: z.string(), reason: z.enum(['lost', 'no_answer']) }))
      .meta({ description: 'Proxies whose clients are missing here.' }),
  })
  .meta({ id: 'ClientList' });

const listQuery = z.strictObject({
  tenant: z.string().max(63).optional().meta({
    description: 'Only its clients; keys that are limited to some tenants must name one.',
  }),
  limit: z.coerce.number().int().min(1).max(CLIENT_DESK.pageMax).default(LIMIT_DEFAULT),
  cursor: z.string().optional().meta({ description: 'The next_cursor of the page before.' }),
});

const killedSchema = z
  .strictObject({
    id: z.string(),
    outcome: z.literal('killed'),
    tenant: z.string(),
    user: z.string(),
  })
  .meta({ id: 'KilledClient' });

export function registerClientRoutes(api: Api, services: ApiServices): void {
  registerList(api, services);
  registerKill(api, services);
}

function registerList(api: Api, { core }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/fleet/clients',
    config: { access: 'viewer', tenants: 'handler' },
    schema: {
      tags: TAGS,
      operationId: 'listClients',
      summary: 'List the clients of all proxies, as they are now',
      description:
        'Ordered by proxy and by when they came. Each page asks the proxies; those that do not' +
        ' answer are named.',
      querystring: listQuery,
      response: { 200: clientListSchema, ...problems(400) },
    },
    handler: async (request) => {
      const { tenant, limit, cursor } = request.query;
      if (tenant !== undefined) requireReach(request, tenant);
      else if (reachOf(request) !== null) {
        throw invalidField('tenant', 'must be given: the API key is limited to some tenants');
      }
      const after = decodeProxyPlace(cursor);
      const { clients, unanswered, next } = await core.clients.list({ tenant, limit, after });
      return {
        clients: clients.map(toClientAnswer),
        next_cursor: encodeCursor(next && `${next.proxy} ${next.number}`),
        unanswered: [...unanswered],
      };
    },
  });
}

function toClientAnswer(client: FleetClient): z.infer<typeof clientSchema> {
  return {
    id: formatClientId(client),
    proxy: client.proxy,
    tenant: client.tenant,
    user: client.user,
    database: client.database,
    address: client.address,
    encryption: client.encryption,
    pool_mode: client.poolMode,
    state: client.state,
    connected_ms: client.connectedMs,
  };
}

function registerKill(api: Api, { core, log }: ApiServices): void {
  api.route({
    method: 'POST',
    url: '/fleet/clients/:client/kill',
    config: { access: 'operator', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'killClient',
      summary: 'End one client now, wherever it is connected',
      description:
        'It reads 57P01, its statement is cancelled and its transaction rolled back. The log says' +
        ' who has done it and why. Killing it again finds it no more: 404.',
      params: z.strictObject({ client: z.string().max(100) }),
      querystring: z.strictObject({}),
      body: reasonBody,
      response: { 200: killedSchema, ...problems(400, 404, 413, 415, 504) },
    },
    handler: async (request) => {
      const { client: id } = request.params;
      const { actor, id: requestId } = request;
      const reason = request.body?.reason;
      const killed = await core.clients.kill(id, actor, reason);
      const { outcome } = killed;
      log.info({ client: id, outcome, reason, actor, requestId }, 'a client was to be killed');
      if (killed.outcome === 'killed') {
        return { id, outcome: killed.outcome, tenant: killed.tenant, user: killed.user };
      }
      throw killed.outcome === 'unknown_client' ? clientNotFound(id) : proxySilent(id);
    },
  });
}

function clientNotFound(id: string): Error {
  return controlErrors.fail('CLIENT_NOT_FOUND', `No client has the id ${JSON.stringify(id)}.`, {
    hint: 'GET /fleet/clients lists those that are connected.',
  });
}

function proxySilent(id: string): Error {
  const message = `The proxy of client ${JSON.stringify(id)} did not answer`;
  return controlErrors.fail('PROXY_SILENT', `${message}: whether it was ended is not known.`, {
    hint: 'Look at GET /fleet, and try again.',
  });
}
