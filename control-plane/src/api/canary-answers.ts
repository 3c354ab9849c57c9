/** How answers tell of a change that some proxies try. */
import { z } from 'zod';
import { candidateOf, withoutCanary } from '@dbbouncer/shared/contract/canary.ts';
import { formatDuration } from '@dbbouncer/shared/contract/duration.ts';
import { timestampAfter } from '@dbbouncer/shared/kernel/clock.ts';
import { errorRate, sum } from '../canary/judge.ts';
import type { Evidence, ProxyEvidence } from '../canary/judge.ts';
import { diffTenants } from '../history/tenant-diff.ts';
import type { TenantView } from '../store/read-models.ts';
import { changesSchema } from './field-changes.ts';

const countedSchema = z.strictObject({
  proxies: z.int().meta({ description: 'That are live.' }),
  applied: z.int().meta({ description: 'How many of them serve what they are to.' }),
  queries: z.int(),
  errors: z.int(),
  error_rate: z.number(),
});

export const canaryAnswerSchema = z
  .strictObject({
    state: z.literal('running'),
    proxies: z.array(z.string()).meta({ description: 'Those that try the change.' }),
    share: z.string().meta({ examples: ['10%'] }),
    started_at: z.iso.datetime(),
    promote_after: z.string().meta({ examples: ['1m'] }),
    promotes_at: z.iso.datetime().meta({ description: 'For all proxies, if nothing is wrong.' }),
    changes: changesSchema,
    observed: z
      .strictObject({
        canaries: countedSchema,
        others: countedSchema,
        before: countedSchema.pick({ queries: true, errors: true, error_rate: true }),
      })
      .nullable()
      .meta({
        description:
          'Since it began, and in the lives of the proxies before; in GET /tenants/{id} alone,' +
          ' else null.',
      }),
  })
  .meta({ id: 'Canary', description: 'A change that some proxies try before it holds for all.' });
type CanaryAnswer = z.infer<typeof canaryAnswerSchema>;

export function toCanaryAnswer(
  { config, origin }: Pick<TenantView, 'config' | 'origin'>,
  evidence?: Evidence,
): CanaryAnswer | null {
  const { canary } = config;
  if (canary === undefined) return null;
  const { proxies, share, startedAt, promoteAfterMs, candidate } = canary;
  const changes = diffTenants(
    { config: withoutCanary(config), origin },
    { config: candidateOf(withoutCanary(config), candidate), origin },
  );
  return {
    state: 'running',
    proxies: [...proxies],
    share: `${Math.round(share * 10_000) / 100}%`,
    started_at: startedAt,
    promote_after: formatDuration(promoteAfterMs),
    promotes_at: timestampAfter(startedAt, promoteAfterMs),
    changes: [...changes],
    observed: evidence === undefined ? null : toObserved(evidence),
  };
}

function toObserved({ canaries, others, before }: Evidence) {
  const { queries, errors } = before;
  return {
    canaries: toCounted(canaries),
    others: toCounted(others),
    before: { queries, errors, error_rate: errorRate(before) },
  };
}

function toCounted(proxies: readonly ProxyEvidence[]) {
  const counts = sum(proxies);
  return {
    proxies: proxies.filter(({ life }) => life === 'live').length,
    applied: proxies.filter(({ serving }) => serving === 'applied').length,
    ...counts,
    error_rate: errorRate(counts),
  };
}
