/**
 * The API description at /openapi.json and its pages at /docs. Both are open: they hold no data.
 */
import { isDeepStrictEqual } from 'node:util';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { RouteAccess } from './access.ts';
import type { Api } from './zod-api.ts';

const DESCRIPTION =
  'Every write is an event. Answers to writes are given when the change is on disk; proxies' +
  ' follow within moments (`GET /fleet` shows how far each is). Refusals are problem+json with a' +
  ' stable `code`.';

/** Before any route: it collects them. */
export async function registerApiDescription(api: FastifyInstance, version: string): Promise<void> {
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'DBBouncer', version, description: DESCRIPTION },
      components: { securitySchemes: { apiKey: { type: 'http', scheme: 'bearer' } } },
      security: [{ apiKey: [] }],
      tags: [{ name: 'Tenants' }, { name: 'History' }, { name: 'API keys' }, { name: 'Operation' }],
    },
    transform: (options) => withScope(jsonSchemaTransform(options), options.route.config),
    transformObject: (document) =>
      withOptionalBodies(withoutUnused(jsonSchemaTransformObject(document))),
  });
}

type Described = ReturnType<typeof jsonSchemaTransform>;

/** A bearer token has no scopes of OAuth; since 3.1 the list names what else is needed. */
function withScope({ schema, url }: Described, config: RouteAccess = {}): Described {
  const { access = 'admin' } = config;
  const security = access === 'open' ? [] : [{ apiKey: [access] }];
  return { schema: { ...schema, security }, url };
}

type Description = ReturnType<typeof jsonSchemaTransformObject>;

/** Each named schema comes in a form for requests too, also where no request has it. */
function withoutUnused(document: Description): Description {
  const { components } = document as { components?: { schemas?: Record<string, unknown> } };
  const text = JSON.stringify(document);
  const used = Object.entries(components?.schemas ?? {}).filter(([name]) =>
    text.includes(`"#/components/schemas/${name}"`),
  );
  return {
    ...document,
    components: { ...components, schemas: Object.fromEntries(used) },
  } as Description;
}

interface Operation {
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: { readonly anyOf?: unknown } }>>;
  };
}

/** A body that may be null may be left out: a schema has no word for that, the description has. */
function withOptionalBodies(document: Description): Description {
  const { paths = {} } = document as { paths?: Record<string, Record<string, Operation>> };
  const described = Object.entries(paths).map(([path, operations]) => {
    const entries = Object.entries(operations);
    return [path, Object.fromEntries(entries.map(([method, one]) => [method, withOptional(one)]))];
  });
  return { ...document, paths: Object.fromEntries(described) as unknown } as Description;
}

function withOptional(operation: Operation): Operation {
  const { requestBody } = operation;
  const bodies = Object.values(requestBody?.content ?? {});
  const mayBeNull = bodies.some(({ schema: { anyOf } }) =>
    isDeepStrictEqual([anyOf].flat().at(-1), { type: 'null' }),
  );
  return mayBeNull
    ? ({ ...operation, requestBody: { ...requestBody, required: false } } as Operation)
    : operation;
}

export async function registerDocsRoutes(api: Api): Promise<void> {
  let description: string | undefined;
  api.route({
    method: 'GET',
    url: '/openapi.json',
    config: { access: 'open' },
    schema: { hide: true },
    handler: (_request, reply) =>
      // Half a megabyte that never changes: written out once.
      reply.type('application/json').send((description ??= JSON.stringify(api.swagger()))),
  });
  await api.register(async (scope) => {
    scope.addHook('onRoute', (route) => {
      route.config = { ...route.config, access: 'open' };
    });
    await scope.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: DOCS_CSP,
      uiConfig: { persistAuthorization: false, tryItOutEnabled: true },
    });
  });
}

/** What the pages load, all of it from here. */
const DOCS_CSP = Object.freeze({
  'default-src': ["'self'"],
  'img-src': ["'self'", 'data:'],
  'style-src': ["'self'", "'unsafe-inline'"],
  'script-src': ["'self'"],
  'object-src': ["'none'"],
  'base-uri': ["'self'"],
  'frame-ancestors': ["'none'"],
});
