/**
 * Turns everything that can go wrong with a request into problem+json: our errors, Fastify's,
 * Node's, unknown paths.
 */
import { STATUS_CODES } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import { GATE_TIMES } from '../commands/write-gate.ts';
import { apiErrors } from './api-errors.ts';
import { isFault, PROBLEM_CONTENT_TYPE, toProblem } from './problem.ts';
import type { RouteTable } from './route-table.ts';
import type { ApiServices } from './services.ts';

const RETRY_AFTER_S = '1';
/** When the event log is tried again. */
const READ_ONLY_RETRY_AFTER_S = String(GATE_TIMES.tryAfterMs / 1_000);

interface CodedError {
  readonly code?: unknown;
  readonly statusCode?: unknown;
  readonly message?: unknown;
}

export function installFailureHandlers(
  instance: FastifyInstance,
  { log }: ApiServices,
  routes: RouteTable,
): void {
  instance.setErrorHandler((error, request, reply) => replyWithProblem(error, request, reply, log));
  instance.setNotFoundHandler({ preHandler: instance.rateLimit() }, (request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const methods = routes.methodsOf(path);
    if (methods.length > 0) reply.header('allow', methods.join(', '));
    return replyWithProblem(unknownRoute(request.method, path, methods), request, reply, log);
  });
}

export function replyWithProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  log: Logger,
): FastifyReply {
  const problem = toProblem(translate(error, request), request.id);
  if (isFault(problem)) {
    const { method, routeOptions, id: requestId } = request;
    log.error({ error, method, route: routeOptions.url, requestId }, 'request failed');
  }
  if (problem.status === 503 && !reply.hasHeader('retry-after')) {
    const isReadOnly = problem.code === 'STORE_READ_ONLY';
    reply.header('retry-after', isReadOnly ? READ_ONLY_RETRY_AFTER_S : RETRY_AFTER_S);
  }
  return reply
    .code(problem.status)
    .type(PROBLEM_CONTENT_TYPE)
    .serializer(JSON.stringify)
    .send(problem);
}

/**
 * For bytes that never became a request: a whole HTTP response, after which the connection ends.
 */
export function rawProblemResponse(error: unknown, requestId: string): string {
  const { code } = error as CodedError;
  const what = typeof code === 'string' ? ` (${code})` : '';
  const failure = apiErrors.fail('MALFORMED_REQUEST', `The request is not valid HTTP${what}.`);
  const problem = toProblem(failure, requestId);
  const body = JSON.stringify(problem);
  return [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `Content-Type: ${PROBLEM_CONTENT_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    '',
    body,
  ].join('\r\n');
}

function unknownRoute(method: string, path: string, methods: readonly string[]): AppError {
  const shown = path.slice(0, 200);
  if (methods.length === 0) return apiErrors.fail('ROUTE_NOT_FOUND', `There is no ${shown} here.`);
  return apiErrors.fail(
    'METHOD_NOT_ALLOWED',
    `${shown} does not know ${method}; it knows ${methods.join(', ')}.`,
  );
}

/** Fastify's and Node's failures in our words; what is ours or unknown stays. */
function translate(error: unknown, request: FastifyRequest): unknown {
  if (error instanceof AppError || typeof error !== 'object' || error === null) return error;
  const { code, statusCode, message } = error as CodedError;
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_EMPTY_TYPE':
      return apiErrors.fail('UNSUPPORTED_MEDIA_TYPE', 'The body must be JSON.', {
        hint: 'Send "Content-Type: application/json".',
      });
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return bodyTooLarge(request);
    case 'RATE_LIMITED':
      return apiErrors.fail('RATE_LIMITED', String(message));
    case 'FST_ERR_MAX_PARAM_LENGTH':
    case 'FST_STATIC_FORBIDDEN_PATH':
      return apiErrors.fail('ROUTE_NOT_FOUND', 'There is nothing at this path.');
    default:
      return isClientError(statusCode)
        ? apiErrors.fail('MALFORMED_REQUEST', `The request cannot be read: ${String(message)}.`)
        : error;
  }
}

/** Without a Content-Length it was read until it was too large. */
function bodyTooLarge({ headers, routeOptions }: FastifyRequest): AppError {
  const length = headers['content-length'];
  const bytesMax = routeOptions.bodyLimit;
  const has = length === undefined ? `more than ${bytesMax}` : length;
  return apiErrors.fail('BODY_TOO_LARGE', `The body has ${has} bytes; at most ${bytesMax} may.`, {
    hint: 'api.body_bytes_max sets the limit.',
  });
}

/** Whatever a plugin blames on the client is not our fault, and no line of the error log. */
function isClientError(statusCode: unknown): boolean {
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500;
}
