/**
 * The shared lane of one pool: a few of its server connections that serve harmless batches only,
 * many clients' at a time. Few busy connections do more than many idle ones: what is sent and
 * received together costs one system call and one wake-up.
 * Owns: which batch goes to which connection, how deep their queues get, who waits and for what.
 * Leaves: the connections to lane-members.ts, replies to lane-backend.ts, what is harmless to the
 * session.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { DueTimer } from '../../../pool/due-timer.ts';
import type { TenantMeter } from '../../meter.ts';
import type { TextEffects } from '../sql/effects.ts';
import type { BatchRequest } from './batch-request.ts';
import type { SharingVerdict } from './harmless.ts';
import { LaneLine } from './lane-line.ts';
import type { Served, Waiting } from './lane-line.ts';
import { LaneMembers } from './lane-members.ts';
import type { Member, MembersOptions } from './lane-members.ts';
import { ResendAllowance } from './resend-allowance.ts';
import { ServiceTimes } from './service-times.ts';
import type { ReturnReason } from './shared-batch.ts';

export interface LaneOptions extends Omit<
  MembersOptions,
  'times' | 'onFinished' | 'onRoom' | 'onChange'
> {
  readonly meter: TenantMeter;
}

/** Why a batch is not shared now: its client goes its own way. */
export type LaneRefusal =
  | 'off'
  /** The catalogue that decides is being read. */
  | 'unjudged'
  /** The first of its class. */
  | 'unmeasured'
  /** Another one is the first of its class. */
  | 'being_measured'
  | 'slow'
  /** A connection is being opened, or given other parameters. */
  | 'coming'
  | 'full';

/** What it takes to wake a server process: less work is not worth another one's waking. */
const WAKE_US = 100;
/**
 * Of such statements two connections do as many as the proxy can pass on: they wait for the lane
 * rather than take a connection of their own.
 */
const QUICK_US = 150;
/**
 * How long one may wait before it gets in line for a connection of its own: what comes soon serves
 * all who come first, who would otherwise open as many connections as there may be.
 */
const WAIT_MAX_MS = Object.freeze({
  off: 0,
  slow: 0,
  unmeasured: 0,
  unjudged: 500,
  being_measured: 500,
  coming: 1_000,
  full: 1_000,
});
const WAIT_LONGEST_MS = Math.max(...Object.values(WAIT_MAX_MS));
/** And so long at most while a connection of its own is at hand. */
const WAIT_BESIDE_IDLE_MS = 10;
/** What opening another server connection takes: as much as these may wait for room. */
const DIAL_MS = 25;
/** A lane is opened for so many batches within such a time, if not before. */
const DEMAND_MIN = 50;
const DEMAND_MS = 1_000;

export class SharedLane {
  readonly times = new ServiceTimes();
  readonly #options: LaneOptions;
  readonly #members: LaneMembers;
  /** For a connection of the lane, or room on one. */
  readonly #line = new LaneLine();
  /** For what is about to be known of them; they hold nobody up. */
  readonly #unknown = new LaneLine();
  readonly #allowance = new ResendAllowance();
  readonly #timer: DueTimer;
  #isServing = false;
  /** How many batches found no connection since then. */
  #absences = 0;
  #absentSinceMs = 0;

  constructor(options: LaneOptions) {
    const { clock, meter, settings } = options;
    this.#options = options;
    this.#timer = new DueTimer(clock, (nowMs) => this.#look(nowMs));
    this.#members = new LaneMembers({
      ...options,
      times: this.times,
      onFinished: (to) => {
        this.#allowance.earned(settings().pipelineResendRatio);
        if (to === 'error') meter.errorAnswered('server');
      },
      onRoom: () => this.#serveLine(),
      onChange: () => this.#changed(),
    });
  }

  /** Whether the tenant wants its reads shared, and has the connections for that. */
  get isOn(): boolean {
    return this.#options.settings().pipeline === 'reads' && this.#members.sizeMax > 0;
  }

  /** Server connections it has. */
  get size(): number {
    return this.#members.all.length;
  }

  /** Has the batch run on a connection of the lane, at once or soon, or says why not. */
  offer(request: BatchRequest): 'taken' | LaneRefusal {
    const { settings, clock } = this.#options;
    if (!this.#members.isOpen) return 'off';
    const now = settings();
    const refusal = this.#line.isBefore(request.vector.key)
      ? this.#behindOthers(request, now)
      : this.#place(request, now);
    if (refusal === 'taken') return 'taken';
    if (this.#waitMs(refusal, request) === 0) return refusal;
    const nowMs = clock.nowMs();
    this.#lineFor(refusal).join({ request, sinceMs: nowMs });
    this.#timer.armFor(nowMs + SOON_MS, nowMs);
    return 'taken';
  }

  #lineFor(refusal: LaneRefusal): LaneLine {
    return refusal === 'unjudged' || refusal === 'being_measured' ? this.#unknown : this.#line;
  }

  /**
   * For how long it is better to wait than to run by itself, in milliseconds: for room only where
   * another server connection would have to be waited for as well, or is not worth being woken.
   */
  #waitMs(refusal: LaneRefusal, request: BatchRequest): number {
    const { hasIdle } = this.#options.pool.condition;
    if (!this.#line.hasRoom || !this.#unknown.hasRoom) return 0;
    if (refusal === 'unjudged' && hasIdle) return 0;
    const waitMs = refusal === 'full' ? this.#roomWaitMs(request) : WAIT_MAX_MS[refusal];
    return hasIdle ? Math.min(waitMs, WAIT_BESIDE_IDLE_MS) : waitMs;
  }

  /** Where all stand still, or are busy with what takes its time, a wait is not worth much. */
  #roomWaitMs({ effects, vector }: BatchRequest): number {
    const mine = this.#members.all.filter((member) => member.vector.key === vector.key);
    const expectedUs = this.times.expectedUs(effects);
    if (expectedUs === undefined) return 0;
    const isServing = mine.some(({ lane }) => lane.state === 'serving');
    if (isServing && expectedUs <= QUICK_US) return WAIT_MAX_MS.full;
    const { hasIdle, hasRoom } = this.#options.pool.condition;
    // In line for a connection of its own it would wait for longer, and make others wait.
    if (!hasIdle && !hasRoom) return WAIT_MAX_MS.full;
    return hasIdle || mine.length === 0 ? 0 : DIAL_MS;
  }

  /** A batch could be shared, or why not. */
  judged(verdict: SharingVerdict): void {
    this.#options.meter.classified(verdict);
  }

  /** A batch goes back to its client. */
  gaveBack(reason: ReturnReason): void {
    this.#options.meter.sharedReturned(reason);
  }

  /** The client gives up a batch that waits. */
  withdraw(request: BatchRequest): void {
    this.#line.leave(request);
    this.#unknown.leave(request);
  }

  /** A batch of this class that ran by itself took so long. */
  measured(effects: TextEffects, us: number): void {
    // Where all connections are at work at once, each looks slow: that says nothing of a class.
    const isCrowded = this.#options.pool.condition.isShort;
    const expectedUs = isCrowded ? this.times.expectedUs(effects) : undefined;
    if (expectedUs === undefined || us < expectedUs) this.times.learnAlone(effects, us);
    this.#serveLine();
  }

  // ---- placing ----

  #place(request: BatchRequest, settings: PoolSettings): 'taken' | LaneRefusal {
    const expectedUs = this.#expectedUs(request, settings);
    if (expectedUs === undefined) return this.#placeUnmeasured(request, settings);
    if (typeof expectedUs === 'string') return expectedUs;
    const member = this.#choose(request, expectedUs, settings);
    if (member === undefined) return this.#absent(request);
    return this.#append(member, request, expectedUs, settings);
  }

  /** Others of its kind wait already: it does not overtake them. */
  #behindOthers(request: BatchRequest, settings: PoolSettings): 'taken' | LaneRefusal {
    const expectedUs = this.#expectedUs(request, settings);
    if (expectedUs === undefined) return this.#placeUnmeasured(request, settings);
    if (typeof expectedUs === 'string') return expectedUs;
    return this.#members.isComing ? 'coming' : 'full';
  }

  /** What it will take, or why that is of no interest; undefined when it is to be measured. */
  #expectedUs(
    { judgement, effects }: BatchRequest,
    { pipelineBudgetUs }: PoolSettings,
  ): number | LaneRefusal | undefined {
    if (judgement !== 'harmless') return judgement === 'coming' ? 'unjudged' : 'off';
    const expectedUs = this.times.expectedUs(effects);
    return expectedUs !== undefined && expectedUs > pipelineBudgetUs ? 'slow' : expectedUs;
  }

  /** The first of its class runs alone: on an idle connection of the lane, or by itself. */
  #placeUnmeasured(request: BatchRequest, settings: PoolSettings): 'taken' | LaneRefusal {
    const { effects } = request;
    const nowMs = this.#options.clock.nowMs();
    if (this.times.isBeingMeasured(effects, nowMs, WAIT_MAX_MS.being_measured)) {
      return 'being_measured';
    }
    this.times.measuring(effects, nowMs);
    const idle = this.#members.all.find(
      (member) => member.lane.depth === 0 && this.#suits(member, request),
    );
    // Nothing is put behind it: what it will take is not known.
    return idle === undefined
      ? 'unmeasured'
      : this.#append(idle, request, settings.pipelineBudgetUs, settings);
  }

  #append(
    member: Member,
    request: BatchRequest,
    expectedUs: number,
    { pipelineStallMs, maxPreparedStatements }: PoolSettings,
  ): 'taken' {
    const { lane } = member;
    const { clock, meter } = this.#options;
    const batch = request.render(lane.statements, expectedUs, maxPreparedStatements);
    lane.append(batch);
    request.placed(batch, lane);
    meter.sharedBatch(lane.depth);
    const nowMs = clock.nowMs();
    member.lastUseMs = nowMs;
    this.#timer.armFor(nowMs + pipelineStallMs, nowMs);
    return 'taken';
  }

  #suits({ lane, vector }: Member, request: BatchRequest): boolean {
    if (vector.key !== request.vector.key || !lane.takesBatches) return false;
    // What the client was told must hold here too, and texts must be read as they were.
    const { reported } = lane.backend;
    return reported.reading === 'standard' && reported.sharedKey === request.sharedKey;
  }

  /**
   * A busy connection is taken before an idle one as long as waiting costs less than waking; of
   * several the one with the least to do.
   */
  #choose(
    request: BatchRequest,
    expectedUs: number,
    { pipelineDepthMax, pipelineBudgetUs }: PoolSettings,
  ): Member | undefined {
    let best: Member | undefined;
    let bestUs = Number.POSITIVE_INFINITY;
    for (const member of this.#members.all) {
      const { depth, backlogUs } = member.lane;
      const fits =
        depth === 0 || (depth < pipelineDepthMax && backlogUs + expectedUs <= pipelineBudgetUs);
      if (!fits || !this.#suits(member, request)) continue;
      const waitUs = depth === 0 ? WAKE_US : backlogUs;
      if (waitUs >= bestUs) continue;
      best = member;
      bestUs = waitUs;
    }
    // Worth another one, for the next: this one is better off here than waiting for it.
    if (bestUs > WAKE_US && best !== undefined && !this.#members.isComing) {
      this.#members.open(request.vector, this.#options.clock.nowMs());
    }
    return best;
  }

  /** No connection takes it: one more is opened, or given its parameters, when that may help. */
  #absent({ vector }: BatchRequest): LaneRefusal {
    const nowMs = this.#options.clock.nowMs();
    const members = this.#members;
    if (members.isComing) return 'coming';
    if (this.#isWorthOpening(nowMs) && members.open(vector, nowMs)) return 'coming';
    if (members.all.some((member) => member.vector.key === vector.key)) return 'full';
    return members.retargetOne(vector, nowMs) ? 'coming' : 'full';
  }

  /** Several clients are at work at once, or one without pause. */
  #isWorthOpening(nowMs: number): boolean {
    if (nowMs - this.#absentSinceMs >= DEMAND_MS) {
      this.#absentSinceMs = nowMs;
      this.#absences = 0;
    }
    this.#absences += 1;
    return this.#absences >= DEMAND_MIN || this.#options.pool.condition.isBusy;
  }

  // ---- the line ----

  /** Places those in line as far as it goes; who cannot be helped here goes its own way. */
  #serveLine(): void {
    if (this.#waiting === 0 || this.#isServing) return;
    const { clock, settings } = this.#options;
    const now = settings();
    const nowMs = clock.nowMs();
    this.#isServing = true;
    try {
      for (const line of [this.#line, this.#unknown]) {
        line.serve((waiting) => this.#serve(line, waiting, nowMs, now));
      }
    } finally {
      this.#isServing = false;
    }
  }

  #serve(line: LaneLine, waiting: Waiting, nowMs: number, settings: PoolSettings): Served {
    const { request, sinceMs } = waiting;
    const refusal = this.#place(request, settings);
    if (refusal === 'taken') return 'left';
    if (nowMs - sinceMs >= this.#waitMs(refusal, request)) {
      request.returned('not_placed');
      return 'left';
    }
    const next = this.#lineFor(refusal);
    if (next === line) return 'stays';
    next.join(waiting);
    return 'left';
  }

  get #waiting(): number {
    return this.#line.length + this.#unknown.length;
  }

  /** A connection came or went, or is wanted elsewhere. */
  #changed(): void {
    this.#serveLine();
    const nowMs = this.#options.clock.nowMs();
    if (this.size > 0) this.#timer.armFor(nowMs + SOON_MS, nowMs);
  }

  // ---- time ----

  /** One timer for all, as long as there is something to look at: none for each batch. */
  #look(nowMs: number): void {
    this.#serveLine();
    for (const line of [this.#line, this.#unknown]) {
      const late = line.takeLate(nowMs - WAIT_LONGEST_MS);
      for (const request of late) request.returned('not_placed');
    }
    const nextMs = this.#members.look(nowMs, this.#allowance);
    const lineMs = this.#waiting > 0 ? nowMs + SOON_MS : Infinity;
    this.#timer.armFor(Math.min(nextMs, lineMs), nowMs);
  }
}

/** How soon it looks after something has changed. */
const SOON_MS = 10;
