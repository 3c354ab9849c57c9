/**
 * What a rehearsed write is answered with: what it would store, tell the proxies and answer, whom
 * it touches, and what to look out for.
 * Owns: that answer, what of it is seen from inside the transaction. Leaves: rehearsing to the
 * core, warnings to warnings.ts, pools to touched-pools.ts, servers to server-budgets.ts.
 */
import { z } from 'zod';
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import type { ServerAddress } from '@dbbouncer/shared/contract/database-servers.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { WorkChanges, WorkScope } from '../../commands/commands.ts';
import type { FleetReader, ProxyView } from '../../fleet/fleet-state.ts';
import type { TenantReader } from '../../store/read-models.ts';
import { redacted, redactedMembers } from '../redacted.ts';
import { probedSchema } from './probe-schema.ts';
import type { ProbedAnswer } from './probe-schema.ts';
import {
  connectionsOf,
  serverBudgets,
  serverBudgetSchema,
  toBudgetAnswer,
} from './server-budgets.ts';
import type { ServerBudgets } from './server-budgets.ts';
import type { Surroundings } from './surroundings.ts';
import { touchedPools, touchedPoolsShape } from './touched-pools.ts';
import {
  aboutBudget,
  aboutOmitted,
  aboutProbe,
  tenantsSetBy,
  warningSchema,
  warningsOf,
} from './warnings.ts';
import type { Warning } from './warnings.ts';
import type { WriteAnswer } from './write.ts';

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
      ...touchedPoolsShape,
    }),
    servers: z.array(serverBudgetSchema).meta({
      description: 'Database servers of the tenants that would change, and what they let in.',
    }),
    probes: z.array(probedSchema).meta({ description: 'With ?probe=true; else empty.' }),
    warnings: z.array(warningSchema),
  })
  .meta({ id: 'DryRun' });
export type DryRunAnswer = z.infer<typeof dryRunSchema>;

/** What only the transaction sees that is undone afterwards. */
export interface Rehearsal {
  readonly answer: WriteAnswer;
  readonly changes: WorkChanges;
  readonly defaults: ReturnType<TenantReader['getDefaults']>['defaults'];
  readonly warnings: readonly Warning[];
  readonly budgets: ServerBudgets;
}

/** What has come of a write, before it is undone. */
export function rehearsalOf(
  answer: WriteAnswer,
  scope: WorkScope,
  around: Surroundings,
): Rehearsal {
  const changes = scope.changes();
  return {
    answer,
    changes,
    defaults: scope.tenants.getDefaults().defaults,
    warnings: [...warningsOf(changes, around)],
    budgets: serverBudgets(serversOf(changes, around), around),
  };
}

/** Other defaults concern every server; those that a proxy has asked can be held against them. */
function serversOf(changes: WorkChanges, { fleet }: Surroundings): readonly ServerAddress[] {
  const declared = changes.delta.changes.flatMap((change) =>
    change.kind === 'server_set' ? [change.server] : [],
  );
  const set = [...declared, ...tenantsSetBy(changes)];
  if (!changes.delta.changes.some(({ kind }) => kind === 'defaults_set')) return set;
  return [...set, ...fleet.proxies().flatMap(({ report }) => report.servers ?? [])];
}

export interface Aftermath {
  readonly fleet: FleetReader;
  /** Tenants as they are, and stay. */
  readonly before: (id: string) => TenantConfig | undefined;
  readonly probed: readonly ProbedAnswer[];
}

export function toDryRunAnswer(rehearsal: Rehearsal, after: Aftermath): DryRunAnswer {
  const { answer, changes, defaults, warnings, budgets } = rehearsal;
  const { events, delta } = changes;
  const { fleet, before, probed } = after;
  const told = answer.told ?? answer.body;
  const live = fleet.proxies().filter(({ status: life }) => life === 'live');
  const set = tenantsSetBy(changes);
  const budgetOf = (id: string) => {
    const tenant = set.find((one) => one.id === id) ?? before(id);
    return tenant === undefined ? 0 : effectivePool({ defaults }, tenant).maxConnections;
  };
  const servers = budgets.summed.map((budget) => toBudgetAnswer(budget, fleet, probed));
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
      proxies: delta.changes.length > 0 ? live.map((view) => toProxy(view, delta.from)) : [],
      ...touchedPools(live, delta.changes, { before, defaults }),
    },
    servers,
    probes: [...probed],
    warnings: [
      ...warnings,
      ...servers.flatMap(aboutBudget),
      ...aboutOmitted(budgets),
      ...probed.flatMap((one) => [
        ...aboutProbe(one, connectionsOf(budgetOf(one.tenant), undefined, live)),
      ]),
    ],
  };
}

function toProxy({ id, report }: ProxyView, position: number) {
  const behind = Math.max(0, position - report.appliedPosition);
  return { id, behind, rejected: report.rejected?.reason ?? null };
}
