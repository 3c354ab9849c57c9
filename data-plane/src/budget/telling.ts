/**
 * Tells control planes what this proxy needs: each second, and at once when something is news.
 * Messages are sent at most once and never waited for: the next one says it again.
 * Owns: the moments. Leaves: what is said to obedience.ts.
 */
import type { Bus, Subscription } from '@dbbouncer/shared/bus/bus.ts';
import { BUDGET_LIMITS, encodeBudget } from '@dbbouncer/shared/contract/budget.ts';
import type { ProxyNeeds } from '@dbbouncer/shared/contract/budget.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import type { Position, ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Occasion, TenantUse } from './needs-list.ts';
import type { Obedience } from './obedience.ts';
import type { TenantPart } from './tenant-part.ts';

export interface TellingOptions {
  readonly proxy: ProxyId;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly obedience: Obedience;
  /** Of the tenants that are in use. */
  readonly parts: () => Iterable<TenantPart>;
  /** Whether tenants are known: of others nothing true could be said. */
  readonly hasConfig: () => boolean;
  /** Position of the config that is on disk. */
  readonly keptPosition: () => Position;
  /** Called before each heartbeat. */
  readonly beating: () => void;
}

/** A message can be lost, and after the last one comes no other. */
const LEAVE_AGAIN_MS = 50;

export class Telling {
  readonly #options: TellingOptions;
  readonly #news = new Set<TenantPart>();
  #phase: 'new' | 'serving' | 'leaving' | 'stopped' = 'new';
  #status: Subscription | undefined;
  #newsTimer: Timer | undefined;
  #heartbeat: Timer | undefined;
  #sentMs = -Infinity;
  #sentPosition: Position = 0;

  constructor(options: TellingOptions) {
    this.#options = options;
  }

  start(): void {
    this.#phase = 'serving';
    this.#status = this.#options.bus.onStatus(() => this.#beat());
    this.#beat();
  }

  stop(): void {
    this.#phase = 'stopped';
    this.#status?.close();
    this.#newsTimer?.cancel();
    this.#heartbeat?.cancel();
  }

  /** Something is news: of that tenant, or the position of the config. */
  soon(part?: TenantPart): void {
    if (part !== undefined) this.#news.add(part);
    if (this.#newsTimer !== undefined || this.#phase !== 'serving') return;
    const { clock } = this.#options;
    const restMs = this.#sentMs + BUDGET_LIMITS.needsGapMs - clock.nowMs();
    this.#newsTimer = clock.after(Math.max(0, restMs), () => {
      this.#newsTimer = undefined;
      this.#send('news', 'serving');
    });
  }

  forget(part: TenantPart): void {
    this.#news.delete(part);
  }

  /** There is a config: the first of this life is told at once. */
  configServed(): void {
    if (this.#sentMs === -Infinity) this.#beat();
  }

  /** From now on it is only said that all is closed. */
  leave(): void {
    this.#newsTimer?.cancel();
    this.#phase = 'leaving';
    this.#send('heartbeat', 'leaving');
    this.#heartbeat?.cancel();
    this.#heartbeat = this.#options.clock.after(LEAVE_AGAIN_MS, () =>
      this.#send('heartbeat', 'leaving'),
    );
  }

  #beat(): void {
    if (this.#phase !== 'serving') return;
    const { clock, beating } = this.#options;
    this.#heartbeat?.cancel();
    beating();
    this.#send('heartbeat', 'serving');
    this.#heartbeat = clock.after(BUDGET_LIMITS.heartbeatMs, () => this.#beat());
  }

  #send(occasion: Occasion, state: ProxyNeeds['state']): void {
    const { bus, proxy, clock, obedience, hasConfig, keptPosition } = this.#options;
    if (!hasConfig() || bus.status !== 'connected') return;
    const nowMs = clock.nowMs();
    const appliedPosition = keptPosition();
    const uses = [...this.#uses(occasion)];
    this.#news.clear();
    const needs = obedience.needs({ nowMs, uses }, { occasion, appliedPosition, state });
    const isNews = needs.tenants.length > 0 || appliedPosition !== this.#sentPosition;
    if (occasion === 'news' && !isNews) return;
    this.#sentMs = nowMs;
    this.#sentPosition = appliedPosition;
    bus.publish(SUBJECTS.budgetNeedsOf(proxy), encodeBudget(needs));
  }

  *#uses(occasion: Occasion): Iterable<TenantUse> {
    for (const part of this.#options.parts()) {
      if (occasion === 'heartbeat' || part.isAbove || this.#news.has(part)) yield part.takeUse();
    }
  }
}
