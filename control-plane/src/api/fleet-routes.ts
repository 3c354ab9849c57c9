/**
 * The routes about the proxies: all, one, and whether they serve what the log says.
 * Leaves: what they have said to fleet/, its form to fleet-answers.ts.
 */
import { z } from 'zod';
import { convergenceOf } from '../fleet/convergence.ts';
import { controlErrors } from '../errors.ts';
import {
  convergenceSchema,
  fleetSchema,
  proxySchema,
  toConvergenceAnswer,
  toFleetAnswer,
  toProxyAnswer,
} from './fleet-answers.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';

const TAGS = ['Fleet'];
const noQuery = z.strictObject({});

export function registerFleetRoutes(api: Api, { core }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/fleet',
    config: { access: 'viewer', tenants: 'none' },
    schema: {
      tags: TAGS,
      operationId: 'getFleet',
      summary: 'The proxies, the position each has applied, and how far the publishers are',
      description:
        'A proxy that says nothing for proxy_lost_after is lost, and forgotten after an hour; one' +
        ' that ends in order is forgotten at once.',
      querystring: noQuery,
      response: { 200: fleetSchema, ...problems() },
    },
    handler: () => toFleetAnswer(core.status(), core.fleet.proxies(), core.budget),
  });
  api.route({
    method: 'GET',
    url: '/fleet/convergence',
    config: { access: 'viewer', tenants: 'none' },
    schema: {
      tags: TAGS,
      operationId: 'getConvergence',
      summary: 'Whether every proxy serves the last event; who lags, since when and why',
      querystring: noQuery,
      response: { 200: convergenceSchema, ...problems() },
    },
    handler: () => {
      const status = core.status();
      const since = (position: number) => core.past.writtenAt(position + 1);
      const convergence = convergenceOf(core.fleet.proxies(), status.position, since);
      return toConvergenceAnswer(status, convergence);
    },
  });
  api.route({
    method: 'GET',
    url: '/fleet/:proxy',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'getProxy',
      summary: 'Everything a proxy has said of itself in its last report',
      params: z.strictObject({ proxy: z.string() }),
      querystring: noQuery,
      response: { 200: proxySchema, ...problems(404) },
    },
    handler: ({ params }) => {
      const view = core.fleet.proxy(params.proxy);
      if (view !== undefined) return toProxyAnswer(view, core.status().position);
      const message = `No proxy ${JSON.stringify(params.proxy)} was heard of in the last hour.`;
      throw controlErrors.fail('PROXY_NOT_FOUND', message, {
        hint: 'GET /fleet lists those that are known.',
      });
    },
  });
}
