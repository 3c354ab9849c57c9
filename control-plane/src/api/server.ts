/**
 * The HTTP face of the control plane: one Fastify instance, not yet listening.
 * Owns: limits, the form of refusals, request logs. Leaves: who may do what to
 * access.ts, what routes do to tenants.ts and the like, bodies to the schemas of shared/contract.
 * Bodies and headers are never logged.
 */
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastify from 'fastify';
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import { installAccess } from './access.ts';
import type { TlsMaterial } from './api-tls.ts';
import { registerApiKeyRoutes } from './api-keys.ts';
import { registerCanaryRoutes } from './canaries.ts';
import { registerClientRoutes } from './client-routes.ts';
import { registerConfigFileRoutes } from './config-file-routes.ts';
import { registerServerRoutes } from './database-servers.ts';
import { registerDefaultsRoutes } from './defaults.ts';
import { registerApiDescription, registerDocsRoutes } from './docs-routes.ts';
import { registerEventRoutes } from './event-routes.ts';
import { forwardWrites } from './forwarding.ts';
import { installFailureHandlers, rawProblemResponse, replyWithProblem } from './failures.ts';
import { registerBudgetRoutes } from './budget-routes.ts';
import { registerFleetRoutes } from './fleet-routes.ts';
import { registerHistoryRoutes } from './history-routes.ts';
import { requestIdOf } from './request-meta.ts';
import { RouteTable } from './route-table.ts';
import { registerReadModelRoutes } from './read-model-routes.ts';
import { registerResealRoutes } from './reseal-routes.ts';
import { registerRollbacks } from './rollbacks.ts';
import type { ApiLimits, ApiServices } from './services.ts';
import { registerStatusRoutes } from './status-routes.ts';
import { registerTenantBatch } from './tenant-batch.ts';
import { registerTenantOperations } from './tenant-operations.ts';
import { registerTenantRoutes } from './tenants.ts';
import { installSchemas, withZod } from './zod-api.ts';
import type { Api } from './zod-api.ts';

const REQUEST_TIMEOUT_MS = 30_000;

/**
 * The API, ready for `listen`; closing it lets requests under way end.
 * @param routes is filled with every route there is and what it needs.
 */
export async function createApi(
  services: ApiServices,
  tls?: TlsMaterial,
  routes = new RouteTable(),
): Promise<Api> {
  const instance = fastify(serverOptions(services, tls));
  instance.addHook('onRoute', (route) => routes.add(route));
  installSchemas(instance);
  acceptJson(instance);
  nameRequests(instance);
  installAccess(instance, services);
  forwardWrites(instance, services);
  observe(instance, services);
  await registerProtection(instance, services.limits);
  installFailureHandlers(instance, services, routes);
  await registerApiDescription(instance, services.version);
  const api = withZod(instance);
  registerTenantRoutes(api, services);
  registerTenantOperations(api, services);
  registerCanaryRoutes(api, services);
  registerDefaultsRoutes(api, services);
  registerServerRoutes(api, services);
  registerApiKeyRoutes(api, services);
  registerResealRoutes(api, services);
  registerRollbacks(api, services);
  registerReadModelRoutes(api, services);
  await registerEventRoutes(api, services);
  registerHistoryRoutes(api, services);
  registerTenantBatch(api, services);
  registerConfigFileRoutes(api, services);
  registerFleetRoutes(api, services);
  registerClientRoutes(api, services);
  registerBudgetRoutes(api, services);
  registerStatusRoutes(api, services);
  await registerDocsRoutes(api);
  return api;
}

function serverOptions(services: ApiServices, tls: TlsMaterial | undefined): FastifyServerOptions {
  return {
    bodyLimit: services.limits.apiBodyBytesMax,
    requestTimeout: REQUEST_TIMEOUT_MS,
    requestIdHeader: false,
    genReqId: (raw) => requestIdOf(raw.headers['x-request-id'], services.newId),
    forceCloseConnections: 'idle',
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1_000 },
    serverFactory: (handler) => (tls ? createTlsServer(tls, handler) : createServer(handler)),
    frameworkErrors: (error, request, reply) => {
      void replyWithProblem(error, request, reply, services.log);
    },
    clientErrorHandler: (error, socket) => {
      if (socket.writable) socket.end(rawProblemResponse(error, services.newId()));
    },
  };
}

/** JSON under its own name and as a merge patch; an empty body is none, whatever its type says. */
function acceptJson(instance: FastifyInstance): void {
  const parse = instance.getDefaultJsonParser('error', 'error');
  instance.removeAllContentTypeParsers();
  instance.addContentTypeParser<string>(
    ['application/json', 'application/merge-patch+json'],
    { parseAs: 'string' },
    (request, body, done) => {
      if (body.trim() === '') done(null, undefined);
      else void parse(request, body, done);
    },
  );
}

function nameRequests(instance: FastifyInstance): void {
  instance.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('cache-control', 'no-store');
  });
}

function observe(instance: FastifyInstance, { metrics, log }: ApiServices): void {
  instance.addHook('onResponse', async (request, reply) => {
    // How long somebody followed the log is no time that an answer took.
    if (reply.raw.getHeader('content-type') === 'text/event-stream') return;
    const facts = {
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      durationMs: reply.elapsedTime,
    };
    metrics.observeRequest(facts);
    if (request.denial !== undefined) metrics.countDenied(request.denial);
    log.debug({ ...facts, requestId: request.id, actor: request.actor }, 'request answered');
  });
}

async function registerProtection(instance: FastifyInstance, limits: ApiLimits): Promise<void> {
  await instance.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
  });
  await instance.register(rateLimit, {
    timeWindow: '1 minute',
    keyGenerator: ({ ip, actor }) => `${ip} ${actor}`,
    max: ({ actor }) =>
      actor === '' ? limits.apiRequestsPerMinuteWithoutKey : limits.apiRequestsPerMinute,
    onExceeded: (request) => {
      request.denial = 'rate_limited';
    },
    errorResponseBuilder: (_request, { after, max }) =>
      Object.assign(new Error(`More than ${max} requests a minute; go on in ${after}.`), {
        code: 'RATE_LIMITED',
      }),
  });
}
