/**
 * Keeps the router at what the control plane last published: snapshot, then deltas in order.
 * Owns: following the bus, recovering from gaps and outages, what is known about it (FeedStatus).
 * Leaves: judging one delta or snapshot to judge.ts, the swap to routing/, the copy on disk to
 * disk-copy.ts.
 *
 * How it works, round by round:
 * 1. Take the newest snapshot (bootstrap.ts); serve it when it leads further than what is served.
 * 2. Follow the log of deltas from where the snapshot ends; serve each that fits. The first clients
 *   are served at the end of the log as it was found, so that none is refused by an old config.
 * 3. On a gap, a delta that cannot be served or a log made anew, begin again, with a snapshot the
 *   control plane is asked for; wait before it, longer each time a round gained nothing. What is
 *   served stays meanwhile.
 */
import type { Bus, LogMessage, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import type { RoutingConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { UNSIGNED } from '@dbbouncer/shared/contract/signed-message.ts';
import type { ConfigVerifier, OpenedMessage } from '@dbbouncer/shared/contract/signed-message.ts';
import { CONFIG_LOG } from '@dbbouncer/shared/contract/subjects.ts';
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Router } from '../routing/router.ts';
import { fetchBase } from './bootstrap.ts';
import type { Base, SnapshotDemand } from './bootstrap.ts';
import type { DiskCopy } from './disk-copy.ts';
import { judgeDelta, judgeSnapshot } from './judge.ts';
import type { Rejection, Verdict } from './judge.ts';
import { Rejections } from './status.ts';
import type { FeedStatus } from './status.ts';
import { Swapper } from './swapper.ts';

export interface FeedOptions {
  readonly bus: Bus;
  readonly router: Router;
  /** Tells whether what comes is from a control plane. Default: everything is believed. */
  readonly verifier?: ConfigVerifier;
  readonly clock: Clock;
  readonly log: Logger;
  /** Without it nothing outlives the process. */
  readonly disk?: DiskCopy;
  /** How long the bus has, before the copy on disk is served. Default is 2,000. */
  readonly bootWaitMs?: number;
}

const BOOT_WAIT_MS = 2_000;
/** How often a proxy that found no snapshot looks again; deltas reach it meanwhile. */
const SNAPSHOT_WAIT_MS = 1_000;
/** After it a first config is served although deltas are known to be missing. */
const CATCH_UP_MAX_MS = 2_000;
const PAUSE_FIRST_MS = 100;
const PAUSE_MAX_MS = 5_000;

export class ConfigFeed {
  readonly #bus: Bus;
  readonly #router: Router;
  readonly #verifier: ConfigVerifier;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #disk: DiskCopy | undefined;
  readonly #bootWaitMs: number;
  readonly #listeners = new Set<(status: FeedStatus) => void>();
  readonly #ready = Promise.withResolvers<void>();
  #life: 'new' | 'running' | 'stopped' = 'new';
  #bootTimer: Timer | undefined;
  #busStatus: Subscription | undefined;
  #reach: 'reached' | 'apart' = 'apart';
  #source: FeedStatus['source'] = 'none';
  /** Whether the bus has brought a config, served or not yet. */
  #brought: 'nothing' | 'config' = 'nothing';
  readonly #rejections: Rejections;
  readonly #swapper: Swapper;
  /** Ends the round under way with a reason. */
  #endRound: ((reason: string) => void) | undefined;
  #logCreatedAt = '';
  #wake: (() => void) | undefined;

  constructor(options: FeedOptions) {
    this.#bus = options.bus;
    this.#router = options.router;
    this.#verifier = options.verifier ?? UNSIGNED;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#disk = options.disk;
    this.#bootWaitMs = options.bootWaitMs ?? BOOT_WAIT_MS;
    this.#rejections = new Rejections(options.clock);
    this.#swapper = new Swapper(options.router, options.clock, {
      swapped: (config) => this.#swapped(config),
      refused: (rejection) => this.#reject(rejection),
    });
  }

  get status(): FeedStatus {
    const { epoch, position } = this.#router.current;
    const isFollowing = this.#reach === 'reached' && this.#bus.status === 'connected';
    const connected = isFollowing ? 'following' : 'cut_off';
    return {
      phase: this.#source === 'none' ? 'booting' : connected,
      epoch,
      appliedPosition: position,
      source: this.#source,
      rejected: this.#rejections.last,
      rejections: this.#rejections.recent,
      rejectedTotal: this.#rejections.total,
    };
  }

  /** Calls `listener` whenever the status may have changed. @returns a function that ends it. */
  onStatus(listener: (status: FeedStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves when there is a config to serve, from the bus or from disk; maybe never. */
  whenReady(): Promise<void> {
    return this.#ready.promise;
  }

  /**
   * Begins; returns at once and never fails: what goes wrong is logged, recorded and tried again.
   */
  start(): void {
    if (this.#life !== 'new') return;
    this.#life = 'running';
    this.#busStatus = this.#bus.onStatus(() => this.#busChanged());
    this.#bootTimer = this.#clock.after(this.#bootWaitMs, () => void this.#bootFromDisk());
    void this.#run();
  }

  /** Ends it; the last config stays served. Resolves when the copy on disk is written. */
  async stop(): Promise<void> {
    this.#life = 'stopped';
    this.#bootTimer?.cancel();
    this.#busStatus?.close();
    this.#endRound?.('stopped');
    this.#wake?.();
    await this.#disk?.flush();
  }

  async #run(): Promise<void> {
    let demand: SnapshotDemand = 'stored';
    let fruitless = 0;
    let stuckOn: string | undefined;
    while (this.#isRunning()) {
      const swapsBefore = this.#swapper.count;
      try {
        const reason = await this.#round(demand);
        if (!this.#isRunning()) return;
        demand = 'fresh';
        // Stuck for the same reason it begins again every few seconds.
        const isStuck = this.#swapper.count === swapsBefore && reason === stuckOn;
        const level = isStuck ? 'debug' : 'info';
        stuckOn = reason;
        this.#log[level]({ reason, ...this.#place() }, 'config feed begins again');
      } catch (error) {
        // What is stored may be what cannot be read.
        if (this.#bus.status === 'connected') demand = 'fresh';
        this.#reach = 'apart';
        this.#changed();
        const level = fruitless === 0 ? 'warn' : 'debug';
        this.#log[level]({ error, ...this.#place() }, 'config cannot be fetched');
      }
      fruitless = this.#swapper.count > swapsBefore ? 0 : fruitless + 1;
      await this.#pause(fruitless);
    }
  }

  /** One pass through steps 1 and 2; resolves with why it ended. @throws BUS_UNAVAILABLE */
  async #round(demand: SnapshotDemand): Promise<string> {
    const base = await fetchBase(this.#bus, this.#verifier, demand);
    if (!this.#isRunning()) return 'stopped';
    const found = this.#takeSnapshot(base);
    if (found === 'nothing') await this.#bootFromDisk();
    return await this.#follow(base, found);
  }

  /**
   * Serves the snapshot when it leads further; says whether it tells what the fleet's config is.
   */
  #takeSnapshot({ decoded }: Base): 'config' | 'nothing' {
    if (decoded === undefined) return 'nothing';
    const current = this.#router.current.told;
    if (decoded.kind === 'undecodable') {
      const { position = current.position, reason } = decoded;
      this.#reject({ position, reason });
      return 'nothing';
    }
    const verdict = judgeSnapshot(current, decoded.snapshot.config);
    if (verdict.kind === 'refuse' || verdict.kind === 'reject') {
      this.#reject(verdict.rejection);
      return 'nothing';
    }
    if (verdict.kind === 'apply') {
      this.#swapper.offer(verdict.config);
      this.#swapper.flush();
      this.#log.info(this.#place(), 'config snapshot applied');
    }
    this.#brought = 'config';
    return 'config';
  }

  #follow(base: Base, found: 'config' | 'nothing'): Promise<string> {
    this.#reach = 'reached';
    this.#logCreatedAt = base.logCreatedAt;
    const { promise, resolve } = Promise.withResolvers<string>();
    const log = this.#bus.log(CONFIG_LOG);
    const subscription = log.follow(base.followFrom, async ({ sequence, data, origin }) => {
      const opened = await this.#verifier.open('delta', data);
      // The round may have ended meanwhile.
      if (this.#endRound === endRound) this.#receive(opened, origin);
      if (this.#endRound === endRound && sequence >= (base.catchUpTo ?? 0)) this.#serve();
    });
    const patience = this.#clock.after(CATCH_UP_MAX_MS, () => this.#serve());
    const retry =
      found === 'nothing'
        ? this.#clock.after(SNAPSHOT_WAIT_MS, () => {
            if (this.#brought === 'nothing') this.#endRound?.('no snapshot yet');
          })
        : undefined;
    const endRound = (reason: string) => {
      this.#endRound = undefined;
      subscription.close();
      retry?.cancel();
      patience.cancel();
      this.#swapper.flush();
      resolve(reason);
    };
    this.#endRound = endRound;
    if (base.catchUpTo === undefined) this.#serve();
    this.#changed();
    return promise;
  }

  /** Clients may have what the bus has brought by now, if anything. */
  #serve(): void {
    this.#swapper.flush();
    if (this.#brought === 'nothing' || this.#source === 'bus') return;
    this.#source = 'bus';
    this.#changed();
  }

  #receive(opened: OpenedMessage, origin: LogMessage['origin']): void {
    const verdict: Verdict = judgeDelta(this.#swapper.newest, opened);
    switch (verdict.kind) {
      case 'apply':
        this.#swapper.offer(verdict.config);
        return;
      case 'ignore':
        return;
      case 'refuse':
        this.#reject(verdict.rejection);
        return;
      case 'reject':
        this.#reject(verdict.rejection);
        // What is foreign lies between the deltas: the next one follows all the same.
        if (origin === 'foreign') return;
        this.#serve();
        this.#endRound?.('a delta was rejected');
        return;
      case 'resync':
        this.#endRound?.(verdict.reason);
        return;
      default:
        unreachable(verdict);
    }
  }

  #swapped(config: RoutingConfig): void {
    this.#brought = 'config';
    if (this.#source === 'disk') this.#source = 'bus';
    this.#rejections.settle(config.position);
    this.#disk?.save(config);
    this.#log.debug(this.#place(), 'config applied');
    this.#changed();
  }

  #reject(rejection: Rejection): void {
    if (this.#rejections.add(rejection) === 'repeated') return;
    const { position: rejected, reason } = rejection;
    this.#log.warn({ rejected, reason, ...this.#place() }, 'config rejected');
    this.#changed();
  }

  async #bootFromDisk(): Promise<void> {
    const isNeeded = () => this.#source === 'none' && this.#brought === 'nothing';
    if (!isNeeded()) return;
    const config = await this.#disk?.load();
    // The bus may have been quicker.
    if (config === undefined || !isNeeded() || !this.#isRunning()) return;
    const result = this.#router.replace(config);
    if (result.kind === 'refused') {
      this.#log.warn({ reason: result.reason }, 'the config copy cannot be used');
      return;
    }
    this.#source = 'disk';
    this.#log.warn(this.#place(), 'serving the config copy from disk');
    this.#changed();
  }

  #busChanged(): void {
    this.#changed();
    if (this.#bus.status !== 'connected') return;
    this.#wake?.();
    void this.#checkLogLife();
  }

  /** What was published to a former log while this proxy was away is in no log any more. */
  async #checkLogLife(): Promise<void> {
    const { createdAt } = await this.#bus
      .log(CONFIG_LOG)
      .state()
      .catch(() => ({ createdAt: undefined }));
    if (createdAt === undefined || createdAt === this.#logCreatedAt) return;
    this.#endRound?.('the delta log was made anew');
  }

  /** Waits before the next round; a bus that is back ends it. */
  async #pause(fruitless: number): Promise<void> {
    if (fruitless === 0 || !this.#isRunning()) return;
    const delayMs = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** (fruitless - 1));
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#clock.after(delayMs, resolve);
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    timer.cancel();
  }

  #isRunning(): boolean {
    return this.#life === 'running';
  }

  #place(): { readonly epoch: number; readonly position: Position } {
    const { epoch, position } = this.#router.current;
    return { epoch, position };
  }

  #changed(): void {
    const { status } = this;
    if (status.source !== 'none') this.#ready.resolve();
    for (const listener of this.#listeners) listener(status);
  }
}
