/**
 * How busy the process is: processor, memory, and by how much its timers are late.
 * Source: Node.js, perf_hooks.monitorEventLoopDelay: a timer that measures how late it is; what it
 * records includes the time between two of its ticks.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Vitals } from '@dbbouncer/shared/contract/proxy-report.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';

/** Ticks are rare enough to cost nothing; a stall that falls between two is seen by the next. */
const TICK_MS = 20;
/** Beginning anew loses the tick under way, so it is done seldom. */
const ANEW_MS = 10_000;
const NS_PER_MS = 1e6;
const US_PER_MS = 1e3;

export class ProcessVitals {
  readonly #clock: Clock;
  readonly #delay = monitorEventLoopDelay({ resolution: TICK_MS });
  #readMs: number;
  #anewMs: number;
  #cpu = process.cpuUsage();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#readMs = clock.nowMs();
    this.#anewMs = this.#readMs;
    this.#delay.enable();
  }

  /** The processor's time since the last call. */
  read(): Vitals {
    const nowMs = this.#clock.nowMs();
    const cpu = process.cpuUsage();
    const usedUs = cpu.user - this.#cpu.user + cpu.system - this.#cpu.system;
    const elapsedMs = Math.max(1, nowMs - this.#readMs);
    const { rss, heapUsed } = process.memoryUsage();
    const vitals = {
      cpuShare: rounded(usedUs / US_PER_MS / elapsedMs),
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      loopDelayP50Ms: this.#lateMs(50),
      loopDelayP99Ms: this.#lateMs(99),
      loopDelayMaxMs: this.#lateMs(100),
    };
    this.#readMs = nowMs;
    this.#cpu = cpu;
    if (nowMs - this.#anewMs >= ANEW_MS) this.#beginAnew(nowMs);
    return vitals;
  }

  #beginAnew(nowMs: number): void {
    this.#anewMs = nowMs;
    this.#delay.reset();
  }

  stop(): void {
    this.#delay.disable();
  }

  #lateMs(percentile: number): number {
    if (this.#delay.count === 0) return 0;
    return rounded(Math.max(0, this.#delay.percentile(percentile) / NS_PER_MS - TICK_MS));
  }
}

function rounded(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}
