/**
 * Keeps as many workers as were asked for, on listening sockets that outlive each of them.
 * Owns: who takes whose place and when, restarts, replacements, the end of all.
 * Leaves: one worker's life to worker-life.ts, what they count to telemetry/, the ports to
 * supervised-proxy.ts.
 */
import type { Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Readiness } from '../telemetry/http.ts';
import type { MetricsPage } from '../telemetry/metrics.ts';
import { MergedMetrics } from '../telemetry/merged-metrics.ts';
import { SupervisorMetrics } from '../telemetry/supervisor-metrics.ts';
import { BEAT_MS } from './messages.ts';
import { RestartDelay } from './restart-delay.ts';
import { startRefused } from './start-refused.ts';
import { WorkerLife } from './worker-life.ts';
import type { WorkerEnd, WorkerOptions, WorkerProcess } from './worker-life.ts';

export interface SupervisorOptions extends WorkerOptions {
  readonly spawn: () => WorkerProcess;
}

/** What a worker is in, one after the other. */
interface Place {
  worker: WorkerLife | undefined;
  /** Starts to take it over, while the worker there is not told yet. */
  successor: WorkerLife | undefined;
  readonly delay: RestartDelay;
  /** Until the next start, when workers keep ending. */
  waiting: { readonly timer: Timer; readonly forMs: number } | undefined;
}

/** For one that shall take over, from its birth until it serves what its predecessor serves. */
const SUCCESSOR_WITHIN_MS = 60_000;

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #places: readonly Place[];
  readonly #lives = new Set<WorkerLife>();
  readonly #merged: MergedMetrics;
  readonly #metrics: SupervisorMetrics;
  #phase: 'starting' | 'running' | 'stopping' = 'starting';
  #ticking: Timer | undefined;
  #replacing: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#merged = new MergedMetrics(options.clock);
    this.#places = Array.from({ length: options.task.settings.workers }, newPlace);
    this.#metrics = new SupervisorMetrics({
      workers: () => [...this.#lives],
      delaysMs: () => this.#places.map(({ waiting }) => waiting?.forMs ?? 0),
    });
  }

  /**
   * Resolves when every worker accepts clients, with or without a config.
   * @throws AppError SETTINGS_INVALID, or an Error, of a worker that cannot start; the others are
   * ended then.
   */
  async start(): Promise<void> {
    this.#tick();
    const lives = this.#places.map((place) => (place.worker = this.#launch(place)));
    try {
      await Promise.all(lives.map((life) => life.started));
      if (this.#phase === 'starting') this.#phase = 'running';
    } catch {
      await this.stop();
      throw startRefused(lives.find(({ failure }) => failure !== undefined)?.failure);
    }
  }

  get readiness(): Readiness {
    if (this.#phase === 'stopping') return { kind: 'not_ready', reason: 'draining' };
    const told = [...this.#lives].flatMap(({ state, condition }) =>
      state === 'serving' && condition !== undefined ? [condition.readiness] : [],
    );
    const ready = told.find(({ kind }) => kind === 'ready');
    return ready ?? told[0] ?? { kind: 'not_ready', reason: 'not_listening' };
  }

  /** What all workers count, as one page. */
  async page(): Promise<MetricsPage> {
    const lives = [...this.#lives];
    await Promise.all(lives.map((life) => life.askMetrics()));
    const own = { worker: 'supervisor', families: await this.#metrics.families() };
    // One that has ended meanwhile is counted among the ended already.
    const parts = lives.filter((life) => this.#lives.has(life)).map(shownBy);
    return await this.#merged.page([own, ...parts]);
  }

  /**
   * Replaces the workers one by one, each by one that accepts clients and serves the same config
   * before the former is told to drain. Where one cannot start, the rest is left as it is.
   */
  replaceAll(): Promise<void> {
    this.#replacing ??= this.#replaceOneByOne().finally(() => (this.#replacing = undefined));
    return this.#replacing;
  }

  /** Drains all of them within shutdown_timeout; nobody is started any more. */
  async stop(): Promise<void> {
    this.#phase = 'stopping';
    for (const place of this.#places) place.waiting?.timer.cancel();
    for (const life of this.#lives) life.stop('shutdown');
    await Promise.all([...this.#lives].map((life) => life.ended));
    this.#ticking?.cancel();
  }

  #tick(): void {
    for (const life of this.#lives) life.tick();
    this.#ticking = this.#options.clock.after(BEAT_MS, () => this.#tick());
  }

  #launch(place: Place): WorkerLife {
    const life = new WorkerLife(this.#options.spawn(), this.#options);
    this.#lives.add(life);
    void life.ended.then((end) => this.#ended(place, life, end));
    return life;
  }

  #ended(place: Place, life: WorkerLife, end: WorkerEnd): void {
    this.#lives.delete(life);
    this.#merged.ended(shownBy(life));
    this.#metrics.ended(end);
    if (place.successor === life) place.successor = undefined;
    if (place.worker === life) place.worker = undefined;
    if (this.#phase === 'stopping') return;
    // Where the first ones cannot start, the command fails.
    if (this.#phase === 'starting' && life.proxyId === undefined) return;
    const isEmpty = place.worker === undefined && place.successor === undefined;
    if (isEmpty && place.waiting === undefined) this.#restart(place, life);
  }

  #restart(place: Place, former: WorkerLife): void {
    const forMs = place.delay.after(former.livedMs);
    const begin = (): void => {
      place.waiting = undefined;
      place.worker = this.#launch(place);
    };
    const fields = { delayMs: forMs, shortLives: place.delay.shortLives, ...former.failure };
    if (forMs === 0) {
      this.#options.log.warn(fields, 'a worker is started in the place of one that ended');
      return begin();
    }
    this.#options.log.error(fields, 'workers keep ending: the next one is started later');
    place.waiting = { timer: this.#options.clock.after(forMs, begin), forMs };
  }

  async #replaceOneByOne(): Promise<void> {
    const { log } = this.#options;
    log.info({ workers: this.#places.length }, 'replacing the workers, one by one');
    for (const place of this.#places) {
      if (this.#phase !== 'running') return;
      // Nobody is there: the next one to start is new anyway.
      if (place.worker === undefined) continue;
      if ((await this.#replace(place, place.worker)) === 'failed') {
        const hint = 'see what the new worker logged; the others go on as they are';
        log.error({ hint }, 'a worker could not be replaced');
        return;
      }
    }
    log.info({}, 'all workers are replaced');
  }

  async #replace(place: Place, former: WorkerLife): Promise<'replaced' | 'failed'> {
    const fresh = this.#launch(place);
    place.successor = fresh;
    const late = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(SUCCESSOR_WITHIN_MS, late.resolve);
    await Promise.race([fresh.caughtUp(former.condition?.appliedPosition ?? 0), late.promise]);
    timer.cancel();
    // Nothing has changed for who is stopping, and nobody takes over from whom.
    if (this.#phase !== 'running') return 'replaced';
    if (place.successor !== fresh) return 'failed';
    const isNeeded = place.worker === undefined && fresh.state === 'serving';
    if (fresh.condition?.readiness.kind !== 'ready' && !isNeeded) {
      fresh.kill('not_started', `it was not ready within ${SUCCESSOR_WITHIN_MS} ms`);
      await fresh.ended;
      return 'failed';
    }
    place.successor = undefined;
    place.worker = fresh;
    former.stop('replaced');
    await former.ended;
    return 'replaced';
  }
}

function newPlace(): Place {
  const delay = new RestartDelay();
  return { worker: undefined, successor: undefined, delay, waiting: undefined };
}

function shownBy(life: WorkerLife) {
  return { worker: life.proxyId ?? `pid ${life.pid}`, families: life.shown };
}
