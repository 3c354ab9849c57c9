/**
 * Who may do what: holds each request against what its route needs, and tells who was denied.
 * Owns: scopes and tenants of routes, refusals and their audit. Leaves: recognising keys to
 * access/, what a route needs to its definition.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Holder, KeyGuard, KeyRefusal, Recognition } from '../access/key-guard.ts';
import { covers } from '../domain/api-key/scopes.ts';
import type { Scope } from '../domain/api-key/scopes.ts';
import { reaches } from '../domain/api-key/tenant-pattern.ts';
import { controlErrors } from '../errors.ts';
import { apiErrors, ScopeMissing } from './api-errors.ts';

/** Why a request was denied; the label of the metric. */
export type Denial = KeyRefusal | 'busy' | 'scope' | 'tenant' | 'rate_limited';

/** What a route needs; what it does not say is the most careful there is. */
export interface RouteAccess {
  /** `open` needs no key; else the least scope that may. Default: `admin`. */
  readonly access?: 'open' | Scope | undefined;
  /**
   * Which tenants it is about, for keys that are limited to some. `path`: the one that `:id` names;
   * `handler`: the handler asks `requireReach` or shows only those within reach; `none`: it shows
   * nothing of tenants; `all`: such keys may not. Default: `all`.
   */
  readonly tenants?: 'path' | 'handler' | 'none' | 'all' | undefined;
  /**
   * Which control plane does it, where there are several. Default: `any` for what only reads, else
   * `leader`.
   */
  readonly servedBy?: 'leader' | 'any' | undefined;
}

declare module 'fastify' {
  // oxlint-disable-next-line typescript/no-empty-object-type -- adds to what Fastify declares
  interface FastifyContextConfig extends RouteAccess {}
  interface FastifyRequest {
    /** Who presented a valid key, as events name it; empty when nobody did. */
    actor: string;
    holder: Holder | undefined;
    denial: Denial | undefined;
  }
}

export interface AccessServices {
  readonly guard: KeyGuard;
  readonly log: Logger;
}

const RETRY_AFTER_S = '1';

/**
 * What can be known at once is known before requests are counted; whoever may not ask is refused
 * before the body is read.
 */
export function installAccess(instance: FastifyInstance, { guard, log }: AccessServices): void {
  instance.decorateRequest('actor', '');
  instance.decorateRequest('holder', undefined);
  instance.decorateRequest('denial', undefined);
  instance.addHook('onRequest', async (request) => {
    const seen = guard.glance(request.headers.authorization);
    if (seen.outcome === 'holder') admit(request, seen.holder);
  });
  instance.addHook('preParsing', async (request, reply) => {
    const { access = 'admin' } = request.routeOptions.config;
    if (request.is404 || access === 'open') return;
    if (request.holder === undefined) {
      const recognition = await guard.recognise(request.headers.authorization);
      if (recognition.outcome !== 'holder') {
        reply.header('www-authenticate', 'Bearer realm="dbbouncer"');
        if (recognition.outcome === 'busy') reply.header('retry-after', RETRY_AFTER_S);
        throw refusalOf(request, recognition);
      }
      admit(request, recognition.holder);
    }
    requireScope(request, access);
    requireTenants(request);
  });
  instance.addHook('onResponse', async (request, reply) => {
    const { denial } = request;
    if (denial === undefined) return;
    const facts = {
      actor: request.actor,
      keyName: request.holder?.name,
      method: request.method,
      route: request.routeOptions.url,
      path: request.url.split('?', 1)[0]?.slice(0, 200),
      why: denial,
      status: reply.statusCode,
      address: request.ip,
      requestId: request.id,
    };
    // One who is told to slow down would otherwise fill the log.
    if (denial === 'rate_limited') log.debug(facts, 'request denied');
    else log.warn(facts, 'request denied');
  });
}

/**
 * For handlers of routes whose tenants are in the body.
 * @throws TENANT_OUT_OF_REACH when the key is limited to others.
 */
export function requireReach(request: FastifyRequest, tenantId: string): void {
  const { holder } = request;
  if (holder === undefined || reaches(holder.tenants, tenantId)) return;
  throw outOfReach(request, holder, `tenant ${JSON.stringify(tenantId)} is not among them`);
}

/** The pattern that tenants must match to be shown to who asks; null shows all. */
export function reachOf({ holder }: FastifyRequest): string | null {
  return holder?.tenants ?? null;
}

function admit(request: FastifyRequest, holder: Holder): void {
  request.holder = holder;
  request.actor = holder.actor;
}

function refusalOf(
  request: FastifyRequest,
  recognition: Exclude<Recognition, { outcome: 'holder' }>,
): Error {
  switch (recognition.outcome) {
    case 'refused':
      request.denial = recognition.reason;
      // For the audit alone: it holds nothing that may be done.
      request.actor = recognition.holder?.actor ?? '';
      return controlErrors.fail('UNAUTHORIZED', recognition.message, {
        hint: 'Send a valid one as "Authorization: Bearer <key>".',
      });
    case 'busy':
    case 'unchecked':
      request.denial = 'busy';
      return apiErrors.fail(
        'RATE_LIMITED',
        'Too many API keys are being checked for the first time.',
      );
    default:
      return unreachable(recognition);
  }
}

/**
 * For handlers of which a part needs more than their route does.
 * @param hint what would do without. @throws SCOPE_MISSING
 */
export function requireScope(request: FastifyRequest, needed: Scope, hint?: string): void {
  const { holder } = request;
  if (holder === undefined || covers(holder.scope, needed)) return;
  request.denial = 'scope';
  throw new ScopeMissing(needed, holder.scope, hint);
}

function requireTenants(request: FastifyRequest): void {
  const { holder, routeOptions } = request;
  if (holder === undefined || holder.tenants === null) return;
  const { tenants = 'all' } = routeOptions.config;
  switch (tenants) {
    case 'none':
    case 'handler':
      return;
    case 'all':
      throw outOfReach(request, holder, 'this is about all');
    case 'path':
      return requireTenantOfPath(request, holder);
    default:
      return unreachable(tenants);
  }
}

/** A reader is not told whether there is such a tenant. */
function requireTenantOfPath(request: FastifyRequest, holder: Holder): void {
  const { id = '' } = request.params as { readonly id?: string };
  if (reaches(holder.tenants, id)) return;
  if (request.method !== 'GET' && request.method !== 'HEAD') requireReach(request, id);
  request.denial = 'tenant';
  throw tenantNotFound(id);
}

export function tenantNotFound(id: string): Error {
  return controlErrors.fail('TENANT_NOT_FOUND', `Tenant ${JSON.stringify(id)} does not exist.`);
}

function outOfReach(request: FastifyRequest, { name, tenants }: Holder, why: string): Error {
  request.denial = 'tenant';
  return controlErrors.fail(
    'TENANT_OUT_OF_REACH',
    `The API key "${name}" is limited to the tenants ${tenants}; ${why}.`,
  );
}
