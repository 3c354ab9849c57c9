/**
 * Every size limit of the PostgreSQL codec.
 * Source: PostgreSQL 18, libpq/libpq.h (PQ_*_MESSAGE_LIMIT), tcop/postgres.c SocketBackend(),
 * libpq/auth.c, libpq/pqcomm.h.
 */
import { FRONTEND } from './message-types.ts';

/** The length field counts itself; a body limit is that much smaller. */
const LENGTH_FIELD_BYTES = 4;

/** PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize - 1: the length field of messages that carry user data. */
export const LARGE_MESSAGE_BYTES_MAX = 0x3fffffff - 1;
/** PQ_SMALL_MESSAGE_LIMIT: the length field of client messages that carry a name or nothing. */
export const SMALL_MESSAGE_BYTES_MAX = 10_000;
/** PG_MAX_AUTH_TOKEN_LENGTH: the length field of a client's password and SASL messages. */
export const AUTH_MESSAGE_BYTES_MAX = 65_535;
/** MAX_STARTUP_PACKET_LENGTH: a first packet without its length field. */
export const STARTUP_BODY_BYTES_MAX = 10_000;
/** The secret key of a cancel: 4 bytes in protocol 3.0, up to 256 since 3.2. */
export const CANCEL_KEY_BYTES_MIN = 4;
export const CANCEL_KEY_BYTES_MAX = 256;
/** What a server may ask of a client's PBKDF2: about half a second of one thread. */
export const SCRAM_ITERATIONS_MAX = 1_000_000;
/** A SCRAM salt as decoded; PostgreSQL makes 16. */
export const SCRAM_SALT_BYTES_MAX = 1_024;
/** One SCRAM message; PostgreSQL's longest is below 300. */
export const SCRAM_MESSAGE_BYTES_MAX = 4_096;

/** The largest body a `FrameScanner` collects where its handler has no bound of its own. */
export const COLLECT_BYTES_MAX = 1_048_576;
/** The largest body of a server's message. */
export const BACKEND_BODY_BYTES_MAX = LARGE_MESSAGE_BYTES_MAX - LENGTH_FIELD_BYTES;

/**
 * The largest body of a client's message, by type byte, as the server would take it. Those without
 * a body have none: a server would answer such a Flush, which nobody counts on, with an error.
 */
export function clientBodyBytesMax(type: number): number {
  switch (type) {
    case FRONTEND.Query:
    case FRONTEND.Parse:
    case FRONTEND.Bind:
    case FRONTEND.FunctionCall:
    case FRONTEND.CopyData:
      return LARGE_MESSAGE_BYTES_MAX - LENGTH_FIELD_BYTES;
    case FRONTEND.Flush:
    case FRONTEND.Sync:
    case FRONTEND.CopyDone:
    case FRONTEND.Terminate:
      return 0;
    case FRONTEND.Password:
      return AUTH_MESSAGE_BYTES_MAX - LENGTH_FIELD_BYTES;
    default:
      return SMALL_MESSAGE_BYTES_MAX - LENGTH_FIELD_BYTES;
  }
}
