/**
 * What a rehearsed write is answered with: what it would store, tell the proxies and answer, whom
 * it touches, and what to look out for. Leaves: rehearsing to the core, warnings to warnings.ts.
 */
import { z } from 'zod';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { WorkChanges } from '../../commands/commands.ts';
import type { ProxyView } from '../../fleet/fleet-state.ts';
import { redacted, redactedMembers } from '../redacted.ts';
import type { Surroundings } from './surroundings.ts';
import { warningSchema, warningsOf } from './warnings.ts';
import type { WriteAnswer } from './write.ts';

/** Pools in one answer; the number of those that are left out is told. */
const POOLS_MAX = 1_000;

const anObject = z.record(z.string(), z.unknown());

export const dryRunSchema = z
  .strictObject({
    dry_run: z.literal(true),
    status: z.int().meta({ description: 'What the write would be answered with.' }),
    result: anObject.nullable().meta({ description: 'The body of that answer.' }),
    events: z
      .array(z.strictObject({ stream: z.string(), type: z.string(), data: anObject }))
      .meta({ description: 'What would be stored; empty when nothing would change.' }),
    delta: z
      .strictObject({ from: z.int(), to: z.int(), changes: z.array(anObject) })
      .meta({ description: 'What proxies would be told.' }),
    touches: z.strictObject({
      proxies: z
        .array(z.strictObject({ id: z.string(), behind: z.int(), rejected: z.string().nullable() }))
        .meta({ description: 'Live proxies; each would swap its config.' }),
      pools: z
        .array(
          z.strictObject({
            proxy: z.string(),
            tenant: z.string(),
            database: z.string(),
            user: z.string(),
            active: z.int(),
            idle: z.int(),
            total: z.int(),
            waiting: z.int(),
          }),
        )
        .meta({ description: 'What those proxies hold for the tenants that would change.' }),
      pools_omitted: z.int().meta({ description: `Pools beyond the first ${POOLS_MAX}.` }),
    }),
    warnings: z.array(warningSchema),
  })
  .meta({ id: 'DryRun' });
export type DryRunAnswer = z.infer<typeof dryRunSchema>;

export function toDryRunAnswer(
  answer: WriteAnswer,
  { events, delta }: WorkChanges,
  around: Surroundings,
): DryRunAnswer {
  const told = answer.told ?? answer.body;
  const live = around.fleet.proxies().filter(({ status: life }) => life === 'live');
  const touchesProxies = delta.changes.length > 0;
  return {
    dry_run: true,
    status: answer.status,
    // As JSON has it: members that are undefined are not there.
    result: told === null ? null : (JSON.parse(JSON.stringify(told)) as Record<string, unknown>),
    events: events.map(({ stream, type, data }) => ({
      stream,
      type,
      data: redactedMembers(data),
    })),
    delta: {
      from: delta.from,
      to: delta.to,
      changes: delta.changes.map((change) => redacted(change) as Record<string, unknown>),
    },
    touches: {
      proxies: touchesProxies ? live.map((view) => toProxy(view, delta.from)) : [],
      ...touchedPools(live, delta),
    },
    warnings: [...warningsOf({ events, delta }, around)],
  };
}

function toProxy({ id, report }: ProxyView, position: number) {
  const behind = Math.max(0, position - report.appliedPosition);
  return { id, behind, rejected: report.rejected?.reason ?? null };
}

function touchedPools(live: readonly ProxyView[], { changes }: WorkChanges['delta']) {
  const keys = new Set<string>();
  let touchesAll = false;
  for (const change of changes) {
    if (change.kind === 'tenant_set') keys.add(tenantKey(change.tenant.id));
    else if (change.kind === 'tenant_removed') keys.add(tenantKey(change.id));
    else if (change.kind === 'defaults_set') touchesAll = true;
  }
  const pools = live.flatMap(({ id: proxy, report }) =>
    report.pools
      .filter(({ tenant }) => touchesAll || keys.has(tenantKey(tenant)))
      .map(({ tenant, database, user, active, idle, total, waiting }) => ({
        proxy,
        tenant,
        database,
        user,
        active,
        idle,
        total,
        waiting,
      })),
  );
  return {
    pools: pools.slice(0, POOLS_MAX),
    pools_omitted: Math.max(0, pools.length - POOLS_MAX),
  };
}
