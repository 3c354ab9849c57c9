/**
 * The HTTP face of the control plane: one Fastify instance, not yet listening.
 * Owns: parsing, access, limits, the form of refusals, request logs. Leaves: what routes do to
 * tenants.ts and status-routes.ts, bodies to the schemas of shared/contract. Bodies and headers are
 * never logged.
 */
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import helmet from '@fastify/helmet';
import rateLimit from '@fastify/rate-limit';
import fastify from 'fastify';
import type { FastifyInstance, FastifyServerOptions } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { explainIssues } from '@dbbouncer/shared/contract/explain.ts';
import { controlErrors } from '../errors.ts';
import { AllowedMethods } from './allowed-methods.ts';
import { InvalidFields } from './api-errors.ts';
import { registerApiDescription, registerDocsRoutes } from './docs-routes.ts';
import { installFailureHandlers, rawProblemResponse, replyWithProblem } from './failures.ts';
import { requestIdOf } from './request-meta.ts';
import type { ApiServices, TlsMaterial } from './services.ts';
import { registerStatusRoutes } from './status-routes.ts';
import { registerTenantOperations } from './tenant-operations.ts';
import { registerTenantRoutes } from './tenants.ts';

export type Api = ReturnType<typeof withZod>;

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `open`: needs no key. Default: `key`. */
    access?: 'open' | 'key';
  }
  interface FastifyRequest {
    /** Who presented a valid key, as events name it; empty when nobody did. */
    actor: string;
  }
}

const BODY_BYTES_MAX = 262_144;
const REQUEST_TIMEOUT_MS = 30_000;
/** A minute, per address: enough for a script with the key, not for guessing keys. */
const REQUESTS_MAX = Object.freeze({ withKey: 60_000, withoutKey: 300 });

/** The API, ready for `listen`; closing it lets requests under way end. */
export async function createApi(services: ApiServices, tls?: TlsMaterial): Promise<Api> {
  const instance = fastify(serverOptions(services, tls));
  const allowed = new AllowedMethods();
  instance.addHook('onRoute', ({ method, url }) => allowed.add(method, url));
  instance.setValidatorCompiler(({ schema }) => validatorOf(schema as z.ZodType));
  instance.setSerializerCompiler(serializerCompiler);
  acceptJson(instance);
  guard(instance, services);
  observe(instance, services);
  await registerProtection(instance);
  installFailureHandlers(instance, services, allowed);
  await registerApiDescription(instance, services.version);
  const api = withZod(instance);
  registerTenantRoutes(api, services);
  registerTenantOperations(api, services);
  registerStatusRoutes(api, services);
  await registerDocsRoutes(api);
  return api;
}

function withZod(instance: FastifyInstance) {
  return instance.withTypeProvider<ZodTypeProvider>();
}

function serverOptions(services: ApiServices, tls: TlsMaterial | undefined): FastifyServerOptions {
  return {
    bodyLimit: BODY_BYTES_MAX,
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

/** Explains every field that is wrong, instead of the first one in zod's words. */
function validatorOf(schema: z.ZodType) {
  return (data: unknown) => {
    const result = schema.safeParse(data);
    return result.success
      ? { value: result.data }
      : { error: new InvalidFields(explainIssues(result.error, schema, data)) };
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

/**
 * Who asks is known before anything is counted; whoever may not ask is refused before the body is
 * read.
 */
function guard(instance: FastifyInstance, { guard }: ApiServices): void {
  instance.decorateRequest('actor', '');
  instance.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('cache-control', 'no-store');
    if (guard.admits(request.headers.authorization)) request.actor = guard.actor;
  });
  instance.addHook('preParsing', async (request, reply) => {
    const isOpen = request.is404 || request.routeOptions.config.access === 'open';
    if (isOpen || request.actor !== '') return;
    reply.header('www-authenticate', 'Bearer realm="dbbouncer"');
    throw controlErrors.fail(
      'UNAUTHORIZED',
      request.headers.authorization === undefined
        ? 'This needs an API key.'
        : 'The API key is not valid.',
      { hint: 'Send it as "Authorization: Bearer <key>".' },
    );
  });
}

function observe(instance: FastifyInstance, { metrics, log }: ApiServices): void {
  instance.addHook('onResponse', async (request, reply) => {
    const facts = {
      method: request.method,
      route: request.routeOptions.url ?? 'unknown',
      status: reply.statusCode,
      durationMs: reply.elapsedTime,
    };
    metrics.observeRequest(facts);
    log.debug({ ...facts, requestId: request.id, actor: request.actor }, 'request answered');
  });
}

async function registerProtection(instance: FastifyInstance): Promise<void> {
  await instance.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
    },
  });
  await instance.register(rateLimit, {
    timeWindow: '1 minute',
    keyGenerator: ({ ip, actor }) => `${ip} ${actor}`,
    max: ({ actor }) => (actor === '' ? REQUESTS_MAX.withoutKey : REQUESTS_MAX.withKey),
    errorResponseBuilder: (_request, { after, max }) =>
      Object.assign(new Error(`More than ${max} requests a minute; go on in ${after}.`), {
        code: 'RATE_LIMITED',
      }),
  });
}
