/**
 * The seat from which one control plane deals out the budget, in one term after the other: each
 * with a number above all that it has heard of, and with all members that are known.
 * Owns: which term comes next, and when. Leaves: the record to fleet-record.ts, what is done in a
 * term to fleet-budget.ts, who may take the seat to whoever makes one.
 *
 * A term ends when a proxy obeys a higher one, or another record is there. Where another control
 * plane has begun that one, this one waits before it begins its own: the other has been told to
 * lead after this one was, and this one will be told to stop.
 */
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { FleetRecord, FleetRecordKey } from './fleet-record.ts';
import type { RecordedFleet } from './members.ts';

export interface SeatOptions {
  readonly key: FleetRecordKey;
  /** At least so high is its first term. */
  readonly termLeast: number;
  /** Whether proxies may have been granted something before, if nothing is recorded of them. */
  readonly past: 'none' | 'perhaps';
  readonly log: Logger;
}

export type BegunTerm = RecordedFleet & { readonly term: number };

/** After a failure of the bus. */
const AGAIN_MS = 500;
const RIVAL_FIRST_MS = 2_000;
const RIVAL_MOST_MS = 60_000;

export class Seat {
  readonly #options: SeatOptions;
  /** Above it is what comes next. */
  #heard: number;
  /** At the end of its last term; undefined: it has had none. */
  #known: RecordedFleet | undefined;
  /** The term of another that was waited for. */
  #rival = 0;
  #rivalMs = RIVAL_FIRST_MS;

  constructor(options: SeatOptions) {
    this.#options = options;
    this.#heard = options.termLeast - 1;
  }

  /** Begins a term. @returns in how many milliseconds to try again where it could not */
  async begin(): Promise<BegunTerm | number> {
    const { key, log } = this.#options;
    try {
      const found = await key.read();
      if (found !== undefined && this.#isRivals(found)) return this.#waitFor(found);
      const term = Math.max(this.#heard, found?.term ?? 0) + 1;
      const { members, areAll } = this.#fleetOf(found);
      await key.begin(term, { members, areAll });
      return { term, members, areAll };
    } catch (error) {
      if (sharedErrors.is(error) && error.code === 'BUS_SEQUENCE_CONFLICT') return 0;
      const text = 'the record of the fleet cannot be read or written; nothing is granted yet';
      // A bus that is away is told of by who connects to it.
      if (sharedErrors.is(error)) log.info({ reason: error.message }, text);
      else log.warn({ error }, text);
      return AGAIN_MS;
    }
  }

  /** Records the members of its term. @throws the bus's errors: it is not known whether it did */
  write(fleet: RecordedFleet): Promise<'written' | 'superseded'> {
    return this.#options.key.write(fleet);
  }

  /** A term of this seat is over. @param heardTerm that proxies obey; 0: none was heard of */
  ended(heardTerm: number, fleet: RecordedFleet): void {
    this.#heard = Math.max(this.#heard, heardTerm);
    this.#known = fleet;
  }

  #isRivals(found: FleetRecord): boolean {
    const isOthers = this.#known !== undefined && !this.#options.key.isOwn(found);
    return isOthers && found.term !== this.#rival;
  }

  #waitFor({ term }: FleetRecord): number {
    this.#rival = term;
    const waitMs = this.#rivalMs;
    this.#rivalMs = Math.min(2 * waitMs, RIVAL_MOST_MS);
    this.#options.log.error(
      { term, waitMs },
      'another control plane deals out the budget; this one waits before it does so again',
    );
    return waitMs;
  }

  /** What was lost with the bus is known here still. */
  #fleetOf(found: FleetRecord | undefined): RecordedFleet {
    const isOurs = found === undefined || this.#options.key.isOwn(found);
    if (isOurs && this.#known !== undefined) return this.#known;
    if (found !== undefined) return found;
    return { members: [], areAll: this.#options.past === 'none' ? 'surely' : 'not_surely' };
  }
}
