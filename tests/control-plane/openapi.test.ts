/** The API description: valid by the OpenAPI schema, complete, and true of what the API answers. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Validator } from '@seriousme/openapi-schema-validator';
import { HTTP_STATUS } from '@dbbouncer/control-plane/api/problem.ts';
import { tenantBody, TestControlPlane } from './harness.ts';

interface Operation {
  readonly operationId?: string;
  readonly summary?: string;
  readonly security?: readonly unknown[];
  readonly parameters?: readonly { readonly name: string; readonly description?: string }[];
  readonly responses: Readonly<Record<string, { readonly content?: Record<string, unknown> }>>;
  readonly requestBody?: { readonly content: Record<string, { readonly schema: JsonSchema }> };
}

interface JsonSchema {
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: unknown;
  readonly writeOnly?: boolean;
}

interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, JsonSchema>> };
}

let plane: TestControlPlane;
let description: Description;
before(async () => {
  plane = await TestControlPlane.start();
  const answer = await plane.call('GET', '/openapi.json', { key: undefined });
  description = answer.json as unknown as Description;
});
after(() => plane[Symbol.asyncDispose]());

function operations(): readonly (readonly [string, string, Operation])[] {
  return Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [path, method, operation] as const),
  );
}

/** They look at everything in many steps, and done again they change nothing. */
const UPKEEP = new Set([
  '/config-file/reload',
  '/fleet/clients/{client}/kill',
  '/fleet/{proxy}',
  '/read-models/rebuild',
  '/secrets/reseal',
]);

describe('/openapi.json', () => {
  it('is valid by the OpenAPI 3.1 schema', async () => {
    const result = await new Validator().validate(structuredClone(description) as never);
    assert.equal(result.valid, true, JSON.stringify(result.errors, undefined, 2));
    assert.equal(description.openapi, '3.1.0');
  });

  it('lists every route of the API once', () => {
    assert.deepEqual(
      operations()
        .map(([path, method]) => `${method} ${path}`)
        .sort(),
      [
        'delete /api-keys/{id}',
        'delete /fleet/{proxy}',
        'delete /servers/{name}',
        'delete /tenants/{id}',
        'get /api-keys',
        'get /api-keys/{id}',
        'get /config',
        'get /config-file',
        'get /config/diff',
        'get /defaults',
        'get /events',
        'get /events/{position}',
        'get /fleet',
        'get /fleet/budget',
        'get /fleet/clients',
        'get /fleet/convergence',
        'get /fleet/{proxy}',
        'get /health',
        'get /metrics',
        'get /read-models',
        'get /ready',
        'get /servers',
        'get /servers/{name}',
        'get /tenants',
        'get /tenants/{id}',
        'get /tenants/{id}/history',
        'get /tenants/{id}/progress',
        'get /tenants/{id}/stats',
        'patch /api-keys/{id}',
        'patch /defaults',
        'patch /servers/{name}',
        'patch /tenants/{id}',
        'post /api-keys',
        'post /config-file/reload',
        'post /config/rollback',
        'post /fleet/clients/{client}/kill',
        'post /read-models/rebuild',
        'post /secrets/reseal',
        'post /tenants',
        'post /tenants/{id}/canary/abort',
        'post /tenants/{id}/canary/promote',
        'post /tenants/{id}/drain',
        'post /tenants/{id}/kill',
        'post /tenants/{id}/pause',
        'post /tenants/{id}/reconnect',
        'post /tenants/{id}/restore',
        'post /tenants/{id}/resume',
        'post /tenants/{id}/rollback',
        'post /tenants:batch',
        'put /defaults',
        'put /servers/{name}',
        'put /tenants/{id}',
      ],
    );
  });

  it('offers with every write of an event a key, a rehearsal and a wait', () => {
    const writes = operations().filter(([path, method]) => method !== 'get' && !UPKEEP.has(path));
    assert.ok(writes.length >= 15);
    for (const [path, method, { parameters = [], responses }] of writes) {
      const names = new Set(parameters.map(({ name }) => name));
      for (const name of ['dry_run', 'wait', 'timeout', 'idempotency-key', 'reason']) {
        assert.ok(names.has(name), `${method} ${path} has no ${name}`);
      }
      if (names.has('id') && method !== 'post') assert.ok(names.has('force'), `${method} ${path}`);
      assert.equal('428' in responses, method !== 'post', `${method} ${path}`);
      const ifMatch = parameters.find(({ name }) => name === 'if-match');
      if (method !== 'post') {
        assert.match(ifMatch?.description ?? '', /Required, or 428, unless \?force=true/);
      }
      for (const status of ['200', '202', '422']) {
        assert.ok(status in responses, `${method} ${path} has no ${status}`);
      }
    }
  });

  it('gives each route a name of its own, for the functions of generated clients', () => {
    const names = operations().map(([, , { operationId }]) => operationId ?? 'none');
    assert.equal(new Set(names).size, names.length);
    for (const name of names) assert.match(name, /^[a-z]+([A-Z][a-z]+)+$/);
  });

  it('says of each route what it does and which refusals are problem+json', () => {
    for (const [path, method, operation] of operations()) {
      assert.ok((operation.summary ?? '').length > 10, `${method} ${path}`);
      for (const [status, { content }] of Object.entries(operation.responses)) {
        if (Number(status) < 400) continue;
        assert.deepEqual(Object.keys(content ?? {}), ['application/problem+json']);
        assert.ok(Object.values(HTTP_STATUS).includes(Number(status)));
      }
    }
  });

  it('marks the two open routes, and no others', () => {
    const open = operations().filter(([, , { security }]) => security?.length === 0);
    assert.deepEqual(open.map(([path]) => path).sort(), ['/health', '/ready']);
  });

  it('has no password in an answer, and each write-only in requests', () => {
    for (const name of ['Tenant', 'TenantList', 'Event', 'TenantHistory', 'Config']) {
      const schema = JSON.stringify(description.components.schemas[name]);
      assert.doesNotMatch(schema, /"(server_)?password":/);
    }
    const body = description.paths['/tenants']?.['post']?.requestBody?.content['application/json'];
    const passwords: unknown[] = [];
    JSON.stringify(body?.schema, (name, value: unknown) => {
      if (name === 'password' || name === 'server_password') passwords.push(value);
      return value;
    });
    assert.equal(passwords.length, 4, "the tenant's, two of each user, one of auth_query");
    for (const schema of passwords) assert.ok(isWriteOnly(schema), JSON.stringify(schema));
    assert.equal(body?.schema.additionalProperties, false);
  });

  it('describes exactly the fields that a tenant is answered with', async () => {
    const { json } = await plane.call('POST', '/tenants', { body: tenantBody('acme') });
    const schema = description.components.schemas['Tenant'];
    assert.deepEqual(Object.keys(json).sort(), Object.keys(schema?.properties ?? {}).sort());
    assert.deepEqual([...(schema?.required ?? [])].sort(), Object.keys(json).sort());
  });
});

describe('/docs', () => {
  it('shows the description with what this server holds alone', async () => {
    const page = await plane.call('GET', '/docs', { key: undefined });
    assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /script-src 'self';/);
    assert.doesNotMatch(policy, /https?:|upgrade-insecure/);
    const assets = [...page.text.matchAll(/(?:src|href)="(\/docs\/[^"]+)"/g)].map(
      ([, path]) => path,
    );
    assert.ok(assets.length >= 3);
    for (const path of assets) {
      assert.equal((await plane.call('GET', path ?? '', { key: undefined })).status, 200, path);
    }
  });
});

function isWriteOnly(schema: unknown): boolean {
  const { writeOnly, anyOf = [] } = schema as JsonSchema & { anyOf?: readonly JsonSchema[] };
  return writeOnly === true || anyOf.some((alternative) => alternative.writeOnly === true);
}
