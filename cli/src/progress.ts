/**
 * How far something has come, for whoever waits: a bar on a terminal, a line now and then
 * elsewhere. What takes less than a second shows nothing.
 */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';

export interface ProgressOutput {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const SILENT_MS = 1_000;
const REDRAWN_MS = 100;
const LINE_MS = 5_000;
/** Steps between two looks at the clock, where there are millions. */
const STEPS = 256;

export class Progress {
  readonly #out: ProgressOutput;
  readonly #clock: Clock;
  readonly #what: string;
  readonly #looksEvery: number;
  #dueMs: number;
  #steps = 0;
  #bar: 'none' | 'drawn' = 'none';

  /** @param what is counted, as in `events`. @param looksEvery so many steps at the clock */
  constructor(what: string, out: ProgressOutput, clock: Clock, looksEvery = STEPS) {
    this.#what = what;
    this.#looksEvery = looksEvery;
    this.#out = out;
    this.#clock = clock;
    this.#dueMs = clock.nowMs() + SILENT_MS;
  }

  /** Cheap enough to be called for each of millions. */
  update(done: number, total: number): void {
    this.#steps += 1;
    if (this.#steps % this.#looksEvery !== 0) return;
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#dueMs) return;
    const text = `${done} of ${Math.max(done, total)} ${this.#what}`;
    if (this.#out.isTTY === true) {
      this.#dueMs = nowMs + REDRAWN_MS;
      this.#bar = 'drawn';
      this.#out.write(`\r${drawBar(done, total, text, this.#out.columns ?? 80)}`);
    } else {
      this.#dueMs = nowMs + LINE_MS;
      this.#out.write(`${text}\n`);
    }
  }

  /** Takes the bar away. */
  end(): void {
    if (this.#bar === 'drawn') this.#out.write('\r\u001b[K');
    this.#bar = 'none';
  }
}

/** One line of at most `columns` - 1 characters. */
export function drawBar(done: number, total: number, text: string, columns: number): string {
  const share = total <= 0 ? 1 : Math.min(1, done / total);
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  const width = Math.min(40, columns - text.length - percent.length - 6);
  if (width < 5) return `${percent} ${text}`.slice(0, Math.max(0, columns - 1));
  const filled = Math.round(share * width);
  return `[${'#'.repeat(filled)}${'.'.repeat(width - filled)}] ${percent}  ${text}`;
}
