/** Kept answers in memory, for the store of tests: one immutable map, so that undoing is easy. */
import { timestampMs } from '@dbbouncer/shared/kernel/clock.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { FrozenMap } from '@dbbouncer/shared/kernel/frozen-map.ts';
import { bytesOf, requireRoom, tooOldMs } from './kept-answers.ts';
import type { AnswerBook, KeptAnswer, KeptTotals } from './kept-answers.ts';

interface Kept {
  readonly answer: KeptAnswer;
  readonly keptAtMs: number;
}

export class MemoryKeptAnswers implements AnswerBook {
  readonly #clock: Clock;
  #kept = FrozenMap.empty<Kept>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  find(actor: string, key: string): KeptAnswer | undefined {
    const kept = this.#kept.get(nameOf(actor, key));
    return kept !== undefined && kept.keptAtMs > this.#tooOldMs() ? kept.answer : undefined;
  }

  keep(answer: KeptAnswer): void {
    const tooOld = this.#tooOldMs();
    const old = [...this.#kept].filter(([, { keptAtMs }]) => keptAtMs <= tooOld);
    this.#kept = this.#kept.with(old.map(([name]) => [name, undefined]));
    requireRoom(answer, bytesOf(answer), this.#totalsOf(answer.actor));
    const keptAtMs = timestampMs(this.#clock.timestamp());
    this.#kept = this.#kept.with([[nameOf(answer.actor, answer.key), { answer, keptAtMs }]]);
  }

  /** The returned function brings back what is there now. */
  remember(): () => void {
    const kept = this.#kept;
    return () => {
      this.#kept = kept;
    };
  }

  #totalsOf(actor: string): KeptTotals {
    const own = [...this.#kept.values()].filter(({ answer }) => answer.actor === actor);
    const bytes = own.reduce((sum, { answer }) => sum + bytesOf(answer), 0);
    return { answers: own.length, bytes };
  }

  #tooOldMs(): number {
    return tooOldMs(timestampMs(this.#clock.timestamp()));
  }
}

function nameOf(actor: string, key: string): string {
  return JSON.stringify([actor, key]);
}
