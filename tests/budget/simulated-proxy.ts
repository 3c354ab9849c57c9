/**
 * A proxy of the simulated world: the real obedience (data-plane/src/budget) under a pool that is
 * greedy: it opens whatever it may while clients want it. Crashes, stops, starts again from its
 * disk.
 */
import { BUDGET_LIMITS } from '@dbbouncer/shared/contract/budget.ts';
import type {
  BudgetGrant,
  GrantAnswer,
  LookAnswer,
  LookRequest,
  ProxyNeeds,
} from '@dbbouncer/shared/contract/budget.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId, TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { keptAfter, NOTHING_KEPT } from '@dbbouncer/data-plane/budget/kept-budget.ts';
import type { KeptBudget, KeptChange } from '@dbbouncer/data-plane/budget/kept-budget.ts';
import { WakingTime } from '@dbbouncer/data-plane/budget/waking-clock.ts';
import { Obedience } from '@dbbouncer/data-plane/budget/obedience.ts';
import type { Chance } from './chance.ts';
import type { Connection, DatabaseServer } from './database-server.ts';
import type { Agenda } from './network.ts';
import type { SimulatedConfig } from './simulated-config.ts';

export interface ProxySurroundings {
  readonly agenda: Agenda;
  readonly chance: Chance;
  readonly server: DatabaseServer;
  /** A clock goes as wrong as it may, or by chance. */
  readonly clocks: 'extreme' | 'any';
  readonly say: (line: string) => void;
  /** Publishes needs. */
  readonly tell: (needs: ProxyNeeds) => void;
}

interface Slot {
  readonly connection: Connection;
  state: 'dialing' | 'idle' | 'busy' | 'closing';
  busyUntilMs: number;
}

/** What goes on for a tenant. */
interface TenantPool {
  readonly slots: Set<Slot>;
  /** How many clients want a server connection at once. */
  demand: number;
  looking: 'no' | 'yes';
  /** When at least one client was served last. */
  servedMs: number;
}

export type ProxyLife = 'running' | 'stopped' | 'ended';

export class SimulatedProxy {
  readonly id: ProxyId;
  readonly #world: ProxySurroundings;
  /** How fast its clock goes, and where it begins. */
  readonly #rate: number;
  #offsetMs: number;
  readonly #clock = new WakingTime();
  state: ProxyLife = 'ended';
  life = 0;
  disk: KeptBudget = NOTHING_KEPT;
  /** On its disk, and served. */
  config: SimulatedConfig | undefined;
  ending: 'in_order' | 'unknown' = 'unknown';
  leaving: 'no' | 'closing' | 'told' = 'no';
  readonly pools = new Map<string, TenantPool>();
  #obedience: Obedience | undefined;
  /** Arrived while it was stopped. */
  #waiting: (() => void)[] = [];
  #stoppedMs = 0;
  #neededMs = -Infinity;
  #urgentMs = -Infinity;
  #lastNews = '';
  #leaveByMs = Infinity;
  #order: (() => void)[] = [];
  #isObeying = false;

  constructor(id: ProxyId, world: ProxySurroundings) {
    this.id = id;
    this.#world = world;
    const { chance, clocks } = world;
    this.#rate = 1 + (clocks === 'any' ? chance.between(-0.01, 0.01) : extreme(chance));
    this.#offsetMs = world.chance.between(0, 1_000_000);
  }

  get nowMs(): number {
    const sinceMs = this.#world.agenda.nowMs * this.#rate;
    return this.#clock.at(this.#offsetMs + sinceMs, sinceMs);
  }

  get isRunning(): boolean {
    return this.state === 'running';
  }

  /** @param config what it serves from now on, not older than what is on its disk */
  start(config: SimulatedConfig): void {
    const before = this.config;
    this.life += 1;
    this.state = 'running';
    this.leaving = 'no';
    this.#waiting = [];
    this.#order = [];
    this.#isObeying = false;
    this.pools.clear();
    this.#obedience = new Obedience({
      proxy: this.id,
      life: this.life,
      kept: this.disk,
      tenants: before?.tenants ?? config.tenants,
      left: this.life === 1 || this.ending === 'in_order' ? 'nothing' : 'maybe',
      silentMs: 0,
      nowMs: this.nowMs,
    });
    this.ending = 'unknown';
    this.config = config;
    if (before !== undefined) this.#keep(this.#obedience.serve(config.tenants, config.allKeys));
    this.#lastNews = '';
    this.#neededMs = -Infinity;
    this.#lookEverywhere();
  }

  serve(config: SimulatedConfig): void {
    this.#whenRunning(() => {
      if (this.config === undefined || config.position <= this.config.position) return;
      this.config = config;
      this.#keep(this.#obedience?.serve(config.tenants, config.allKeys));
    });
  }

  /** kill -9: the kernel closes its sockets; what is on disk stays, if the disk does. */
  kill(disk: 'kept' | 'lost'): void {
    this.state = 'ended';
    for (const { slots } of this.pools.values()) {
      for (const { connection } of slots) {
        connection.onClosed = () => {};
        this.#world.server.close(connection, 'killed');
      }
    }
    this.pools.clear();
    this.#obedience = undefined;
    if (disk === 'kept') return;
    this.disk = NOTHING_KEPT;
    this.config = undefined;
  }

  /** SIGSTOP, or its machine is suspended: nothing is done, everything stays. */
  stop(): void {
    if (this.state !== 'running') return;
    this.state = 'stopped';
    this.#stoppedMs = this.#world.agenda.nowMs;
  }

  /** @param clock whether the monotonic one has gone on meanwhile */
  resume(clock: 'went_on' | 'stood' = 'went_on'): void {
    if (this.state !== 'stopped') return;
    this.state = 'running';
    if (clock === 'stood') {
      this.#offsetMs -= (this.#world.agenda.nowMs - this.#stoppedMs) * this.#rate;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    // What it finds out first is chance: that time has gone by, or what has arrived.
    if (this.#world.chance.happens(0.5)) this.step();
    for (const happen of waiting) happen();
  }

  /** Ends in good order: lets clients go, closes everything, gives its share back. */
  leave(): void {
    if (this.state === 'running') this.leaving = 'closing';
  }

  pool(key: string): TenantPool {
    const known = this.pools.get(key);
    if (known !== undefined) return known;
    const pool: TenantPool = { slots: new Set(), demand: 0, looking: 'no', servedMs: -Infinity };
    this.pools.set(key, pool);
    return pool;
  }

  want(key: string, clients: number): void {
    this.pool(key).demand = clients;
  }

  capOf(key: string): number {
    return this.#obedience?.capOf(key, this.nowMs) ?? 0;
  }

  /** What it holds or may hold as soon as its lease is renewed. */
  mostOf(key: string): number {
    const held = this.#world.server.of(key).filter(({ proxy }) => proxy === this.id).length;
    return Math.max(held, this.capOf(key), this.#obedience?.said.get(key)?.limit ?? 0);
  }

  get described(): string {
    const pools = [...this.pools].map(([key, { slots, demand }]) => {
      const states = [...slots].map(({ state }) => state.charAt(0)).join('');
      return `${key} cap ${this.capOf(key)} wants ${demand} has ${states || '-'}`;
    });
    const share = this.#obedience?.share?.divisor ?? 'none';
    return `${this.id}/${this.life} ${this.state} share ${share}: ${pools.join('; ')}`;
  }

  // --- what arrives ---

  grant(grant: BudgetGrant, answer: (answer: GrantAnswer) => void): void {
    this.#whenRunning(() => {
      this.#order.push(() => this.#obey(grant, answer));
      this.#nextOrder();
    });
  }

  look(request: LookRequest, answer: (answer: LookAnswer) => void): void {
    this.#whenRunning(() => {
      const key = tenantKey(request.tenant);
      const { proxy, upToLife } = request.left;
      const hasSlot = [...this.pool(key).slots].some(({ state }) => state !== 'closing');
      if (!hasSlot && this.capOf(key) === 0) {
        const remaining = this.#world.server.left(key, proxy, upToLife).length;
        if (this.#hasAnyConnection) answer({ outcome: 'seen', remaining, ended: 0 });
        else answer({ outcome: 'cannot', reason: 'no_slot', message: 'no slot' });
        return;
      }
      this.#lookInto(key, proxy, upToLife, request.keep, 3, (remaining) => {
        const isOwn = request.left.proxy === this.id && request.left.upToLife === this.life - 1;
        if (isOwn && remaining === 0) this.#obedience?.look(key, 'yes');
        answer({ outcome: 'seen', remaining, ended: 0 });
      });
    });
  }

  /** What happens by itself. */
  step(): void {
    if (this.state !== 'running' || this.#obedience === undefined) return;
    for (const [key, pool] of this.pools) this.#drive(key, pool);
    if (this.leaving !== 'no') this.#leaveOn();
    if (this.state === 'running') this.#tellIfDue();
  }

  /** Over another tenant's connection one can look, and end nothing. */
  get #hasAnyConnection(): boolean {
    for (const { slots } of this.pools.values()) {
      for (const { state } of slots) if (state === 'idle' || state === 'busy') return true;
    }
    return false;
  }

  #whenRunning(happen: () => void): void {
    if (this.state === 'stopped') this.#waiting.push(() => this.#whenRunning(happen));
    else if (this.state === 'running') happen();
  }

  #nextOrder(): void {
    if (this.#isObeying) return;
    const next = this.#order.shift();
    if (next === undefined) return;
    this.#isObeying = true;
    next();
  }

  #obey(grant: BudgetGrant, answer: (answer: GrantAnswer) => void): void {
    const obedience = this.#obedience;
    const judged = obedience?.judge(grant);
    if (obedience === undefined || judged === undefined) return;
    const done = (text: GrantAnswer): void => {
      this.#isObeying = false;
      answer(text);
      this.#nextOrder();
    };
    if (judged.kind === 'refused') return done(judged.answer);
    const obeyNow = (): void => {
      obedience.obey(grant, this.nowMs);
      for (const [key, pool] of this.pools) this.#drive(key, pool);
      const text = obedience.answer(grant, { nowMs: this.nowMs, uses: this.#uses() });
      // Who was said to hold too much is told of again when he does not any more.
      if (text.outcome === 'obeyed' && text.above.length > 0) this.#lastNews = 'above';
      done(text);
      if (this.leaving === 'told' && grant.share === null) this.#end();
    };
    if (judged.keep === undefined) return obeyNow();
    const { life } = this;
    this.#world.agenda.after(this.#world.chance.between(0.5, 15), () => {
      if (this.life !== life || this.state === 'ended') return;
      this.#keep(judged.keep);
      // It may be stopped or killed between the two.
      this.#whenRunning(obeyNow);
    });
  }

  #keep(change: KeptChange | undefined): void {
    if (change !== undefined) this.disk = keptAfter(this.disk, change);
  }

  #uses() {
    return [...this.pools].map(([key, { slots, demand }]) => ({
      key,
      tenant: key as TenantId,
      held: slots.size,
      wanted: Math.max(busyIn(slots), demand),
    }));
  }

  #drive(key: string, pool: TenantPool): void {
    const now = this.#world.agenda.nowMs;
    const demand = this.leaving === 'no' ? pool.demand : 0;
    for (const slot of pool.slots) {
      if (slot.state !== 'busy') continue;
      pool.servedMs = now;
      if (now < slot.busyUntilMs) continue;
      slot.state = 'idle';
      slot.connection.state = 'idle';
    }
    this.#shrink(pool, this.capOf(key));
    let busy = busyIn(pool.slots);
    for (const slot of pool.slots) {
      if (busy >= demand) break;
      if (slot.state !== 'idle') continue;
      this.#use(slot);
      busy += 1;
    }
    const dialing = [...pool.slots].filter(({ state }) => state === 'dialing').length;
    for (let missing = demand - busy - dialing; missing > 0; missing--) {
      if (pool.slots.size >= this.capOf(key)) break;
      this.#dial(key, pool);
    }
    if (this.leaving !== 'no') this.#shrink(pool, 0);
    if (demand === 0 && this.#world.chance.happens(0.002)) this.#shrink(pool, 0);
  }

  #use(slot: Slot): void {
    const { agenda, chance } = this.#world;
    slot.state = 'busy';
    slot.connection.state = 'busy';
    const ms = chance.happens(0.02) ? chance.between(500, 3_000) : chance.between(5, 100);
    slot.busyUntilMs = agenda.nowMs + ms;
  }

  /** Dials first, then idle ones; those in use when they are given back. */
  #shrink(pool: TenantPool, cap: number): void {
    let open = 0;
    for (const { state } of pool.slots) if (state !== 'closing') open += 1;
    for (const wanted of ['dialing', 'idle'] as const) {
      for (const slot of pool.slots) {
        if (open <= cap) return;
        if (slot.state !== wanted) continue;
        slot.state = 'closing';
        this.#world.server.close(slot.connection, 'closed');
        open -= 1;
      }
    }
  }

  #dial(key: string, pool: TenantPool): void {
    const { server, agenda, chance } = this.#world;
    const { life } = this;
    const connection = server.open(key, this.id, life, () => void pool.slots.delete(slot));
    const slot: Slot = { connection, state: 'dialing', busyUntilMs: 0 };
    pool.slots.add(slot);
    const ms = chance.happens(0.05) ? chance.between(50, 400) : chance.between(2, 15);
    const loggedIn = (): void => {
      if (this.life !== life || connection.isAbandoned) return;
      if (this.state === 'stopped') {
        this.#waiting.push(loggedIn);
        return;
      }
      this.#shrink(pool, this.capOf(key));
      if (slot.state !== 'dialing') return;
      slot.state = 'idle';
      connection.state = 'idle';
      this.#lookIfNeeded(key, pool);
    };
    agenda.after(ms, loggedIn);
  }

  #lookIfNeeded(key: string, pool: TenantPool): void {
    if (this.#obedience?.lookedAt(key) !== 'not_yet' || pool.looking === 'yes') return;
    pool.looking = 'yes';
    const { life } = this;
    this.#lookInto(key, this.id, life - 1, 0, 100, (remaining) => {
      pool.looking = 'no';
      if (this.life === life && remaining === 0) this.#obedience?.look(key, 'yes');
    });
  }

  /** Ends what is beyond `keep`, and looks again until it is gone. */
  #lookInto(
    key: string,
    proxy: string,
    upToLife: number,
    keep: number,
    tries: number,
    seen: (remaining: number) => void,
  ): void {
    const { server, agenda } = this.#world;
    const left = server.left(key, proxy, upToLife);
    if (left.length <= keep || tries === 0) {
      seen(left.length);
      return;
    }
    const idleFirst = left.toSorted(
      (a, b) => Number(a.state === 'busy') - Number(b.state === 'busy'),
    );
    for (const connection of idleFirst.slice(0, left.length - keep)) {
      server.close(connection, 'terminated');
    }
    const { life } = this;
    agenda.after(20, () => {
      const again = (): void => this.#lookInto(key, proxy, upToLife, keep, tries - 1, seen);
      if (this.life === life) this.#whenRunning(again);
    });
  }

  /** In the background it looks whether anything at all is left of earlier lives. */
  #lookEverywhere(): void {
    const { agenda, chance, server } = this.#world;
    const { life } = this;
    agenda.after(chance.between(500, 3_000), () => {
      if (this.life !== life || this.state === 'ended') return;
      const isLeft = [...server.connections].some(
        (one) => one.proxy === this.id && one.life < life,
      );
      if (isLeft || this.state === 'stopped') this.#lookEverywhere();
      else this.#obedience?.nothingIsLeft();
    });
  }

  get isUnlooked(): boolean {
    return [...this.pools.keys()].some((key) => this.#obedience?.lookedAt(key) !== 'yes');
  }

  #tellIfDue(): void {
    const now = this.nowMs;
    const isDue = now - this.#neededMs >= BUDGET_LIMITS.heartbeatMs;
    const isUrgent = now - this.#urgentMs >= BUDGET_LIMITS.needsGapMs && this.#isNews();
    if (!isDue && !isUrgent) return;
    if (isDue) this.#neededMs = now;
    this.#urgentMs = now;
    this.#tell(isDue ? 'heartbeat' : 'news', 'serving');
  }

  #isNews(): boolean {
    let news = '';
    const { nowMs } = this;
    for (const [key, { slots, demand }] of this.pools) {
      const cap = this.#obedience?.capOf(key, nowMs) ?? 0;
      const wanted = Math.max(busyIn(slots), demand);
      if (wanted > cap || slots.size > cap) news += `${key}:${slots.size}:${wanted},`;
    }
    const isNews = news !== this.#lastNews;
    this.#lastNews = news;
    return isNews;
  }

  #tell(occasion: 'heartbeat' | 'news', state: ProxyNeeds['state']): void {
    if (this.#obedience === undefined || this.config === undefined) return;
    const appliedPosition = this.config.position;
    const moment = { nowMs: this.nowMs, uses: this.#uses() };
    this.#world.tell(this.#obedience.needs(moment, { occasion, appliedPosition, state }));
  }

  #leaveOn(): void {
    const isClosed = [...this.pools.values()].every(({ slots }) => slots.size === 0);
    if (this.leaving === 'closing' && isClosed) {
      this.leaving = 'told';
      this.#leaveByMs = this.nowMs + 500;
      this.#tell('heartbeat', 'leaving');
      this.#world.agenda.after(50, () => {
        if (this.leaving === 'told' && this.isRunning) this.#tell('heartbeat', 'leaving');
      });
    }
    if (this.leaving === 'told' && this.nowMs >= this.#leaveByMs) this.#end();
  }

  #end(): void {
    this.ending = 'in_order';
    this.state = 'ended';
    this.#obedience = undefined;
    this.pools.clear();
  }
}

function extreme(chance: Chance): number {
  return chance.happens(0.5) ? -0.01 : 0.01;
}

function busyIn(slots: ReadonlySet<Slot>): number {
  let busy = 0;
  for (const { state } of slots) if (state === 'busy') busy += 1;
  return busy;
}
