/** Who asks, under which request id and why: what every event of a request carries. */
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { CommandMeta } from '../commands/commands.ts';
import { invalidField } from './api-errors.ts';

export const REASON_CHARS_MAX = 500;
const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:/+=-]{0,127}$/;

const reasonText = z
  .string()
  .max(REASON_CHARS_MAX)
  .refine((text) => text.isWellFormed(), { error: 'must be well-formed Unicode' });

export const reasonQuery = z.strictObject({
  reason: reasonText.optional().meta({
    description: 'Why, for the history of the tenant. The header X-Reason does the same.',
  }),
});

/** Of a body; goes before the query and the header. */
export const reasonField = reasonText.optional().meta({
  description: 'Why, for the history. ?reason= and X-Reason do the same.',
});
/** Of writes that need no body. */
export const reasonBody = z.strictObject({ reason: reasonField }).nullish();

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/;

/** Documents the headers; others pass. */
export const writeHeaders = z.looseObject({
  'idempotency-key': z
    .string()
    .regex(IDEMPOTENCY_KEY, {
      error: 'must be 1 to 255 visible ASCII characters, without blanks',
    })
    .optional()
    .meta({
      description:
        'Makes it safe to repeat this request: for a day the same key gives the same answer, with' +
        ' Idempotency-Replayed: true, and changes nothing again. A refused request is not kept.',
      examples: ['8f14e45f-ceea-467f-9f4c-2b8b5c3f1a55'],
    }),
  'if-match': z.string().optional().meta({
    description: 'An ETag: the change is made only if what it is about is still at that version.',
  }),
  'x-reason': z.string().optional(),
  'x-request-id': z.string().optional(),
});

/** The headers of writes that replace, change or remove: they must say on which version. */
export const changeHeaders = writeHeaders.extend({
  'if-match': writeHeaders.shape['if-match'].meta({
    description:
      'The ETag of what is changed, as GET gives it: when it is at another version by now, 412. *' +
      ' stands for any version. Required, or 428, unless ?force=true; a dry run can be without.',
    examples: ['"3"'],
  }),
});

/** The sender's request id when it is a usable one, else a new one. */
export function requestIdOf(header: string | string[] | undefined, newId: () => string): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : newId();
}

/** @throws VALIDATION_FAILED when the reason is too long. */
export function commandMeta(request: FastifyRequest): CommandMeta {
  const { reason } = request.query as z.infer<typeof reasonQuery>;
  return {
    actor: request.actor,
    requestId: request.id,
    reason: reason ?? headerReason(request.headers['x-reason']),
  };
}

/** @param reason of the body, when it says one. */
export function withReason(meta: CommandMeta, reason: string | undefined): CommandMeta {
  return reason === undefined ? meta : { ...meta, reason };
}

function headerReason(header: string | string[] | undefined): string | undefined {
  if (header === undefined) return undefined;
  // Node reads header bytes as Latin-1; people send UTF-8.
  const reason = Buffer.from([header].flat().join(', '), 'latin1').toString('utf8').trim();
  if (reason.length <= REASON_CHARS_MAX) return reason === '' ? undefined : reason;
  throw invalidField('X-Reason', `must have at most ${REASON_CHARS_MAX} characters`);
}
