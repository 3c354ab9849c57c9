/**
 * A notification as clients are told of it: encoded once, however many listen.
 * Source: PostgreSQL manual, NotificationResponse (process id, channel, payload).
 */
import { BACKEND } from '../../../wire/postgres/message-types.ts';
import { WireError } from '../../../wire/wire-error.ts';

export interface Heard {
  /** Byte for byte (latin1). */
  readonly channel: string;
  /** The process id that the clients read. */
  readonly processId: number;
  /** Whether that was given by this proxy; else it is the server's own. */
  readonly sender: 'client' | 'unknown';
  /** The whole message. */
  readonly bytes: Buffer;
}

const BODY_START = 5;
const PROCESS_ID_BYTES = 4;

/** What no client has for its own, and no process for its number. */
const NOBODY = 0;

/** Copies a NotificationResponse's body; names its sender as clients know it. @throws WireError */
export function decodeHeard(
  body: Buffer,
  senders: { clientOf(processId: number): number | undefined },
): Heard {
  const channelEnd = body.indexOf(0, PROCESS_ID_BYTES);
  if (body.length < PROCESS_ID_BYTES + 2 || channelEnd === -1) {
    throw new WireError(`NotificationResponse: a body of ${body.length} bytes without its fields`);
  }
  const serverProcessId = body.readInt32BE(0);
  const client = senders.clientOf(serverProcessId);
  const processId = client ?? serverProcessId;
  return {
    channel: body.toString('latin1', PROCESS_ID_BYTES, channelEnd),
    processId,
    sender: client === undefined ? 'unknown' : 'client',
    bytes: message(body, processId),
  };
}

/**
 * The message for a client that was given the id `own`. An unknown process that happens to have
 * that very number must not look like the client itself.
 */
export function bytesFor({ processId, sender, bytes }: Heard, own: number): Buffer {
  const isMistakable = sender === 'unknown' && processId === own;
  return isMistakable ? message(bytes.subarray(BODY_START), NOBODY) : bytes;
}

/** The same of a notification that came on the client's own server connection. */
export function nativeBytesFor(body: Buffer, serverProcessId: number, own: number): Buffer {
  const clientOf = (processId: number) => (processId === serverProcessId ? own : undefined);
  return bytesFor(decodeHeard(body, { clientOf }), own);
}

function message(body: Buffer, processId: number): Buffer {
  const bytes = Buffer.allocUnsafe(BODY_START + body.length);
  bytes[0] = BACKEND.NotificationResponse;
  bytes.writeInt32BE(BODY_START - 1 + body.length, 1);
  body.copy(bytes, BODY_START);
  bytes.writeInt32BE(processId, BODY_START);
  return bytes;
}
