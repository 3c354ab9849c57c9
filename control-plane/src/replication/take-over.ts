/**
 * From having the lease to the first event of the term: what others wrote is read to its end, what
 * the stream lacks of the log is written, and the term begins behind all of it.
 */
import { randomUUID } from 'node:crypto';
import type { LogState } from '@dbbouncer/shared/bus/bus.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { TERM_STREAM } from '../domain/term/events.ts';
import { ownEventIn } from '../publish/history.ts';
import type { EventStore } from '../store/event-store.ts';
import type { StreamPlace } from '../store/replicated-change.ts';
import type { Lease } from './lease-record.ts';
import { requireSameStream, unusable } from './stream-reader.ts';
import type { StreamReader } from './stream-reader.ts';
import { writeBehind } from './stream-writer.ts';
import type { WriterPorts } from './stream-writer.ts';

/** Events read at once of a log that is ahead of the stream. */
const PAGE_EVENTS = 1_000;

export interface TakeOverPorts {
  readonly store: EventStore;
  readonly reader: StreamReader;
  readonly writer: WriterPorts;
  readonly log: Logger;
  /** Resolves when something has changed. @throws Superseded, EVENT_STREAM_UNUSABLE, STORE_* */
  readonly progress: () => Promise<void>;
}

/** The lease was lost, or somebody else has written: begin again as a follower. */
export class Superseded extends Error {
  override readonly name = 'Superseded';

  constructor(reason = 'the lease was lost') {
    super(reason);
  }
}

/** @throws Superseded, EVENT_STREAM_UNUSABLE, BUS_UNAVAILABLE, STORE_* */
export async function takeOver(lease: Lease, ports: TakeOverPorts): Promise<void> {
  const { store, writer } = ports;
  let begun: 'no' | 'yes' = 'no';
  for (;;) {
    const state = await readToEnd(ports);
    await writeWhatIsMissing(state, ports);
    if (begun === 'no' || store.epoch !== lease.term) {
      // Of a bus that has lost the lease, and with it the terms there were.
      if (lease.term <= termOf(store)) throw new Superseded('the term has been used');
      store.beginTerm(lease.term);
      begun = 'yes';
    }
    const change = store.rehearse(() =>
      store.append({
        stream: TERM_STREAM,
        expectedVersion: 'any',
        events: [{ type: 'TermBegun', data: { holder: lease.holder, apiUrl: lease.apiUrl } }],
        meta: { actor: `control-plane:${lease.holder}`, requestId: randomUUID() },
      }),
    );
    const place = store.streamPlace ?? emptyPlace(state);
    const { others, sequence } = await writeBehind(place.sequence, change, writer);
    if (others === undefined) {
      while (ports.reader.reached < sequence) await ports.progress();
      return;
    }
    if (!writer.mayWrite()) throw new Superseded();
    // Whoever led before was still writing: that has happened, and is read first.
    ports.log.info({ others }, 'the stream took something else before the term could begin');
  }
}

/** The stream as it is when the log has all of it. */
async function readToEnd({ store, reader, writer, progress }: TakeOverPorts): Promise<LogState> {
  for (;;) {
    const state = await writer.stream.state();
    requireSameStream(store.streamPlace, state);
    while (reader.reached < state.lastSequence) await progress();
    const { lastSequence } = await writer.stream.state();
    if (lastSequence === state.lastSequence) return state;
  }
}

/**
 * The log may be ahead: the stream has lost its end, is new, or was written behind the log until
 * now. What it has must be of this log.
 */
async function writeWhatIsMissing(
  state: LogState,
  { store, writer, log }: TakeOverPorts,
): Promise<void> {
  const last = await writer.stream.last();
  const from = last === undefined ? 0 : ownPosition(last, store);
  if (from === store.head()) return;
  log.warn({ from, to: store.head() }, 'the event stream lacks events of the log');
  let place = { ...(store.streamPlace ?? emptyPlace(state)), sequence: state.lastSequence };
  for (let after = from; after < store.head(); after += PAGE_EVENTS) {
    const events = [...store.readAll(after, PAGE_EVENTS)].map((event) => ({
      event,
      dataText: JSON.stringify(event.data),
    }));
    const { others, sequence } = await writeBehind(place.sequence, { events, answers: [] }, writer);
    if (others !== undefined) throw new Superseded('the stream took something else');
    place = { ...place, sequence };
    store.saveStreamPlace(place);
  }
}

function ownPosition(last: Parameters<typeof ownEventIn>[0], store: EventStore): number {
  try {
    return ownEventIn(last, store).position;
  } catch (cause) {
    throw unusable(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/** The highest term there was, for all that is in the log. */
export function termOf(store: EventStore): number {
  return store.head() === 0 ? 0 : store.epoch;
}

/** A stream to which the first event is written next. */
function emptyPlace({ createdAt, lastSequence }: LogState): StreamPlace {
  return { createdAt, firstSequence: lastSequence + 1, sequence: lastSequence };
}
