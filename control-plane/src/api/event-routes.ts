/**
 * The event log over HTTP: pages of it, one event, and its tail.
 * Leaves: finding events to history/, how a tail lives to event-tails.ts.
 */
import { fastifySSE } from '@fastify/sse';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { reaches } from '../domain/api-key/tenant-pattern.ts';
import { tenantKeyOfStream } from '../domain/tenant/events.ts';
import { controlErrors } from '../errors.ts';
import type { History } from '../history/history.ts';
import type { StoredEvent } from '../store/event.ts';
import { reachOf, requireReach } from './access.ts';
import { invalidField } from './api-errors.ts';
import { decodePlace, encodeCursor } from './cursor.ts';
import { eventListSchema, eventSchema, toEventAnswer } from './event-answers.ts';
import { eventsQuery, toEventFilter } from './event-requests.ts';
import type { EventsQuery } from './event-requests.ts';
import { EventTails, TAIL_LIMITS } from './event-tails.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';

const TAGS = ['History'];
const LAST_EVENT_ID = /^\d{1,15}$/;

const LIST_DESCRIPTION =
  'With "Accept: text/event-stream" it is a tail: events as server-sent events, each as it is' +
  ' appended, with its position as the id. It begins with what comes now, after `after` or after' +
  ' the header Last-Event-ID, so that a reader who comes again misses nothing and reads nothing' +
  ` twice. At most ${TAIL_LIMITS.openMax} tails are open at a time,` +
  ` ${TAIL_LIMITS.openOfKeyMax} with one API key. An "end" event says why one ended: the` +
  ' control plane stops, the key may not read on, or the reader took nothing for' +
  ` ${TAIL_LIMITS.stallMs} ms.`;

export async function registerEventRoutes(api: Api, services: ApiServices): Promise<void> {
  const { clock, log, core } = services;
  const tails = new EventTails({ history: core.history, clock, log });
  api.addHook('preClose', async () => tails.close());
  await api.register(fastifySSE, { heartbeatInterval: TAIL_LIMITS.keepAliveMs });
  registerList(api, services, tails);
  registerOne(api, core.history);
}

function registerList(api: Api, services: ApiServices, tails: EventTails): void {
  const { history } = services.core;
  api.route({
    method: 'GET',
    url: '/events',
    config: { access: 'viewer', tenants: 'handler' },
    // Whoever asks for the head alone would hold a tail open.
    exposeHeadRoute: false,
    sse: { kind: 'dual' },
    schema: {
      tags: TAGS,
      operationId: 'listEvents',
      summary: 'Read the event log, page by page or as a tail',
      description: LIST_DESCRIPTION,
      querystring: eventsQuery,
      headers: z.looseObject({
        'last-event-id': z.string().optional().meta({ description: 'Where a tail goes on.' }),
      }),
      response: {
        200: {
          description: 'Events in the order asked for, or the tail.',
          content: {
            'application/json': { schema: eventListSchema },
            'text/event-stream': { schema: z.string() },
          },
        },
        ...problems(400),
      },
    },
    handler: async (request, reply) => {
      const { query } = request;
      requireReadable(request, query.tenant);
      if (!isTail(reply)) return await readPage(history, query);
      requireTailQuery(query);
      const start = tailStart(history, query, request.headers['last-event-id']);
      const mayGoOn = () => requireStillReadable(services, request, query.tenant);
      const { actor } = request;
      await tails.follow(reply, start, { actor, filter: toEventFilter(query), mayGoOn });
      return undefined;
    },
  });
}

function registerOne(api: Api, history: History): void {
  api.route({
    method: 'GET',
    url: '/events/:position',
    config: { access: 'viewer', tenants: 'handler' },
    schema: {
      tags: TAGS,
      operationId: 'getEvent',
      summary: 'Read one event by its position in the log',
      params: z.strictObject({ position: z.coerce.number().int().min(1) }),
      querystring: z.strictObject({}),
      response: { 200: eventSchema, ...problems(400, 404) },
    },
    handler: (request) => {
      const { position } = request.params;
      const event = history.event(position);
      const reach = reachOf(request);
      if (event !== undefined && mayRead(reach, event)) return toEventAnswer(event);
      const what = reach === null ? 'event' : 'event that this API key may read at position';
      throw controlErrors.fail(
        'EVENT_NOT_FOUND',
        `There is no ${what} ${position}; the last one is ${history.head()}.`,
      );
    },
  });
}

/** A key that is limited to some tenants reads the events of one of them. */
function requireReadable(request: FastifyRequest, tenant: string | undefined): void {
  if (tenant !== undefined) return requireReach(request, tenant);
  if (reachOf(request) === null) return;
  throw invalidField('tenant', 'is required: the API key is limited to certain tenants');
}

/** @throws UNAUTHORIZED, TENANT_OUT_OF_REACH once the key may not read on. */
async function requireStillReadable(
  { guard }: ApiServices,
  request: FastifyRequest,
  tenant: string | undefined,
): Promise<void> {
  const recognition = await guard.recognise(request.headers.authorization);
  if (recognition.outcome === 'refused') {
    throw controlErrors.fail('UNAUTHORIZED', recognition.message);
  }
  if (recognition.outcome !== 'holder') return;
  const { tenants } = recognition.holder;
  if (tenants === null || (tenant !== undefined && reaches(tenants, tenant))) return;
  throw controlErrors.fail(
    'TENANT_OUT_OF_REACH',
    `The API key is limited to tenants like "${tenants}" now.`,
  );
}

function mayRead(reach: string | null, event: StoredEvent): boolean {
  const key = tenantKeyOfStream(event.stream);
  return reach === null || (key !== undefined && reaches(reach, key));
}

async function readPage(
  history: History,
  query: EventsQuery,
): Promise<z.infer<typeof eventListSchema>> {
  const { order, limit, cursor } = query;
  let { after = 0, before = history.head() + 1 } = query;
  if (cursor !== undefined) {
    const [direction, position = 0] = decodePlace(cursor, 2).numbers;
    if (direction !== DIRECTIONS[order]) {
      throw invalidField('cursor', `must be of an answer in the same order, "${order}"`);
    }
    if (order === 'asc') after = Math.max(after, position);
    else before = Math.min(before, position);
  }
  const { events, next } = await history.find({
    ...toEventFilter(query),
    order,
    after,
    before,
    limit,
  });
  return {
    events: events.map(toEventAnswer),
    next_cursor: encodeCursor(next === undefined ? undefined : `${DIRECTIONS[order]} ${next}`),
  };
}

const DIRECTIONS = Object.freeze({ asc: 1, desc: 0 });

/** @fastify/sse has found that the request accepts a tail. */
function isTail(reply: FastifyReply): boolean {
  return Object.hasOwn(reply, 'sse');
}

/** @throws VALIDATION_FAILED for what only a page can obey. */
function requireTailQuery({ order, before, until, cursor }: EventsQuery): void {
  const given = { before, until, cursor, order: order === 'asc' ? undefined : order };
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    throw invalidField(name, 'is not for a tail, which goes on from where it begins');
  }
}

/**
 * The position a tail begins after.
 * @throws VALIDATION_FAILED when it is none, or the log has not come there yet.
 */
function tailStart(
  history: History,
  { after, since }: EventsQuery,
  lastEventId: string | undefined,
): Position {
  const head = history.head();
  if (lastEventId === undefined) return Math.min(head, after ?? (since === undefined ? head : 0));
  const position = LAST_EVENT_ID.test(lastEventId) ? Number(lastEventId) : Infinity;
  if (position <= head) return position;
  throw invalidField('Last-Event-ID', `must be a position up to ${head}, the last of this log`);
}
