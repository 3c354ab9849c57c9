/**
 * * The rules of a pool once more, written the plainest way: arrays that are searched and copied,
 * no reuse of anything from data-plane/src/pool. The model test holds the real pool against it
 * after every step.
 */

export interface NaiveSettings {
  readonly minConnections: number;
  readonly maxConnections: number;
  readonly idleTimeoutMs: number;
  readonly maxLifetimeMs: number;
  readonly acquireTimeoutMs: number;
  readonly reserveConnections: number;
  readonly reserveTimeoutMs: number;
  readonly maxQueries: number;
  readonly serverCheckDelayMs: number;
  readonly queryWaitNotifyMs: number;
}

export type NaiveState = 'dialing' | 'idle' | 'checking' | 'leased' | 'resetting' | 'closing';

export interface NaiveServer {
  /** As the upstream numbers its backends; 0 while dialing. */
  id: number;
  state: NaiveState;
  bornMs: number;
  idleSinceMs: number;
  /** When it last did what it was asked. */
  provenMs: number;
  answered: number;
  readonly dialRound: number;
}

/** What a client must have heard: the id of its backend, an error code, or `moved`. */
export type Heard = number | string;

interface InLine {
  readonly client: number;
  readonly sinceMs: number;
}

export class NaivePool {
  nowMs = 0;
  settings: NaiveSettings;
  /**
   * In the order of their last change of state, so that idle ones are in the order they became
   * idle.
   */
  servers: NaiveServer[] = [];
  line: InLine[] = [];
  /** Clients that were told why they wait. */
  readonly told = new Set<number>();
  readonly heard = new Map<number, Heard>();
  isDraining = false;
  readonly #waitersMax: number;
  readonly #dialsMax: number;
  #isUsed = false;
  #warm = { slots: 0, untilMs: 0 };
  #error: string | undefined;
  #pauses = 0;
  #round = 0;
  #pausedUntilMs = 0;

  constructor(settings: NaiveSettings, waitersMax: number, dialsMax: number) {
    this.settings = settings;
    this.#waitersMax = waitersMax;
    this.#dialsMax = dialsMax;
  }

  in(state: NaiveState): NaiveServer[] {
    const found = this.servers.filter((server) => server.state === state);
    return state === 'idle' ? found.sort((a, b) => a.idleSinceMs - b.idleSinceMs) : found;
  }

  get isUsed(): boolean {
    return this.#isUsed;
  }

  take(): number | undefined {
    const server = this.line.length === 0 ? this.in('idle').at(-1) : undefined;
    if (server !== undefined) this.#change(server, 'leased');
    return server?.id;
  }

  wait(client: number, sinceMs: number): void {
    this.#isUsed = true;
    if (this.isDraining) this.heard.set(client, 'moved');
    else if (this.#isHopeless() && this.#error !== undefined) this.heard.set(client, this.#error);
    else if (this.line.length >= this.#waitersMax) this.heard.set(client, 'POOL_QUEUE_FULL');
    else {
      this.line.push({ client, sinceMs });
      this.line.sort((a, b) => a.sinceMs - b.sinceMs);
      this.#settle();
    }
  }

  cancel(client: number): void {
    this.line = this.line.filter((each) => each.client !== client);
  }

  release(id: number, condition: 'clean' | 'dirty'): void {
    const server = this.#byId(id);
    if (server === undefined) return;
    if (this.#mustClose(server)) this.#change(server, 'closing');
    else this.#toRest(server, condition === 'clean' ? 'idle' : 'resetting');
    this.#settle();
  }

  discard(id: number): void {
    const server = this.#byId(id);
    if (server === undefined) return;
    this.#change(server, 'closing');
    this.#settle();
  }

  answers(id: number, queries: number): void {
    const server = this.#byId(id);
    if (server !== undefined) server.answered += queries;
  }

  resetEnds(id: number, outcome: 'done' | 'failed'): void {
    const server = this.#byId(id);
    if (server === undefined || server.state !== 'resetting') return;
    if (outcome === 'failed' || this.#mustClose(server)) this.#change(server, 'closing');
    else this.#toRest(server, 'idle');
    this.#settle();
  }

  checkEnds(id: number, outcome: 'done' | 'failed'): void {
    const server = this.#byId(id);
    if (server === undefined || server.state !== 'checking') return;
    const { idleSinceMs } = server;
    if (outcome === 'failed' || this.#mustClose(server)) this.#change(server, 'closing');
    else this.#toRest(server, 'idle');
    server.idleSinceMs = idleSinceMs;
    this.#settle();
  }

  warm(slots: number): void {
    this.#isUsed = true;
    this.#warm = { slots, untilMs: this.nowMs + 10_000 };
    this.#fillUp();
  }

  serverCloses(id: number): void {
    this.servers = this.servers.filter((server) => server.id !== id);
    this.#settle();
  }

  dialSucceeds(index: number, id: number): void {
    const server = this.in('dialing')[index];
    if (server === undefined) return;
    this.#error = undefined;
    this.#pauses = 0;
    server.id = id;
    server.bornMs = this.nowMs;
    if (this.#mustClose(server)) this.#change(server, 'closing');
    else this.#toRest(server, 'idle');
    this.#settle();
  }

  dialFails(index: number, code: string): void {
    const failed = this.in('dialing')[index];
    this.servers = this.servers.filter((server) => server !== failed);
    this.#error = code;
    if (failed?.dialRound === this.#round) {
      this.#round += 1;
      this.#pauses += 1;
      this.#pausedUntilMs = this.nowMs + Math.min(5_000, 100 * 2 ** this.#pauses);
    }
    this.#settle();
  }

  resize(settings: NaiveSettings): void {
    if (this.isDraining) return;
    this.settings = settings;
    for (const server of this.in('idle')) {
      if (this.#open() > settings.maxConnections) this.#change(server, 'closing');
    }
    this.#settle();
  }

  drain(): void {
    this.isDraining = true;
    for (const { client } of this.line) this.heard.set(client, 'moved');
    this.line = [];
    this.servers = this.servers.filter(({ state }) => state !== 'dialing');
    const unused = [...this.in('idle'), ...this.in('checking'), ...this.in('resetting')];
    for (const server of unused) {
      this.#change(server, 'closing');
    }
  }

  sweep(): void {
    const { idleTimeoutMs, minConnections, maxConnections } = this.settings;
    const { reserveConnections, reserveTimeoutMs } = this.settings;
    for (const server of this.in('idle')) {
      const idleMs = this.nowMs - server.idleSinceMs;
      const isLongIdle = idleTimeoutMs > 0 && idleMs >= idleTimeoutMs;
      const isSurplus = isLongIdle && this.#open() > minConnections;
      const isReserve = this.#open() > maxConnections - reserveConnections;
      const isUnused = isReserve && idleMs >= reserveTimeoutMs;
      if (this.#mustClose(server) || isUnused || isSurplus) this.#change(server, 'closing');
    }
    this.#settle();
    this.#check();
    if (this.#isUsed) this.#fillUp();
  }

  #check(): void {
    const { serverCheckDelayMs } = this.settings;
    const resting = this.in('idle').length + this.in('checking').length;
    for (const server of this.in('idle')) {
      const isDue = serverCheckDelayMs > 0 && this.nowMs - server.provenMs >= serverCheckDelayMs;
      const mayCheck = this.in('checking').length < Math.ceil(resting / 2);
      if (isDue && mayCheck) this.#change(server, 'checking');
    }
  }

  #fillUp(): void {
    const warm = this.nowMs < this.#warm.untilMs ? this.#warm.slots : 0;
    const wanted = Math.max(this.settings.minConnections, warm);
    while (this.#open() < wanted && this.#mayDial(-1)) this.#dial();
  }

  /** Lets time pass, stopping wherever a deadline or a pause ends. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (let dueMs = this.#nextDueMs(); dueMs <= untilMs; dueMs = this.#nextDueMs()) {
      this.nowMs = Math.max(this.nowMs, dueMs);
      for (const { client, sinceMs } of this.line) {
        if (sinceMs + this.settings.acquireTimeoutMs > this.nowMs) continue;
        this.heard.set(client, 'POOL_ACQUIRE_TIMEOUT');
        this.cancel(client);
      }
      this.#notify();
      this.#settle();
    }
    this.nowMs = untilMs;
  }

  /** Who stands before somebody who was told counts as told. */
  #untold(): InLine[] {
    const last = this.line.findLastIndex(({ client }) => this.told.has(client));
    return this.settings.queryWaitNotifyMs === 0 ? [] : this.line.slice(last + 1);
  }

  #notify(): void {
    for (const { client, sinceMs } of this.#untold()) {
      if (sinceMs + this.settings.queryWaitNotifyMs <= this.nowMs) this.told.add(client);
    }
  }

  #nextDueMs(): number {
    const deadlines = this.line.map(({ sinceMs }) => sinceMs + this.settings.acquireTimeoutMs);
    const pauseEnd = this.line.length > 0 && this.#isPaused() ? [this.#pausedUntilMs] : [];
    const { reserveTimeoutMs, queryWaitNotifyMs } = this.settings;
    const opening = this.line
      .map(({ sinceMs }) => sinceMs + reserveTimeoutMs)
      .filter((dueMs) => dueMs > this.nowMs);
    const notices = this.#untold().map(({ sinceMs }) => sinceMs + queryWaitNotifyMs);
    return Math.min(Infinity, ...deadlines, ...pauseEnd, ...opening, ...notices);
  }

  #settle(): void {
    for (let [first] = this.line; first !== undefined; [first] = this.line) {
      const server = this.in('idle').at(-1);
      if (server === undefined) break;
      this.heard.set(first.client, server.id);
      this.#change(server, 'leased');
      this.cancel(first.client);
    }
    const soonIdle = (): number =>
      this.in('idle').length + this.in('resetting').length + this.in('dialing').length;
    for (let next = this.line[soonIdle()]; next !== undefined; next = this.line[soonIdle()]) {
      if (!this.#mayDial(this.nowMs - next.sinceMs)) break;
      this.#dial();
    }
    if (!this.#isHopeless() || this.#error === undefined) return;
    for (const { client } of this.line) this.heard.set(client, this.#error);
    this.line = [];
  }

  /** For somebody who has waited so long; -1: for nobody. */
  #mayDial(waitedMs: number): boolean {
    const { maxConnections, reserveConnections, reserveTimeoutMs } = this.settings;
    const kept = waitedMs >= reserveTimeoutMs ? 0 : reserveConnections;
    const parallelMax = this.#error === undefined ? this.#dialsMax : 1;
    return (
      !this.isDraining &&
      !this.#isPaused() &&
      this.in('dialing').length < parallelMax &&
      this.servers.length < maxConnections - kept
    );
  }

  #dial(): void {
    this.servers.push({
      id: 0,
      state: 'dialing',
      bornMs: 0,
      idleSinceMs: 0,
      provenMs: 0,
      answered: 0,
      dialRound: this.#round,
    });
  }

  #mustClose(server: NaiveServer): boolean {
    const { maxLifetimeMs, maxConnections, maxQueries } = this.settings;
    const isOld = maxLifetimeMs > 0 && this.nowMs - server.bornMs >= maxLifetimeMs;
    const isWorn = maxQueries > 0 && server.answered >= maxQueries;
    return this.isDraining || this.#open() > maxConnections || isOld || isWorn;
  }

  #open(): number {
    return this.servers.length - this.in('closing').length;
  }

  #isPaused(): boolean {
    return this.#error !== undefined && this.nowMs < this.#pausedUntilMs;
  }

  #isHopeless(): boolean {
    return this.#isPaused() && this.servers.every(({ state }) => state === 'closing');
  }

  #byId(id: number): NaiveServer | undefined {
    return this.servers.find((server) => server.id === id);
  }

  #toRest(server: NaiveServer, state: 'idle' | 'resetting'): void {
    server.idleSinceMs = this.nowMs;
    if (state === 'idle') server.provenMs = this.nowMs;
    this.#change(server, state);
  }

  #change(server: NaiveServer, state: NaiveState): void {
    server.state = state;
    this.servers = [...this.servers.filter((other) => other !== server), server];
  }
}
