/**
 * A Fastify instance whose routes say by zod schemas what they take and give: what every file of
 * routes is handed.
 * Owns: checking requests by them. Leaves: which schemas there are to the routes.
 */
import type { FastifyInstance } from 'fastify';
import { serializerCompiler } from 'fastify-type-provider-zod';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { explainIssues } from '@dbbouncer/shared/contract/explain.ts';
import { InvalidFields } from './api-errors.ts';

export type Api = ReturnType<typeof withZod>;

/** The same instance, by its type; `installSchemas` has been called. */
export function withZod(instance: FastifyInstance) {
  return instance.withTypeProvider<ZodTypeProvider>();
}

export function installSchemas(instance: FastifyInstance): void {
  instance.setValidatorCompiler(({ schema }) => validatorOf(schema as z.ZodType));
  instance.setSerializerCompiler(serializerCompiler);
}

/** Explains every field that is wrong, instead of the first one in zod's words. */
function validatorOf(schema: z.ZodType) {
  return (data: unknown) => {
    const result = schema.safeParse(data);
    return result.success
      ? { value: result.data }
      : { error: new InvalidFields(explainIssues(result.error, schema, data)) };
  };
}
