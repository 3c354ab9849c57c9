/**
 * A duration in what people write: text within bounds, refused with a hint that says how to write
 * it.
 */
import { z } from 'zod';
import { DURATION_RULE, formatDuration, parseDurationMs } from './duration.ts';

/** Text that stays text: who needs milliseconds parses it once it is accepted. */
export function durationSchema(minMs: number, maxMs: number, description: string) {
  const range = `between ${formatDuration(minMs)} and ${formatDuration(maxMs)}`;
  return z
    .string({
      error: ({ input }) =>
        typeof input === 'number'
          ? `must be ${DURATION_RULE}; for ${input} write "${input}s" or "${input}ms"`
          : `must be ${DURATION_RULE}`,
    })
    .check((context) => {
      const durationMs = parseDurationMs(context.value);
      if (durationMs !== undefined && durationMs >= minMs && durationMs <= maxMs) return;
      const rule = durationMs === undefined ? DURATION_RULE : range;
      const given = JSON.stringify(context.value.slice(0, 40));
      context.issues.push({
        code: 'custom',
        message: `must be ${rule}; got ${given}`,
        input: context.value,
      });
    })
    .meta({ description: `${description} ${range}.`, examples: [formatDuration(maxMs / 24)] });
}
