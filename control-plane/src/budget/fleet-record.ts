/**
 * What outlives a term on the bus: its number, and who belongs to the fleet. One key, written over
 * exactly what was read or written last: of two control planes that deal out the budget, the one
 * that began later goes on, and the other hears of it when it writes.
 * Owns: the key, the numbers of terms. Leaves: who the members are to members.ts.
 *
 * A term begins with a record of its own, so no two have the same number, whoever began them and
 * however often; a proxy obeys the highest it has heard of.
 */
import { randomUUID } from 'node:crypto';
import type { BusKeys, KeyEntry } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { isProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { z } from 'zod';
import type { RecordedFleet } from './members.ts';

export interface FleetRecord extends RecordedFleet {
  readonly term: number;
  /** Who began the term: each time it is another. */
  readonly writer: string;
}

const proxySchema = z.custom<ProxyId>((value) => typeof value === 'string' && isProxyId(value));
const count = z.int().min(0);
/** In the order of `Member`; without names, so that 10,000 of them fit into one value. */
const memberSchema = z.tuple([proxySchema, count.min(1), count.min(1).nullable(), count]);
const recordSchema = z.object({
  term: count.min(1),
  writer: z.string(),
  members: z.array(memberSchema),
  areAll: z.enum(['surely', 'not_surely']),
});

export class FleetRecordKey {
  readonly #keys: BusKeys;
  /** What was read or written last; undefined: nothing is there. */
  #last: KeyEntry | undefined;
  #own: Pick<FleetRecord, 'term' | 'writer'> = { term: 0, writer: '' };

  constructor(keys: BusKeys) {
    this.#keys = keys;
  }

  /** @throws BUS_UNAVAILABLE; ZodError or SyntaxError when it is no record */
  async read(): Promise<FleetRecord | undefined> {
    this.#last = await this.#keys.get(SUBJECTS.fleetKey);
    return this.#last && decodeRecord(this.#last.value);
  }

  /** Whether this one wrote it, in the term it began last. */
  isOwn({ writer }: FleetRecord): boolean {
    return writer === this.#own.writer;
  }

  /**
   * Begins a term over what was read last.
   * @throws BUS_SEQUENCE_CONFLICT: another has written since; BUS_UNAVAILABLE: it is not known
   * whether this was written
   */
  async begin(term: number, fleet: RecordedFleet): Promise<void> {
    this.#own = { term, writer: randomUUID() };
    await this.#put(fleet);
  }

  /** @returns `superseded`: another has begun a term, or the record is gone. @throws the bus's */
  async write(fleet: RecordedFleet): Promise<'written' | 'superseded'> {
    try {
      await this.#put(fleet);
      return 'written';
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
    // A write of which nobody knew whether it was done may have been.
    const now = await this.read();
    if (now === undefined || !this.isOwn(now)) return 'superseded';
    await this.#put(fleet);
    return 'written';
  }

  async #put(fleet: RecordedFleet): Promise<void> {
    const value = encodeRecord({ ...this.#own, ...fleet });
    const revision =
      this.#last === undefined
        ? await this.#keys.create(SUBJECTS.fleetKey, value)
        : await this.#keys.update(SUBJECTS.fleetKey, value, this.#last.revision);
    this.#last = { value, revision };
  }
}

function encodeRecord({ members, ...rest }: FleetRecord): Uint8Array {
  const listed = members.map(({ proxy, life, divisor, appliedPosition }) => [
    proxy,
    life,
    divisor,
    appliedPosition,
  ]);
  return Buffer.from(JSON.stringify({ ...rest, members: listed }));
}

/** @throws ZodError, SyntaxError */
function decodeRecord(data: Uint8Array): FleetRecord {
  const { members, ...rest } = recordSchema.parse(JSON.parse(Buffer.from(data).toString('utf8')));
  return {
    ...rest,
    members: members.map(([proxy, life, divisor, appliedPosition]) => ({
      proxy,
      life,
      divisor,
      appliedPosition,
    })),
  };
}

function isConflict(error: unknown): boolean {
  return sharedErrors.is(error) && error.code === 'BUS_SEQUENCE_CONFLICT';
}
