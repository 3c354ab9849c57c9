/**
 * Which events go into one message: as many as fit, those of one request together, so that nobody
 * ever sees half of what was asked for at once. Pure.
 */
import { encodeEventMessage } from '../publish/event-message.ts';
import type { StoredEvent } from '../store/event.ts';
import type { KeptAnswer } from '../store/kept-answers.ts';
import type { PreparedEvent } from '../store/prepare-event.ts';
import type { ReplicatedChange } from '../store/replicated-change.ts';

/** Below what the bus carries, with room for what stands between events. */
export const MESSAGE_BYTES_MAX = 900_000;

/** The names of the fields, hashes and times of one event. */
const FRAME_BYTES = 600;

export interface PackedMessage extends ReplicatedChange {
  /** The hash of its last event: the same events always have the same. */
  readonly id: string;
  readonly data: Uint8Array;
}

/**
 * The messages of a change, in order. Only a request whose events are too many for one message is
 * divided. Answers go with the event they are about; those that fit nowhere, or are about none,
 * go with nothing: a repetition of their request is done anew.
 */
export function packed({ events, answers }: ReplicatedChange): readonly PackedMessage[] {
  const messages: PackedMessage[] = [];
  let open: PreparedEvent[] = [];
  let openBytes = 0;
  const close = () => {
    if (open.length > 0) messages.push(messageOf(open, answers, openBytes));
    open = [];
    openBytes = 0;
  };
  for (const request of requestsOf(events)) {
    const bytes = request.reduce((sum, next) => sum + bytesOf(next), 0);
    if (openBytes + bytes > MESSAGE_BYTES_MAX) close();
    for (const next of request) {
      if (openBytes + bytesOf(next) > MESSAGE_BYTES_MAX) close();
      open.push(next);
      openBytes += bytesOf(next);
    }
  }
  close();
  return messages;
}

function* requestsOf(events: readonly PreparedEvent[]): Iterable<readonly PreparedEvent[]> {
  let request: PreparedEvent[] = [];
  for (const next of events) {
    const [first] = request;
    if (first !== undefined && first.event.requestId !== next.event.requestId) {
      yield request;
      request = [];
    }
    request.push(next);
  }
  if (request.length > 0) yield request;
}

function messageOf(
  prepared: readonly PreparedEvent[],
  answers: readonly KeptAnswer[],
  bytes: number,
): PackedMessage {
  const events = prepared.map(({ event }) => event);
  const own = answersFor(events, answers, MESSAGE_BYTES_MAX - bytes);
  const data = encodeEventMessage({ events, answers: own });
  return { id: events.at(-1)?.hash ?? '', data, events: prepared, answers: own };
}

function answersFor(
  events: readonly StoredEvent[],
  answers: readonly KeptAnswer[],
  bytesMax: number,
): readonly KeptAnswer[] {
  const first = events[0]?.position ?? 0;
  const last = events.at(-1)?.position ?? 0;
  let bytesLeft = bytesMax;
  return answers.filter((answer) => {
    if (answer.position < first || answer.position > last) return false;
    const bytes = Buffer.byteLength(JSON.stringify(answer));
    if (bytes > bytesLeft) return false;
    bytesLeft -= bytes;
    return true;
  });
}

/** At most: what is not its data is bounded by what requests may carry. */
function bytesOf({ event, dataText }: PreparedEvent): number {
  const words = event.stream + event.actor + event.requestId + (event.reason ?? '');
  return Buffer.byteLength(dataText) + 6 * words.length + FRAME_BYTES;
}
