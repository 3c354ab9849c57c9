/**
 * What can have happened to the fleet's default pool settings. Stored for ever, like every event.
 */
import { z } from 'zod';
import { poolSettingsSchema } from '@dbbouncer/shared/contract/pool-settings.ts';

export const DEFAULTS_STREAM = 'defaults';

export const defaultsEventSchema = z.strictObject({
  type: z.literal('DefaultsChanged'),
  data: z.strictObject({
    defaults: poolSettingsSchema,
    /** They are those of this position again. */
    rolledBackTo: z.int().min(0).optional(),
  }),
});
export type DefaultsEvent = Readonly<z.infer<typeof defaultsEventSchema>>;
