/**
 * Follows every canary that runs, and ends it by itself: promoted or rolled back, as an event of
 * the actor `system:canary` with its reason. A control plane that starts takes up those that its
 * log says are running, with what was counted when they began.
 * Owns: which run, when they are looked at. Leaves: the verdict to judge.ts, the rules to domain/.
 */
import { effectivePool } from '@dbbouncer/shared/contract/routing-config.ts';
import { candidateOf } from '@dbbouncer/shared/contract/canary.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { timestampMs } from '@dbbouncer/shared/kernel/clock.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Commands } from '../commands/commands.ts';
import { decodeEvent } from '../domain/domain-event.ts';
import { tenantKeyOfStream } from '../domain/tenant/events.ts';
import { controlErrors } from '../errors.ts';
import type { FleetReader } from '../fleet/fleet-state.ts';
import type { Probes } from '../fleet/probes.ts';
import type { History } from '../history/history.ts';
import type { StoredEvent } from '../store/event.ts';
import type { TenantReader } from '../store/read-models.ts';
import { evidenceOf } from './evidence.ts';
import type { RunningCanary } from './evidence.ts';
import { judge, rollBack } from './judge.ts';
import type { Evidence, Verdict } from './judge.ts';

export const CANARY_ACTOR = 'system:canary';

export const CANARY_LIMITS = Object.freeze({
  /** That run at a time, over all tenants. */
  runningMax: 200,
});

export interface CanaryWatchOptions {
  readonly commands: Pick<Commands, 'handle'>;
  readonly tenants: Pick<TenantReader, 'getTenant' | 'getDefaults'>;
  readonly history: Pick<History, 'head' | 'find' | 'eventsAfter' | 'subscribe'>;
  readonly fleet: Pick<FleetReader, 'proxies' | 'onReport'>;
  readonly probes: Pick<Probes, 'probe'>;
  /** After that silence a proxy counts as lost. */
  readonly lostAfterMs: number;
  /** Whether what is decided here is done here: of several control planes, the leader alone. */
  readonly mayDecide: () => boolean;
  /** A new unique id per call. */
  readonly newId: () => string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Reports of a thousand proxies come in a second; all of them are looked at together. */
const LOOK_INTERVAL_MS = 200;
/** After a commit, before the log is read for canaries. */
const READ_DELAY_MS = 20;
/** After a failure of the event log. */
const RETRY_MS = 2_000;
const PAGE_EVENTS = 200;
const TYPES = ['CanaryStarted', 'CanaryPromoted', 'CanaryRolledBack'] as const;

export class CanaryWatch {
  readonly #options: CanaryWatchOptions;
  /** By tenant key. */
  readonly #running = new Map<string, RunningCanary>();
  /** Whose end is under way. */
  readonly #deciding = new Map<string, Promise<void>>();
  readonly #stops: (() => void)[] = [];
  readonly #ended = { promoted: 0, rolled_back: 0 };
  #phase: 'open' | 'closed' = 'open';
  /** Up to where the log was read. */
  #seen: Position;
  /** Since when proxies can be heard. */
  #heardSinceMs: number;
  #reading: Timer | undefined;
  #look: Timer | undefined;
  #taking: Promise<void> = Promise.resolve();

  constructor(options: CanaryWatchOptions) {
    this.#options = options;
    this.#seen = options.history.head();
    this.#heardSinceMs = options.clock.nowMs();
  }

  /** Begins; what runs already is taken up in the background. */
  start(): void {
    const { history, fleet } = this.#options;
    this.#stops.push(
      history.subscribe(() => this.#readSoon()),
      fleet.onReport(() => this.#lookSoon()),
    );
    this.#taking = this.#takeUp(this.#seen);
  }

  /** How many run. */
  get size(): number {
    return this.#running.size;
  }

  /** How those ended that have ended since this began. */
  get ended(): Readonly<Record<'promoted' | 'rolled_back', number>> {
    return this.#ended;
  }

  /** What is known of the tenant's canary by now; nothing where none runs. */
  evidence(id: string): Evidence | undefined {
    // Who has just begun one asks at once.
    if (!this.#running.has(tenantKey(id))) this.#readOn();
    const running = this.#running.get(tenantKey(id));
    return running && this.#evidenceOf(running);
  }

  /** Ends none; what is being decided is awaited. */
  async close(): Promise<void> {
    this.#phase = 'closed';
    for (const stop of this.#stops) stop();
    this.#reading?.cancel();
    this.#look?.cancel();
    await Promise.all([this.#taking, ...this.#deciding.values()]);
  }

  async #takeUp(head: Position): Promise<void> {
    const { history, log } = this.#options;
    try {
      let before: Position | undefined = head + 1;
      while (before !== undefined && this.#phase === 'open') {
        const page = await history.find({
          types: ['CanaryStarted'],
          order: 'desc',
          after: 0,
          before,
          limit: PAGE_EVENTS,
        });
        for (const event of page.events) this.#take(event);
        before = page.next;
      }
      this.#lookSoon();
    } catch (error) {
      log.error({ error }, 'canaries that run cannot be read from the log');
    }
  }

  #readSoon(): void {
    this.#reading ??= this.#options.clock.after(READ_DELAY_MS, () => this.#readOn());
  }

  #readOn(): void {
    this.#reading?.cancel();
    this.#reading = undefined;
    const { history, log } = this.#options;
    try {
      while (this.#seen < history.head()) {
        const { events, reached } = history.eventsAfter(this.#seen, { types: TYPES }, PAGE_EVENTS);
        for (const event of events) {
          if (event.type === 'CanaryPromoted') this.#ended.promoted += 1;
          if (event.type === 'CanaryRolledBack') this.#ended.rolled_back += 1;
          this.#take(event);
        }
        this.#seen = Math.max(reached, this.#seen + 1);
      }
      this.#lookSoon();
    } catch (error) {
      log.warn({ error }, 'the log cannot be read for canaries just now');
      this.#readSoon();
    }
  }

  /** The state of the tenant decides: an event may be history by now. */
  #take(stored: StoredEvent): void {
    const key = tenantKeyOfStream(stored.stream) ?? '';
    const view = this.#options.tenants.getTenant(key);
    const canary = view?.config.canary;
    if (view === undefined || canary === undefined) {
      this.#running.delete(key);
      return;
    }
    const event = decodeEvent(stored);
    if (event.type !== 'CanaryStarted') return;
    if (event.data.canary.startedAt !== canary.startedAt) return;
    const { before } = event.data;
    const { position } = stored;
    this.#running.set(key, { tenant: view.config.id, canary, before, position });
  }

  #lookSoon(): void {
    if (this.#running.size === 0 || this.#phase === 'closed') return;
    this.#look ??= this.#options.clock.after(LOOK_INTERVAL_MS, () => this.#lookAtAll());
  }

  #lookAtAll(): void {
    this.#look = undefined;
    const { fleet, clock } = this.#options;
    // When nobody is heard, it is this control plane that is deaf.
    if (!fleet.proxies().some(({ status }) => status === 'live')) {
      this.#heardSinceMs = clock.nowMs();
    } else if (this.#options.mayDecide()) {
      for (const [key, running] of this.#running) {
        if (this.#deciding.has(key)) continue;
        const verdict = judge(this.#evidenceOf(running));
        if (verdict.kind !== 'wait') this.#decide(key, running, verdict);
      }
    }
    this.#lookSoon();
  }

  #evidenceOf(running: RunningCanary): Evidence {
    const { fleet, clock, lostAfterMs } = this.#options;
    return evidenceOf(running, {
      fleet: fleet.proxies(),
      elapsedMs: timestampMs(clock.timestamp()) - timestampMs(running.canary.startedAt),
      heardForMs: clock.nowMs() - this.#heardSinceMs,
      lostAfterMs,
    });
  }

  #decide(key: string, running: RunningCanary, verdict: Exclude<Verdict, { kind: 'wait' }>): void {
    const { log } = this.#options;
    const { tenant } = running;
    const decide = async () => {
      try {
        const ended = await this.#carryOut(running, verdict);
        log.info({ tenant, verdict: ended.kind, reason: ended.reason }, 'a canary has ended');
        this.#forget(key, running);
      } catch (error) {
        if (isOver(error)) this.#forget(key, running);
        else {
          log.warn({ tenant, error }, 'a canary cannot be ended just now; it is tried again');
          await this.#rest();
        }
      } finally {
        this.#deciding.delete(key);
      }
    };
    this.#deciding.set(key, decide());
  }

  /** Until what failed may be tried again, or nobody wants it to be. */
  async #rest(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(RETRY_MS, resolve);
    const wake = () => {
      timer.cancel();
      resolve();
    };
    this.#stops.push(wake);
    await promise;
    this.#stops.splice(this.#stops.indexOf(wake), 1);
    this.#lookSoon();
  }

  /** Another one may have begun since. */
  #forget(key: string, running: RunningCanary): void {
    if (this.#running.get(key) === running) this.#running.delete(key);
  }

  /** @throws what commands throw */
  async #carryOut(running: RunningCanary, verdict: Exclude<Verdict, { kind: 'wait' }>) {
    const ending = verdict.kind === 'probe' ? await this.#probe(running) : verdict;
    const { commands, newId } = this.#options;
    const { startedAt } = running.canary;
    const id = running.tenant as TenantId;
    const meta = { actor: CANARY_ACTOR, requestId: newId(), reason: ending.reason };
    if (ending.kind === 'roll_back') {
      const { cause } = ending;
      await commands.handle({ kind: 'roll_back_canary', id, startedAt, cause }, meta);
      return ending;
    }
    try {
      await commands.handle({ kind: 'promote_canary', id, startedAt }, meta);
      return ending;
    } catch (error) {
      if (!controlErrors.is(error) || error.code !== 'VALIDATION_FAILED') throw error;
      const refused = rollBack('contradicted', error.message);
      const { cause, reason } = refused;
      await commands.handle(
        { kind: 'roll_back_canary', id, startedAt, cause },
        { ...meta, reason },
      );
      return refused;
    }
  }

  async #probe(running: RunningCanary): Promise<Exclude<Verdict, { kind: 'wait' | 'probe' }>> {
    const { probes, tenants } = this.#options;
    const config = tenants.getTenant(running.tenant)?.config;
    if (config === undefined) return rollBack('no_evidence', 'the tenant is gone');
    const { candidate, proxies } = running.canary;
    const { defaults } = tenants.getDefaults();
    const tenant = candidateOf(config, candidate);
    const probed = await probes.probe(tenant, effectivePool({ defaults }, tenant), proxies);
    switch (probed.outcome) {
      case 'reachable':
        return { kind: 'promote', reason: 'few have used it; a canary can log in to the server' };
      case 'failed':
        return rollBack('dial_failures', `few have used it; a probe failed: ${probed.message}`);
      case 'waiting_for_login':
      case 'not_probed':
        return rollBack('no_evidence', `few have used it, nobody could try: ${probed.message}`);
      default:
        return unreachable(probed);
    }
  }
}

/** Somebody else has ended it. */
function isOver(error: unknown): boolean {
  return (
    controlErrors.is(error) &&
    (error.code === 'CANARY_NOT_RUNNING' || error.code === 'TENANT_NOT_FOUND')
  );
}
