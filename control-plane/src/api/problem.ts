/**
 * The one map from error codes to HTTP statuses, and the form every refusal takes: problem+json.
 * Source: RFC 9457. Whatever is not an expected failure is INTERNAL, and tells the client nothing
 * but that.
 */
import { z } from 'zod';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { controlErrors } from '../errors.ts';
import { NotLeader } from '../replication/not-leader.ts';
import {
  apiErrors,
  BatchRefused,
  InvalidFields,
  ProbeRefused,
  ScopeMissing,
  WrongVersion,
} from './api-errors.ts';
import { probedSchema } from './writes/probe-schema.ts';

const SPECS = { ...sharedErrors.specs, ...controlErrors.specs, ...apiErrors.specs } as const;
export type ProblemCode = keyof typeof SPECS;

export const HTTP_STATUS: Readonly<Record<ProblemCode, number>> = Object.freeze({
  VALIDATION_FAILED: 400,
  MALFORMED_REQUEST: 400,
  UNAUTHORIZED: 401,
  SCOPE_MISSING: 403,
  TENANT_OUT_OF_REACH: 403,
  API_KEY_NOT_FOUND: 404,
  SERVER_NOT_FOUND: 404,
  TENANT_NOT_FOUND: 404,
  EVENT_NOT_FOUND: 404,
  PROXY_NOT_FOUND: 404,
  CLIENT_NOT_FOUND: 404,
  CONFIG_FILE_ABSENT: 404,
  ROUTE_NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  API_KEY_EXISTS: 409,
  API_KEY_REVOKED: 409,
  API_KEY_BUILT_IN: 409,
  API_KEYS_FULL: 409,
  PROXY_NOT_LOST: 409,
  CANARY_RUNNING: 409,
  CANARY_NOT_RUNNING: 409,
  CANARY_TOO_FEW_PROXIES: 409,
  CANARIES_FULL: 503,
  SERVER_ADDRESS_TAKEN: 409,
  SERVERS_FULL: 409,
  TENANT_EXISTS: 409,
  TENANT_PROTOCOL_FIXED: 409,
  TENANT_BEING_DRAINED: 409,
  TAIL_TOO_SLOW: 408,
  TENANT_ABSENT_THEN: 409,
  BATCH_REFUSED: 409,
  VERSION_CONFLICT: 412,
  BODY_TOO_LARGE: 413,
  BATCH_TOO_LARGE: 413,
  UNSUPPORTED_MEDIA_TYPE: 415,
  PROBE_FAILED: 424,
  PRECONDITION_REQUIRED: 428,
  IDEMPOTENCY_KEY_REUSED: 422,
  RATE_LIMITED: 429,
  IDEMPOTENCY_KEYS_FULL: 429,
  INTERNAL: 500,
  SETTINGS_INVALID: 500,
  BUS_UNAVAILABLE: 503,
  BUS_MESSAGE_TOO_LARGE: 500,
  BUS_SEQUENCE_CONFLICT: 503,
  FORWARDING_FAILED: 502,
  NOT_LEADER: 503,
  EVENT_STREAM_UNUSABLE: 503,
  NOT_READY: 503,
  PROBE_UNAVAILABLE: 503,
  TOO_MANY_WAIT: 503,
  SECRET_UNAVAILABLE: 503,
  TAILS_EXHAUSTED: 503,
  STORE_BUSY: 503,
  STORE_CLOSED: 503,
  STORE_DAMAGED: 503,
  STORE_FAILED: 503,
  STORE_LOCKED: 503,
  STORE_OUTCOME_UNKNOWN: 503,
  STORE_READ_ONLY: 503,
  PROXY_SILENT: 504,
  STORE_FULL: 507,
});

export const PROBLEM_CONTENT_TYPE = 'application/problem+json';

export const problemSchema = z
  .strictObject({
    type: z.string().meta({ examples: ['urn:dbbouncer:error:TENANT_NOT_FOUND'] }),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.string().meta({ description: 'Stable; the list is in the documentation.' }),
    request_id: z.string(),
    required_scope: z.string().optional().meta({
      description: 'Of SCOPE_MISSING: the least scope that may.',
    }),
    leader: z.string().optional().meta({
      description: 'Of NOT_LEADER: where the API of the control plane that leads answers.',
    }),
    etag: z.string().optional().meta({
      description:
        'Of VERSION_CONFLICT and PRECONDITION_REQUIRED: what If-Match would have to say.',
    }),
    probes: z.array(probedSchema).optional().meta({
      description: 'Of PROBE_FAILED and PROBE_UNAVAILABLE: what was found of each server.',
    }),
    errors: z
      .array(
        z.strictObject({
          path: z.string(),
          message: z.string(),
          code: z.string().optional().meta({ description: 'Of one operation of several.' }),
        }),
      )
      .optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details.' });
export type Problem = Readonly<z.infer<typeof problemSchema>>;

/** The problem for whatever was thrown. */
export function toProblem(error: unknown, requestId: string): Problem {
  const known = isKnown(error) ? error : internal();
  const code = known.code;
  return {
    type: `urn:dbbouncer:error:${code}`,
    title: SPECS[code].summary,
    status: HTTP_STATUS[code],
    detail: [known.message, known.detail, known.hint].filter(Boolean).join(' '),
    code,
    request_id: requestId,
    ...(known instanceof ScopeMissing && { required_scope: known.needed }),
    ...(known instanceof NotLeader && known.leader !== undefined && { leader: known.leader }),
    ...(known instanceof WrongVersion && { etag: known.etag }),
    ...(known instanceof ProbeRefused && { probes: [...known.probed] }),
    ...(known instanceof InvalidFields && {
      errors: known.fields.map(({ path, message }) => ({ path, message })),
    }),
    ...(known instanceof BatchRefused && { errors: [...known.problems] }),
  };
}

/** Whether the failure is ours rather than the sender's: those are logged as errors. */
export function isFault(problem: Problem): boolean {
  return problem.status >= 500 && !QUIET.includes(problem.code);
}

/** Told once, when they begin, and not for each request that meets them. */
const QUIET: readonly string[] = [
  'EVENT_STREAM_UNUSABLE',
  'NOT_LEADER',
  'NOT_READY',
  'STORE_READ_ONLY',
];

function isKnown(error: unknown): error is AppError<ProblemCode> {
  return error instanceof AppError && Object.hasOwn(HTTP_STATUS, error.code);
}

function internal(): AppError<ProblemCode> {
  return apiErrors.fail('INTERNAL', 'Something went wrong inside DBBouncer.', {
    hint: 'The log of the control plane has more under this request_id.',
  });
}
