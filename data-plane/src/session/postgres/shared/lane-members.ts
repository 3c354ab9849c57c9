/**
 * The server connections of one pool's shared lane: a few, for reads alone.
 * Owns: opening them with default_transaction_read_only on, giving them other parameters, looking
 * after what clients have left there, giving them back. Leaves: what runs on them to
 * lane-backend.ts, which batch goes where, and when one is opened, to lane.ts.
 * What writes although it was taken for a read ends in 25006 there, and is run again by itself.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Pool } from '../../../pool/pool.ts';
import type { Keeper } from '../../../pool/keeping.ts';
import { applyVector } from '../../../upstream/apply-vector.ts';
import { withParameter } from '../../../upstream/parameter-vector.ts';
import type { ParameterVector } from '../../../upstream/parameter-vector.ts';
import type { PostgresBackend } from '../../../upstream/postgres-backend.ts';
import { idleSink } from '../../../upstream/idle-sink.ts';
import { READ_ONLY } from '../../../upstream/reported-parameters.ts';
import type { ServerCancels } from '../../../upstream/server-cancels.ts';
import type { CloseReason } from '../../../upstream/upstream.ts';
import { leaseSoon } from '../lease-once.ts';
import type { Leases } from '../leases.ts';
import type { FlushSoon } from './flush-soon.ts';
import { LaneBackend } from './lane-backend.ts';
import type { ResendAllowance } from './resend-allowance.ts';
import type { ServiceTimes } from './service-times.ts';

/** A connection that cannot be had is asked for again so much later. */
const OPEN_RETRY_MS = 250;
/** How long one may be waited for: others wait for it to serve many. */
const OPEN_WAIT_MS = 500;
/** Without work for so long, a connection is given back. */
const IDLE_MAX_MS = 60_000;
/** After so long, one is given back when it has nothing to do: it is reset then. */
const TENURE_MS = 60_000;
/** How soon one that seems to stand still is looked at again: its answer may lie unread. */
const SUSPECT_MS = 5;
/** Parameters are kept for so long, that many batches may share the change. */
const TARGET_MIN_MS = 2;
/** When clients have waited for so long, what was idle for as long is given back to them. */
const SPARE_MS = 20;
/** How soon idle connections are looked at again. */
const IDLE_LOOK_MS = 1_000;

export interface Member {
  readonly lane: LaneBackend;
  /** What its clients have set; the lane's own settings are not in it. */
  vector: ParameterVector;
  readonly sinceMs: number;
  /** When it was given its parameters. */
  targetedMs: number;
  lastUseMs: number;
  /** It takes no more batches. */
  leaving: Leaving | undefined;
}

/** What becomes of a connection that leaves the lane: it is reset for clients, or closed. */
type Leaving = 'to_clients' | CloseReason;

/** Reasons to give connections back of a pool that goes on: others may be opened later. */
const PASSING: ReadonlySet<CloseReason> = new Set(['over_limit', 'paused']);

export interface MembersOptions {
  readonly pool: Pool<PostgresBackend>;
  readonly tenantKey: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly flushSoon: FlushSoon;
  readonly cancels: ServerCancels;
  readonly leases: Leases;
  readonly settings: () => PoolSettings;
  readonly times: ServiceTimes;
  /** A batch was run on one of them. */
  readonly onFinished: (to: 'result' | 'error') => void;
  /** One of them can take more. */
  readonly onRoom: () => void;
  /** Something can be placed that could not be before, or never will be. */
  readonly onChange: () => void;
}

export class LaneMembers {
  readonly all: Member[] = [];
  readonly #options: MembersOptions;
  #opening = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  /** Since when clients wait who only need a slot. */
  #shortSinceMs = Infinity;
  /** Ended with its pool: none is opened any more. */
  #state: 'open' | 'closed' = 'open';

  constructor(options: MembersOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Whether one is on its way: being opened, or being given other parameters. */
  get isComing(): boolean {
    return this.#opening > 0 || this.all.some(({ lane }) => lane.state === 'resting');
  }

  /** How many there may be: clients who need one for themselves keep every other one. */
  get sizeMax(): number {
    const { pool, settings } = this.#options;
    const { sharedConnections, reserveConnections } = settings();
    return Math.min(
      sharedConnections,
      Math.floor((pool.condition.limit - reserveConnections - 1) / 2),
    );
  }

  /** @returns whether one more with these parameters is on its way now */
  open(vector: ParameterVector, nowMs: number): boolean {
    if (this.#state === 'closed' || nowMs < this.#notBeforeMs) return false;
    if (this.all.length + this.#opening >= this.sizeMax) return false;
    void this.#open(vector);
    return true;
  }

  async #open(vector: ParameterVector): Promise<void> {
    const { pool, clock, log } = this.#options;
    this.#opening += 1;
    try {
      // Many who are in line for one each are served by the first of the lane.
      const place = this.all.length === 0 ? 'first' : 'last';
      await this.#adopt(await leaseSoon(pool, clock, OPEN_WAIT_MS, place), vector);
    } catch (error) {
      this.#notBeforeMs = clock.nowMs() + OPEN_RETRY_MS;
      const reason = error instanceof Error ? error.message : String(error);
      log.debug({ reason }, 'no server connection for the shared lane');
    } finally {
      this.#opening -= 1;
      this.#options.onChange();
    }
  }

  async #adopt(backend: PostgresBackend, vector: ParameterVector): Promise<void> {
    const { pool, clock } = this.#options;
    try {
      await applyVector(backend, forReads(vector));
    } catch (error) {
      pool.discard(backend, 'reset_failed');
      throw error;
    }
    const isWanted = this.#state === 'open' && this.all.length < this.sizeMax;
    const kept = isWanted ? pool.keep(backend, this.#keeperOf(backend)) : 'no_room';
    if (kept === 'no_room')
      return this.#giveToClients(backend, () => pool.release(backend, 'dirty'));
    const nowMs = clock.nowMs();
    const lane = this.#laneOn(backend);
    this.all.push({
      lane,
      vector,
      sinceMs: nowMs,
      targetedMs: nowMs,
      lastUseMs: nowMs,
      leaving: undefined,
    });
  }

  #laneOn(backend: PostgresBackend): LaneBackend {
    const { tenantKey, settings, leases, onRoom } = this.#options;
    return new LaneBackend({
      ...this.#options,
      backend,
      statements: leases.statementsOn(backend),
      cancelOptions: () => ({ tenantKey, limitMs: settings().cancelWaitTimeoutMs }),
      onEnd: (why) => this.#ended(backend, why),
      onRoom: (since) => {
        const member = this.#of(backend);
        if (member === undefined) return;
        // Not when it rested: nothing was run since it was looked at.
        const isUsed = since === 'answers' && member.lane.depth === 0;
        if (isUsed && backend.leaks.takesNext()) this.#inspect(member);
        else onRoom();
      },
    });
  }

  #of(backend: PostgresBackend): Member | undefined {
    return this.all.find(({ lane }) => lane.backend === backend);
  }

  #ended(backend: PostgresBackend, reason: CloseReason): void {
    if (this.#forget(backend)) this.#options.pool.discard(backend, reason);
    this.#options.onChange();
  }

  #forget(backend: PostgresBackend): boolean {
    const at = this.all.findIndex(({ lane }) => lane.backend === backend);
    if (at !== -1) this.all.splice(at, 1);
    return at !== -1;
  }

  // ---- between batches ----

  /**
   * Has one of them take batches with other parameters: that with the least to do which has had its
   * own for a while. @returns whether one will
   */
  retargetOne(vector: ParameterVector, nowMs: number): boolean {
    const free = this.all.filter(
      ({ lane, targetedMs }) => lane.takesBatches && nowMs - targetedMs >= TARGET_MIN_MS,
    );
    const [member] = free.toSorted((a, b) => a.lane.backlogUs - b.lane.backlogUs);
    if (member === undefined) return false;
    return this.#rest(member, async () => {
      await applyVector(member.lane.backend, forReads(vector));
      // Statements are known by what their meaning depends on: they may stay.
      member.vector = vector;
      member.targetedMs = this.#options.clock.nowMs();
    });
  }

  /** Looks whether reads have left something there, which they cannot. */
  #inspect(member: Member): void {
    this.#rest(member, async () => {
      const { backend, statements } = member.lane;
      const found = await backend.leaks.inspect(backend, statements.names);
      if (found === 'leaking') throw new Error('a read has left something on its connection');
    });
  }

  /** Does `work` once the batches under way are answered. @returns whether that will be */
  #rest(member: Member, work: () => Promise<void>): boolean {
    return member.lane.rest(() => void this.#whileResting(member, work));
  }

  async #whileResting(member: Member, work: () => Promise<void>): Promise<void> {
    try {
      if (member.leaving === undefined) await work();
      if (member.leaving === undefined) member.lane.serve();
      else this.#leave(member, member.leaving);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.log.warn({ reason }, 'a connection of the shared lane is not used any more');
      member.lane.close();
    }
  }

  // ---- giving them back ----

  #keeperOf(backend: PostgresBackend): Keeper {
    return {
      giveUp: (reason) => {
        if (!PASSING.has(reason)) this.#state = 'closed';
        const member = this.#of(backend);
        if (member !== undefined) this.#giveBack(member, reason);
      },
      wanted: () => this.#options.onChange(),
    };
  }

  /** Once the batches under way are answered; one that rests already goes then. */
  #giveBack(member: Member, leaving: Leaving): void {
    if (member.leaving !== undefined && leaving === 'to_clients') return;
    member.leaving = leaving;
    this.#rest(member, () => Promise.resolve());
  }

  #leave({ lane }: Member, leaving: Leaving): void {
    const { pool, onChange } = this.#options;
    if (!this.#forget(lane.backend)) return;
    lane.leave();
    if (leaving === 'to_clients') {
      this.#giveToClients(lane.backend, () => pool.endKeeping(lane.backend));
    } else pool.discard(lane.backend, leaving);
    onChange();
  }

  /** The reset takes what was prepared. */
  #giveToClients(backend: PostgresBackend, give: () => void): void {
    this.#options.leases.statementsOn(backend).clear();
    backend.attach(idleSink);
    give();
  }

  /**
   * Looks for those that stand still, have nothing to do, or were long enough here.
   * @returns when to look again; Infinity: never
   */
  look(nowMs: number, allowance: ResendAllowance): number {
    const { pool, settings } = this.#options;
    const { pipelineStallMs } = settings();
    this.#shortSinceMs = pool.condition.isShort ? Math.min(this.#shortSinceMs, nowMs) : Infinity;
    const waitsMs = { idle: Infinity, busy: pipelineStallMs, suspect: SUSPECT_MS };
    let nextMs = Infinity;
    for (const member of Array.from(this.all)) {
      const look = member.lane.look(nowMs, pipelineStallMs, allowance);
      if (look !== 'idle') member.lastUseMs = nowMs;
      if (this.#isOver(member, nowMs)) this.#giveBack(member, 'to_clients');
      const soonMs = this.#shortSinceMs < Infinity ? SPARE_MS : IDLE_LOOK_MS;
      nextMs = Math.min(nextMs, nowMs + Math.min(soonMs, waitsMs[look]));
    }
    return nextMs;
  }

  #isOver({ sinceMs, lastUseMs }: Member, nowMs: number): boolean {
    const { idleTimeoutMs } = this.#options.settings();
    const idleMaxMs = idleTimeoutMs > 0 ? Math.min(IDLE_MAX_MS, idleTimeoutMs) : IDLE_MAX_MS;
    const idleMs = nowMs - lastUseMs;
    if (idleMs >= idleMaxMs || this.all.length > this.sizeMax) return true;
    if (idleMs >= SPARE_MS && nowMs - this.#shortSinceMs >= SPARE_MS) {
      this.#notBeforeMs = nowMs + OPEN_RETRY_MS;
      return true;
    }
    // One at a time: the others go on meanwhile.
    return nowMs - sinceMs >= TENURE_MS && this.all.every(({ leaving }) => leaving === undefined);
  }
}

/** What the lane's connections have beside their clients' parameters. */
function forReads(vector: ParameterVector): ParameterVector {
  return withParameter(vector, READ_ONLY, 'on');
}
