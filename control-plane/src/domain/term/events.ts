/**
 * That a control plane began to write: the first event of its term. Whoever wrote before it can
 * append nothing behind it. Stored for ever, like every event.
 */
import { z } from 'zod';

export const TERM_STREAM = 'term';

export const termEventSchema = z.strictObject({
  type: z.literal('TermBegun'),
  data: z.strictObject({
    /** The id of the control plane. */
    holder: z.string().min(1).max(64),
    /** Where its API answered then. */
    apiUrl: z.string().max(2_048),
  }),
});
export type TermEvent = Readonly<z.infer<typeof termEventSchema>>;
