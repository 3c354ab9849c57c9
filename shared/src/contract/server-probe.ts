/**
 * What a control plane asks a proxy before a change is made: can you connect with this? And what
 * the proxy answers. Secrets go as they go in the config: sealed, or by reference.
 * Owns: both messages and their limits. Leaves: trying to the proxy, what follows to the API.
 */
import { z } from 'zod';
import { poolSettingsSchema } from './pool-settings.ts';
import { tenantConfigSchema } from './routing-config.ts';

export const PROBE_LIMITS = Object.freeze({
  /** How long a proxy tries at most. */
  timeoutMsMax: 30_000,
  /** Probes of one proxy side by side. */
  runningMax: 10,
  /** Of each text that a server has said. */
  textCharsMax: 1_000,
});

/**
 * How far it came: opening the password or key on the proxy, the address of the host, TCP, TLS, the
 * server's answer to the startup packet, the password, the database, the tenant's init_sql.
 */
export const PROBE_STAGES = [
  'secret',
  'dns',
  'tcp',
  'tls',
  'startup',
  'auth',
  'database',
  'init_sql',
] as const;
export type ProbeStage = (typeof PROBE_STAGES)[number];

const count = z.int().min(0);

/** What a server lets in, in its own words and numbers. */
export const serverLimitsSchema = z.strictObject({
  version: z.string(),
  maxConnections: count,
  /** Of these, kept for superusers and for roles that may use reserved connections. */
  reservedConnections: count,
});
export type ServerLimits = Readonly<z.infer<typeof serverLimitsSchema>>;

const reachableSchema = z.strictObject({
  outcome: z.literal('reachable'),
  server: serverLimitsSchema.extend({
    /** Connections that the role, and the database, may have at once; null: no such limit. */
    roleConnections: count.nullable(),
    databaseConnections: count.nullable(),
  }),
  tookMs: z.number().min(0),
});
const failedSchema = z.strictObject({
  outcome: z.literal('failed'),
  stage: z.enum(PROBE_STAGES),
  /** The server's own words where it has said any. */
  message: z.string(),
  hint: z.string().optional(),
  sqlState: z.string().optional(),
  tookMs: z.number().min(0),
});
const waitingSchema = z.strictObject({
  /** Known by a verifier alone: nobody has logged in with its password yet. No failure. */
  outcome: z.literal('waiting_for_login'),
  message: z.string(),
});
const notProbedSchema = z.strictObject({
  outcome: z.literal('not_probed'),
  reason: z.enum(['unsupported_protocol', 'busy', 'no_slot', 'unreadable']),
  message: z.string(),
});

export const probeAnswerSchema = z.discriminatedUnion('outcome', [
  reachableSchema,
  failedSchema,
  waitingSchema,
  notProbedSchema,
]);
export type ProbeAnswer = Readonly<z.infer<typeof probeAnswerSchema>>;
/** What somebody learned who has tried. */
export type ProbeFinding = Exclude<ProbeAnswer, { readonly outcome: 'not_probed' }>;

export const probeRequestSchema = z.strictObject({
  /** As it would be. */
  tenant: tenantConfigSchema,
  /** Those that would hold for it. */
  settings: poolSettingsSchema,
  timeoutMs: z.int().min(1).max(PROBE_LIMITS.timeoutMsMax),
});
export type ProbeRequest = Readonly<z.infer<typeof probeRequestSchema>>;

export function encodeProbe(message: ProbeRequest | ProbeAnswer): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

/** @throws ZodError or SyntaxError when it is no request this version knows. */
export function decodeProbeRequest(data: Uint8Array): ProbeRequest {
  return probeRequestSchema.parse(JSON.parse(new TextDecoder().decode(data)));
}

/** @throws ZodError or SyntaxError */
export function decodeProbeAnswer(data: Uint8Array): ProbeAnswer {
  return probeAnswerSchema.parse(JSON.parse(new TextDecoder().decode(data)));
}
