/**
 * The time of the simulated world, and a network that loses, delays, repeats and reorders messages,
 * and cuts off whom it is told to.
 */
import type { Chance } from './chance.ts';
import type { BadNetwork } from './weather.ts';

/** Who sends and receives: a proxy by its id, or the control plane. */
export type Place = string;

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly happen: () => void;
}

export class Agenda {
  nowMs = 0;
  #order = 0;
  #events: Event[] = [];

  after(delayMs: number, happen: () => void): void {
    const event = { atMs: this.nowMs + delayMs, order: ++this.#order, happen };
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#events[middle]?.atMs ?? 0) <= event.atMs) low = middle + 1;
      else high = middle;
    }
    this.#events.splice(low, 0, event);
  }

  /** Lets everything happen up to and with `untilMs`. */
  run(untilMs: number): void {
    for (;;) {
      const next = this.#events[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#events.shift();
      this.nowMs = next.atMs;
      next.happen();
    }
    this.nowMs = untilMs;
  }
}

export class Network {
  readonly #agenda: Agenda;
  readonly #chance: Chance;
  readonly #bad: BadNetwork;
  readonly #cutOff = new Set<Place>();
  quality: 'whole' | 'bad' = 'whole';

  constructor(agenda: Agenda, chance: Chance, bad: BadNetwork) {
    this.#agenda = agenda;
    this.#chance = chance;
    this.#bad = bad;
  }

  cut(place: Place): void {
    this.#cutOff.add(place);
  }

  mend(place: Place): void {
    this.#cutOff.delete(place);
  }

  heal(): void {
    this.#cutOff.clear();
    this.quality = 'whole';
  }

  isCut(place: Place): boolean {
    return this.#cutOff.has(place);
  }

  send(from: Place, to: Place, arrive: () => void): void {
    if (this.#cutOff.has(from) || this.#cutOff.has(to)) return;
    const isBad = this.quality === 'bad';
    if (isBad && this.#chance.happens(this.#bad.lost)) return;
    const copies = isBad && this.#chance.happens(this.#bad.repeated) ? 2 : 1;
    for (let copy = 0; copy < copies; copy++) this.#agenda.after(this.#delayMs(isBad), arrive);
  }

  #delayMs(isBad: boolean): number {
    if (!isBad) return this.#chance.between(0.2, 2);
    if (this.#chance.happens(this.#bad.late)) return this.#chance.between(1_000, 9_000);
    return this.#chance.happens(this.#bad.slow)
      ? this.#chance.between(20, 800)
      : this.#chance.between(0.2, 20);
  }
}
