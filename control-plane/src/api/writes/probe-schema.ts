/** How the API tells what a probe has found: in rehearsals, and where it refuses a write. */
import { z } from 'zod';
import { PROBE_STAGES } from '@dbbouncer/shared/contract/server-probe.ts';

const serverSchema = z.strictObject({
  version: z.string(),
  max_connections: z.int(),
  reserved_connections: z.int().meta({
    description: 'Of these, kept for superusers and roles that may use reserved connections.',
  }),
  role_connections: z.int().nullable().meta({ description: 'Limit of the role; null: none.' }),
  database_connections: z.int().nullable().meta({ description: 'Limit of the database.' }),
});

export const probedSchema = z
  .strictObject({
    tenant: z.string(),
    host: z.string(),
    port: z.int(),
    proxy: z.string().nullable().meta({ description: 'That has tried; null: none has.' }),
    outcome: z.enum(['reachable', 'failed', 'waiting_for_login', 'not_probed']).meta({
      description:
        'waiting_for_login: the password is known by a verifier alone, so nobody can log in' +
        ' before a client has. not_probed: nobody has tried, and `reason` says why.',
    }),
    stage: z.enum(PROBE_STAGES).nullable().meta({ description: 'Where it failed.' }),
    reason: z
      .enum([
        'unsupported_protocol',
        'busy',
        'no_slot',
        'unreadable',
        'no_live_proxy',
        'no_answer',
        'too_many_tenants',
      ])
      .nullable(),
    message: z.string().nullable().meta({ description: "The server's own words, if it said any." }),
    hint: z.string().nullable(),
    sql_state: z.string().nullable(),
    took_ms: z.number().nullable(),
    server: serverSchema.nullable(),
  })
  .meta({ id: 'Probed' });
export type ProbedAnswer = Readonly<z.infer<typeof probedSchema>>;
