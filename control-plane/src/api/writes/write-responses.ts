/** How the answers of a write appear in the API description, and what they must hold. */
import { z } from 'zod';
import { problems } from '../route-docs.ts';
import { appliedSchema } from './applied.ts';
import { dryRunSchema } from './dry-run.ts';

/** The refusals that every write knows. */
const EVERY_WRITE = [400, 413, 415, 422, 507] as const;

const appliedAloneSchema = z.strictObject({ applied: appliedSchema });

/**
 * The answers of a write that says what has become of something: as usual, waited for, rehearsed.
 * @param status when it is neither rehearsed nor late.
 */
export function writeResponses<Body extends z.ZodObject>(
  status: 200 | 201,
  body: Body,
  ...refusals: readonly number[]
) {
  const applied = body.extend({ applied: appliedSchema });
  const done = z.union([body, applied]);
  return {
    ...(status === 201
      ? { 200: dryRunSchema, 201: done }
      : { 200: z.union([body, applied, dryRunSchema]) }),
    202: applied.meta({ description: 'Done, but not yet in force on every live proxy.' }),
    ...problems(...EVERY_WRITE, ...refusals),
  };
}

/** The answers of a write that leaves nothing to tell of. */
export function removalResponses(...refusals: readonly number[]) {
  return {
    200: z.union([appliedAloneSchema, dryRunSchema]),
    202: appliedAloneSchema,
    204: z.null(),
    ...problems(...EVERY_WRITE, ...refusals),
  };
}
