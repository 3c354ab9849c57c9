/**
 * Writes that come to a control plane which does not lead are passed on to the one that does, as
 * they are: key, Idempotency-Key, If-Match and request id included, so that it is the leader that
 * recognises, counts and refuses. One that was passed on already goes no further.
 * Leaves: who leads to the core.
 */
import { request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { NotLeader } from '../replication/not-leader.ts';
import type { ReplicaStatus } from '../replication/replica.ts';
import { apiErrors } from './api-errors.ts';
import type { ApiServices } from './services.ts';

/** Says who passed a request on. */
const FORWARDED_BY = 'x-dbbouncer-forwarded-by';
/** The longest wait for proxies, and a write. */
const TIMEOUT_MS = 150_000;
/** Whoever was asked may lead no more, and stand still: how often that is looked at. */
const LOOK_EVERY_MS = 250;
const READING: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Of one connection, not of the request. Source: RFC 9110, 7.6.1. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
/** Before these nothing has left this process. */
const NOT_SENT: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

type Needed = Pick<ApiServices, 'clock'> & { readonly core: Pick<ApiServices['core'], 'status'> };
type Leader = NonNullable<ReplicaStatus['leader']>;

export function forwardWrites(instance: FastifyInstance, needed: Needed): void {
  const { core } = needed;
  if (core.status().replica === undefined) return;
  instance.addHook('onRequest', async (request, reply) => {
    const { replica } = core.status();
    if (replica === undefined || replica.role === 'leading' || !isForLeader(request))
      return undefined;
    const { leader } = replica;
    const isElsewhere = leader !== undefined && leader.id !== replica.id;
    if (!isElsewhere || replica.role === 'stopped') return undefined;
    if (request.headers[FORWARDED_BY] !== undefined) throw notLeader(replica);
    return await forward(request, reply, { ...replica, leader }, needed);
  });
}

function isForLeader({ method, is404, routeOptions }: FastifyRequest): boolean {
  if (is404) return false;
  const { servedBy = READING.has(method) ? 'any' : 'leader' } = routeOptions.config;
  return servedBy === 'leader';
}

async function forward(
  request: FastifyRequest,
  reply: FastifyReply,
  replica: ReplicaStatus & { readonly leader: Leader },
  needed: Needed,
): Promise<FastifyReply> {
  const { apiUrl } = replica.leader;
  try {
    const outgoing = begun(request, apiUrl, replica.id);
    endWithTerm(outgoing, replica.leader, needed);
    const answer = await answerTo(outgoing, request);
    return reply
      .code(answer.statusCode ?? 502)
      .headers(passedOn(answer.headers))
      .send(answer);
  } catch (error) {
    throw explained(error as NodeJS.ErrnoException, replica, apiUrl);
  }
}

function begun(request: FastifyRequest, apiUrl: string, by: string): ClientRequest {
  const { method, headers, id, url, ip } = request;
  const target = new URL(apiUrl);
  const open = target.protocol === 'https:' ? httpsRequest : httpRequest;
  const forwardedFor = [headers['x-forwarded-for'], ip].flat().filter(Boolean).join(', ');
  return open({
    method,
    protocol: target.protocol,
    // Of an address in brackets, without them.
    hostname: target.hostname.replace(/^\[|\]$/g, ''),
    port: target.port,
    path: url,
    agent: false,
    timeout: TIMEOUT_MS,
    headers: {
      ...passedOn(headers),
      'x-request-id': id,
      'x-forwarded-for': forwardedFor,
      [FORWARDED_BY]: by,
    },
  });
}

function answerTo(outgoing: ClientRequest, { raw }: FastifyRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.on('response', resolve);
    outgoing.on('timeout', () => outgoing.destroy(new Error('it did not answer in time')));
    outgoing.on('error', reject);
    raw.on('error', (error) => outgoing.destroy(error));
    raw.pipe(outgoing);
  });
}

/** Another one leads: what was asked of the one before may never be answered. */
function endWithTerm(outgoing: ClientRequest, asked: Leader, { core, clock }: Needed): void {
  let timer = clock.after(LOOK_EVERY_MS, look);
  outgoing.on('close', () => timer.cancel());
  function look(): void {
    const leader = core.status().replica?.leader;
    if (leader === undefined || leader.term === asked.term) {
      timer = clock.after(LOOK_EVERY_MS, look);
    } else {
      outgoing.destroy(new Error(`term ${leader.term} has begun meanwhile`));
    }
  }
}

function passedOn(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name)) kept[name] = value;
  }
  return kept;
}

function explained(error: NodeJS.ErrnoException, replica: ReplicaStatus, apiUrl: string): Error {
  if (NOT_SENT.has(error.code ?? '')) {
    return notLeader(replica, `the leader at ${apiUrl} could not be reached (${error.code})`);
  }
  if (isOfCertificate(error)) {
    const cure = 'name who has signed it in NODE_EXTRA_CA_CERTS of this control plane';
    const why = `is not believed (${error.code}); ${cure}`;
    return notLeader(replica, `the certificate of the leader at ${apiUrl} ${why}`);
  }
  return apiErrors.fail(
    'FORWARDING_FAILED',
    `The control plane that leads, ${apiUrl}, did not answer: ${error.message}.`,
    { hint: 'Look whether it was done, or repeat it under the same Idempotency-Key.' },
  );
}

function isOfCertificate({ code = '' }: NodeJS.ErrnoException): boolean {
  return code.startsWith('ERR_TLS_') || /CERT|SIGNATURE|ISSUER/.test(code);
}

function notLeader({ role, leader }: ReplicaStatus, problem?: string): Error {
  return new NotLeader(role, leader?.apiUrl, problem);
}
