/**
 * Idempotency-Key: which key a request has, and when two requests are the same.
 * Owns: that. Leaves: keeping answers to the store, giving them again to writes.ts.
 * Source: draft-ietf-httpapi-idempotency-key-header-07; the key is taken as opaque text.
 */
import { createHmac } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { controlErrors } from '../../errors.ts';
import type { KeptAnswer } from '../../store/kept-answers.ts';

/** How long one waits for proxies does not make it another request. */
const NO_PART_OF_THE_REQUEST: ReadonlySet<string> = new Set(['wait', 'timeout']);

/** The checked header, or nothing. */
export function idempotencyKeyOf(request: FastifyRequest): string | undefined {
  const key = request.headers['idempotency-key'];
  return typeof key === 'string' ? key : undefined;
}

/** Under whom the key is kept: it means nothing to others. */
export function keeperOf({ holder, actor }: FastifyRequest): string {
  return holder?.keeper ?? actor;
}

/**
 * Equal for requests that ask for the same: method, route, parameters, query, body, If-Match and
 * reason. Keyed, because a body may hold a password that could be guessed from a plain hash: one
 * fingerprint for each of `secrets`, in their order.
 */
export function fingerprintsOf(
  request: FastifyRequest,
  secrets: readonly KeyObject[],
): readonly string[] {
  const { method, routeOptions, params, query, body, headers } = request;
  const asked = {
    method,
    route: routeOptions.url,
    params,
    query: Object.fromEntries(
      Object.entries(query as object).filter(([name]) => !NO_PART_OF_THE_REQUEST.has(name)),
    ),
    body,
    ifMatch: headers['if-match'],
    reason: headers['x-reason'],
  };
  const text = JSON.stringify(asked, inOrder);
  return secrets.map((secret) => createHmac('sha256', secret).update(text).digest('base64url'));
}

/**
 * @param fingerprints of the request, with every secret it may have been kept with
 * @throws IDEMPOTENCY_KEY_REUSED when `kept` answers another request.
 */
export function requireSameRequest(kept: KeptAnswer, fingerprints: readonly string[]): void {
  if (fingerprints.includes(kept.fingerprint)) return;
  throw controlErrors.fail(
    'IDEMPOTENCY_KEY_REUSED',
    `Idempotency-Key ${JSON.stringify(kept.key)} was used for another request within a day.`,
    { hint: 'Use a new key for each change, and the same only to repeat a request as it was.' },
  );
}

/** The order of members is nobody's choice. */
function inOrder(_name: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
