/**
 * The way every write takes: rehearsed or done in one transaction, at most once per
 * Idempotency-Key, and waited for where that is asked.
 * Owns: that order, and how an answer becomes a reply. Leaves: what a write does and answers to the
 * routes, refusals to failures.ts.
 */
import { createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { WorkChanges, WorkScope } from '../../commands/commands.ts';
import type { ControlPlaneCore } from '../../core.ts';
import type { EventMeta, StoredEvent } from '../../store/event.ts';
import { APPLIED_WAIT_LIMITS, AppliedWaits } from '../../fleet/applied-waits.ts';
import type { Applied, WaitPlace } from '../../fleet/applied-waits.ts';
import { reachOf } from '../access.ts';
import { apiErrors } from '../api-errors.ts';
import type { WrongVersion } from '../api-errors.ts';
import { preconditionOf } from '../preconditions.ts';
import { commandMeta } from '../request-meta.ts';
import { toAppliedAnswer } from './applied.ts';
import { rehearsalOf, toDryRunAnswer } from './dry-run.ts';
import type { DryRunAnswer } from './dry-run.ts';
import { fingerprintsOf, idempotencyKeyOf, keeperOf, requireSameRequest } from './idempotency.ts';
import type { ProbedAnswer } from './probe-schema.ts';
import { PROBED_TENANTS_MAX, probeAll, requireReachable, requireTryable } from './probed.ts';
import { tellWrite } from './told-writes.ts';
import { tenantsSetBy } from './warnings.ts';
import type { WriteAnswer, WriteWork } from './write.ts';
import { writeOptions } from './write-options.ts';
import type { WriteOptions } from './write-options.ts';

export interface WritesOptions {
  readonly core: Pick<ControlPlaneCore, 'commands' | 'fleet' | 'tenants' | 'probes'>;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly log: Logger;
}

interface Done extends WriteAnswer {
  readonly events: readonly StoredEvent[];
  /** `kept`: under its key, for whoever repeats the request. */
  readonly origin: 'done' | 'kept' | 'replayed';
}

export class Writes {
  readonly #core: WritesOptions['core'];
  readonly #log: Logger;
  readonly #waits: AppliedWaits;
  /** The first one keeps; the others have kept what was answered under former master keys. */
  readonly #fingerprintSecrets: readonly KeyObject[];

  constructor({ core, keyring, clock, log }: WritesOptions) {
    this.#core = core;
    this.#log = log;
    this.#waits = new AppliedWaits(core.fleet, clock);
    const secrets = keyring.deriveFleetSecrets('idempotency');
    this.#fingerprintSecrets = secrets.map((secret) => createSecretKey(secret));
  }

  /**
   * Does `work` as the request asks for it, and replies.
   * @throws what `work` and commands throw; IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_KEYS_FULL,
   * TOO_MANY_WAIT, PROBE_FAILED, PROBE_UNAVAILABLE: nothing changed.
   */
  async perform(request: FastifyRequest, reply: FastifyReply, work: WriteWork): Promise<void> {
    const options = writeOptions(request);
    const meta = commandMeta(request);
    if (options.mode === 'dry_run') {
      await reply.code(200).send(await this.#tellOf(request, meta, work, options));
      return;
    }
    const precondition = preconditionOf(request, refuse);
    const inScope = (scope: WorkScope) => work({ scope, meta, precondition });
    if (options.probe === 'required') await this.#probe(request, inScope);
    const place = this.#placeFor(options);
    try {
      const done = await this.#do(request, inScope);
      tellWrite(this.#log, done.events);
      const applied = await place?.until(done.position, options.waitMs ?? 0);
      await replyWith(reply, done, applied);
    } finally {
      place?.leave();
    }
  }

  /** Nothing is written over, so no version has to be named; that the write must is told. */
  async #tellOf(
    request: FastifyRequest,
    meta: EventMeta,
    work: WriteWork,
    { probe }: WriteOptions,
  ): Promise<DryRunAnswer> {
    const { commands, fleet, tenants } = this.#core;
    const reach = reachOf(request);
    const rehearsal = await commands.perform((scope) => {
      const missing: WrongVersion[] = [];
      const precondition = preconditionOf(request, (refusal) => void missing.push(refusal));
      const answer = work({ scope, meta, precondition });
      return rehearsalOf(answer, scope, { tenants: scope.tenants, fleet, reach, missing });
    }, 'dry_run');
    const { answer, changes, defaults } = rehearsal;
    const asked = probe === 'no' ? [] : tenantsToProbe(answer, changes);
    const probed = await this.#try(request, asked, defaults);
    const before = (id: string) => tenants.getTenant(id)?.config;
    return toDryRunAnswer(rehearsal, { fleet, before, probed });
  }

  /**
   * Rehearses what is asked for and has its servers tried; what was done already under its key is
   * not tried again. @throws PROBE_FAILED, PROBE_UNAVAILABLE
   */
  async #probe(request: FastifyRequest, work: (scope: WorkScope) => WriteAnswer): Promise<void> {
    const { commands } = this.#core;
    const key = idempotencyKeyOf(request);
    const actor = keeperOf(request);
    const asked = await commands.perform((scope) => {
      if (key !== undefined && scope.answers.find(actor, key) !== undefined) return undefined;
      const tenants = tenantsToProbe(work(scope), scope.changes());
      return { tenants, defaults: scope.tenants.getDefaults().defaults };
    }, 'dry_run');
    if (asked === undefined) return;
    requireReachable(await this.#try(request, asked.tenants, asked.defaults));
  }

  /** Told in the log: of what is only tried there is no event. @throws SCOPE_MISSING */
  async #try(
    request: FastifyRequest,
    asked: readonly TenantConfig[],
    defaults: PoolSettings,
  ): Promise<readonly ProbedAnswer[]> {
    if (asked.length === 0) return [];
    const { probes, tenants } = this.#core;
    requireTryable(request, asked, tenants);
    const servers = asked.slice(0, PROBED_TENANTS_MAX).map(({ id, host, port }) => ({
      tenant: id,
      server: `${host}:${port}`,
    }));
    const { actor, id: requestId } = request;
    this.#log.info({ actor, requestId, servers }, 'a proxy tries servers before a write');
    return await probeAll(probes, asked, defaults);
  }

  /** The key is looked up before anything else: a repetition finds its own change in its way. */
  #do(request: FastifyRequest, work: (scope: WorkScope) => WriteAnswer): Promise<Done> {
    const key = idempotencyKeyOf(request);
    if (key === undefined) {
      return this.#core.commands.perform((scope) => {
        return { ...work(scope), events: scope.events, origin: 'done' };
      });
    }
    const actor = keeperOf(request);
    const fingerprints = fingerprintsOf(request, this.#fingerprintSecrets);
    const [fingerprint = ''] = fingerprints;
    return this.#core.commands.perform((scope) => {
      const kept = scope.answers.find(actor, key);
      if (kept !== undefined) {
        requireSameRequest(kept, fingerprints);
        const body = kept.body === null ? null : (JSON.parse(kept.body) as object);
        return { ...kept, body, events: [], origin: 'replayed' };
      }
      const answer = work(scope);
      const told = answer.told ?? answer.body;
      const body = told === null ? null : JSON.stringify(told);
      const { status, headers, position } = answer;
      scope.answers.keep({ actor, key, fingerprint, status, headers, body, position });
      return { ...answer, events: scope.events, origin: 'kept' };
    });
  }

  /** Taken before anything is done, so that nobody is refused who has changed something. */
  #placeFor({ waitMs }: WriteOptions): WaitPlace | undefined {
    if (waitMs === undefined) return undefined;
    const place = this.#waits.take();
    if (place !== undefined) return place;
    throw apiErrors.fail(
      'TOO_MANY_WAIT',
      `${this.#waits.places} writes wait for proxies; at most ${APPLIED_WAIT_LIMITS.waitsMax} may.`,
      { hint: 'Write without wait=applied, and look at GET /fleet.' },
    );
  }
}

/** The one that is asked for is tried even where nothing would change. */
function tenantsToProbe({ tenant }: WriteAnswer, changes: WorkChanges): readonly TenantConfig[] {
  const set = tenantsSetBy(changes);
  return set.length === 0 && tenant !== undefined ? [tenant] : set;
}

function refuse(refusal: WrongVersion): void {
  throw refusal;
}

/** A repetition reads byte by byte what was kept; what is done now passes the route's schema. */
async function replyWith(
  reply: FastifyReply,
  { status, headers, body: written, now, position, origin }: Done,
  applied: Applied | undefined,
): Promise<void> {
  reply.headers(headers);
  if (origin === 'replayed') reply.header('idempotency-replayed', 'true');
  if (origin !== 'done') reply.serializer(JSON.stringify);
  const body = written === null ? null : { ...written, ...now?.() };
  if (applied === undefined) {
    await (body === null ? reply.code(status).send() : reply.code(status).send(body));
    return;
  }
  const reached = status === 204 ? 200 : status;
  await reply
    .code(applied.lagging.length === 0 ? reached : 202)
    .send({ ...body, applied: toAppliedAnswer(position, applied) });
}
