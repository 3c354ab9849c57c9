/**
 * The routes about the fleet-wide budget: which part of it each proxy has, which slots are blocked
 * by what, and forgetting a proxy that is gone for good.
 * Leaves: what is so to budget/.
 */
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { z } from 'zod';
import { membersOf, tenantOf, tenantsOf } from '../budget/view.ts';
import type { BudgetMemberView, TenantBudgetView } from '../budget/view.ts';
import { controlErrors } from '../errors.ts';
import { blockedSchema, blockedSumsOf, blockedSumsSchema, toBlocked } from './budget-answers.ts';
import { decodeCursor, encodeCursor } from './cursor.ts';
import { problems } from './route-docs.ts';
import type { Api } from './zod-api.ts';
import type { ApiServices } from './services.ts';

const TAGS = ['Fleet'];
const PAGE = { default: 100, max: 1_000 } as const;

const memberSchema = z.strictObject({
  proxy: z.string(),
  life: z.int().meta({ description: 'Which start of the proxy it is, from 1.' }),
  status: z.enum(['live', 'silent', 'lost']),
  silent_ms: z.number(),
  divisor: z.int().nullable().meta({
    description:
      'It may hold max_connections divided by this without asking; null: it has no part yet.',
  }),
  waits_for: z.string().nullable().meta({
    description: 'The proxy that has to be heard, or forgotten, before the part can grow.',
  }),
});

const tenantSchema = z.strictObject({
  tenant: z.string(),
  max_connections: z.int(),
  server: z.string().nullable().meta({ description: 'The declared server it is on.' }),
  unmet: z.int().meta({ description: 'Slots that are wanted and not granted.' }),
  proxies: z.array(
    z.strictObject({
      proxy: z.string(),
      floor: z.int().meta({ description: 'What it may hold without a control plane.' }),
      limit: z.int().meta({ description: 'What it may hold now.' }),
      held: z.int(),
      wanted: z.int(),
    }),
  ),
  blocked: blockedSchema,
});

const budgetSchema = z
  .strictObject({
    term: z.int().nullable().meta({ description: 'null: this control plane does not grant.' }),
    divisor: z.int().nullable(),
    members: z.array(memberSchema),
    blocked: blockedSumsSchema,
    tenants: z.array(tenantSchema),
    next_cursor: z.string().nullable(),
  })
  .meta({ id: 'FleetBudget' });

const querySchema = z.strictObject({
  tenant: z.string().optional().meta({ description: 'This one alone.' }),
  limit: z.coerce.number().int().min(1).max(PAGE.max).default(PAGE.default),
  cursor: z.string().optional(),
});

export function registerBudgetRoutes(api: Api, { core, clock }: ApiServices): void {
  api.route({
    method: 'GET',
    url: '/fleet/budget',
    config: { access: 'viewer', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'getFleetBudget',
      summary: 'Who may have how many server connections of each tenant, and what blocks slots',
      description:
        'Tenants that all proxies use within their even parts are not listed; `tenant` shows any.',
      querystring: querySchema,
      response: { 200: budgetSchema, ...problems(404) },
    },
    handler: ({ query }) => {
      const { allocator } = core.budget;
      if (allocator === undefined) return NOTHING_GRANTED;
      const page = pageOf(allocator, query);
      return {
        term: allocator.term,
        divisor: allocator.members.divisor,
        members: membersOf(allocator, clock.nowMs()).map(toMember),
        blocked: blockedSumsOf(allocator),
        tenants: page.tenants.map(toTenant),
        next_cursor: encodeCursor(page.next),
      };
    },
  });
  api.route({
    method: 'DELETE',
    url: '/fleet/:proxy',
    config: { access: 'admin', tenants: 'all' },
    schema: {
      tags: TAGS,
      operationId: 'forgetProxy',
      summary: 'Forgets a lost proxy that is gone for good',
      description:
        'Its part of every tenant can then be granted to others at once, instead of after a day.' +
        ' A proxy that lives may still use it: only for one that certainly does not run any more,' +
        ' nor has server connections. A live one is refused.',
      params: z.strictObject({ proxy: z.string() }),
      querystring: z.strictObject({}),
      response: { 204: z.null(), ...problems(404, 409) },
    },
    handler: ({ params: { proxy } }, reply) => {
      const outcome = core.budget.forget(proxy as ProxyId);
      if (outcome === 'forgotten') {
        void reply.code(204);
        return null;
      }
      if (outcome === 'live') {
        throw controlErrors.fail('PROXY_NOT_LOST', `Proxy "${proxy}" is not lost.`, {
          hint: 'Stop it, and wait for proxy_lost_after and until its lease is over.',
        });
      }
      const message = `No proxy ${JSON.stringify(proxy)} has a part of the budget.`;
      throw controlErrors.fail('PROXY_NOT_FOUND', message, {
        hint: 'GET /fleet/budget lists those that have.',
      });
    },
  });
}

const NOTHING_GRANTED: z.infer<typeof budgetSchema> = {
  term: null,
  divisor: null,
  members: [],
  blocked: {},
  tenants: [],
  next_cursor: null,
};

function pageOf(
  allocator: Parameters<typeof tenantsOf>[0],
  { tenant, limit, cursor }: z.infer<typeof querySchema>,
): ReturnType<typeof tenantsOf> {
  if (tenant === undefined) return tenantsOf(allocator, decodeCursor(cursor) ?? '', limit);
  const view = tenantOf(allocator, tenantKey(tenant));
  if (view !== undefined) return { tenants: [view], next: undefined };
  throw controlErrors.fail('TENANT_NOT_FOUND', `No tenant "${tenant}" is registered.`);
}

function toMember(member: BudgetMemberView): z.infer<typeof memberSchema> {
  const { proxy, life, status, silentMs, divisor, waitsFor } = member;
  return {
    proxy,
    life,
    status,
    silent_ms: Math.round(silentMs),
    divisor: divisor ?? null,
    waits_for: waitsFor ?? null,
  };
}

function toTenant(view: TenantBudgetView): z.infer<typeof tenantSchema> {
  const { tenant, max, server, unmet, proxies } = view;
  return {
    tenant,
    max_connections: max,
    server: server ?? null,
    unmet,
    proxies: [...proxies],
    blocked: toBlocked(view),
  };
}
