/** How far a change has come on the proxies, as `wait=applied` tells it. */
import { z } from 'zod';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Applied } from '../../fleet/applied-waits.ts';

export const appliedSchema = z
  .strictObject({
    position: z.int().meta({ description: 'Of the change.' }),
    proxies: z.int().meta({ description: 'Live proxies that serve the change.' }),
    lagging: z
      .array(
        z.strictObject({
          proxy: z.string(),
          reason: z.enum(['rejected', 'no_report', 'behind']).meta({
            description:
              'rejected: it refuses what leads there, and `detail` says why. no_report: it has' +
              ' said nothing since. behind: it says that it is not there yet.',
          }),
          detail: z.string().nullable(),
          applied_position: z.int(),
        }),
      )
      .meta({ description: 'Live proxies that do not serve it yet; empty unless 202.' }),
    lost: z.array(z.string()).meta({
      description: 'Proxies that fell silent lately: nobody can say what they serve.',
    }),
  })
  .meta({ id: 'Applied' });

export function toAppliedAnswer(
  position: Position,
  { proxies, lagging, lost }: Applied,
): z.infer<typeof appliedSchema> {
  return {
    position,
    proxies,
    lagging: lagging.map(({ proxy, reason, detail, appliedPosition }) => ({
      proxy,
      reason,
      detail: detail ?? null,
      applied_position: appliedPosition,
    })),
    lost: [...lost],
  };
}
