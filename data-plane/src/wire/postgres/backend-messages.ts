/**
 * Messages a server sends about the session: its state, parameters, keys, errors, notifications.
 * Owns: bodies. Leaves: Authentication to authentication-messages.ts, rows and COPY to
 * result-messages.ts, frame boundaries and size limits to frame-scanner.ts.
 * Decoders take the body as `FrameHandler.frame()` gives it, `buffer[start, end)`; they refuse a
 * body that is longer or shorter than its fields.
 * Source: PostgreSQL 18 manual, "Message Formats".
 */
import { ByteReader } from '../byte-reader.ts';
import { WireError } from '../wire-error.ts';
import { backendFrame } from './backend-frame.ts';
import { writeErrorFields } from './error-fields.ts';
import type { ErrorFields } from './error-fields.ts';
import {
  BACKEND,
  showType,
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
  TRANSACTION_OPEN,
} from './message-types.ts';
import type { BackendFrame, TransactionStatus } from './message-types.ts';
import { readCancelKey, refuseKeyLength } from './startup-message.ts';
import type { CancelKey } from './startup-message.ts';

export { decodeErrorFields, peekSeverity } from './error-fields.ts';
export type { ErrorFields } from './error-fields.ts';
export {
  BACKEND,
  BACKEND_TYPES,
  TRANSACTION_FAILED,
  TRANSACTION_IDLE,
  TRANSACTION_OPEN,
} from './message-types.ts';
export type { BackendFrame, TransactionStatus } from './message-types.ts';
export { decodeDataRow, decodeRowDescription } from './result-messages.ts';

export interface ParameterStatus {
  readonly name: string;
  readonly value: string;
}

export interface NotificationResponse {
  readonly processId: number;
  readonly channel: string;
  readonly payload: string;
}

export interface NegotiateProtocolVersion {
  readonly major: number;
  /** The newest minor version the server speaks of the major version asked for. */
  readonly minor: number;
  /** Protocol options (`_pq_.…`) the server does not know. */
  readonly unrecognizedOptions: readonly string[];
}

export function encodeReadyForQuery(status: TransactionStatus): BackendFrame {
  return backendFrame(BACKEND.ReadyForQuery, (body) => body.uint8(status));
}

/** Allocates nothing: it is read once for each transaction. */
export function decodeReadyForQuery(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): TransactionStatus {
  if (end - start !== 1) {
    throw new WireError(`ReadyForQuery: a body of ${end - start} bytes, 1 expected`);
  }
  const status = buffer[start] as number;
  switch (status) {
    case TRANSACTION_IDLE:
    case TRANSACTION_OPEN:
    case TRANSACTION_FAILED:
      return status;
    default:
      throw new WireError(`ReadyForQuery: status ${showType(status)}, I, T or E expected`);
  }
}

export function encodeParameterStatus(name: string, value: string): BackendFrame {
  return backendFrame(BACKEND.ParameterStatus, (body) => body.cstring(name).cstring(value));
}

export function decodeParameterStatus(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): ParameterStatus {
  const reader = new ByteReader('ParameterStatus', buffer, start, end);
  const name = reader.cstring();
  const value = reader.cstring();
  reader.end();
  return { name, value };
}

/** @param key with 4 bytes of secret for a client of protocol 3.0. */
export function encodeBackendKeyData(key: CancelKey): BackendFrame {
  refuseKeyLength(key.secretKey);
  return backendFrame(BACKEND.BackendKeyData, (body) =>
    body.int32(key.processId).bytes(key.secretKey),
  );
}

/** The key is a copy. */
export function decodeBackendKeyData(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): CancelKey {
  return readCancelKey(new ByteReader('BackendKeyData', buffer, start, end));
}

export function encodeErrorResponse(fields: ErrorFields): BackendFrame {
  return backendFrame(BACKEND.ErrorResponse, (body) => writeErrorFields(body, fields));
}

export function encodeNoticeResponse(fields: ErrorFields): BackendFrame {
  return backendFrame(BACKEND.NoticeResponse, (body) => writeErrorFields(body, fields));
}

export function encodeNegotiateProtocolVersion(negotiate: NegotiateProtocolVersion): BackendFrame {
  const { major, minor, unrecognizedOptions } = negotiate;
  return backendFrame(BACKEND.NegotiateProtocolVersion, (body) => {
    // The manual speaks of the minor version alone; server and libpq mean the whole number.
    body.uint16(major).uint16(minor).int32(unrecognizedOptions.length);
    for (const option of unrecognizedOptions) body.cstring(option);
  });
}

export function decodeNegotiateProtocolVersion(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): NegotiateProtocolVersion {
  const reader = new ByteReader('NegotiateProtocolVersion', buffer, start, end);
  const major = reader.uint16();
  const minor = reader.uint16();
  const count = reader.uint32();
  reader.expectRoomFor(count, 1);
  const unrecognizedOptions = Array.from({ length: count }, () => reader.cstring());
  reader.end();
  return { major, minor, unrecognizedOptions };
}

export function encodeNotificationResponse(notification: NotificationResponse): BackendFrame {
  const { processId, channel, payload } = notification;
  return backendFrame(BACKEND.NotificationResponse, (body) =>
    body.int32(processId).cstring(channel).cstring(payload),
  );
}

export function decodeNotificationResponse(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): NotificationResponse {
  const reader = new ByteReader('NotificationResponse', buffer, start, end);
  const processId = reader.int32();
  const channel = reader.cstring();
  const payload = reader.cstring();
  reader.end();
  return { processId, channel, payload };
}

const bare = (type: number): BackendFrame => backendFrame(type, () => {});

const emptyQueryResponse = bare(BACKEND.EmptyQueryResponse);
const parseComplete = bare(BACKEND.ParseComplete);
const bindComplete = bare(BACKEND.BindComplete);
const closeComplete = bare(BACKEND.CloseComplete);
const noData = bare(BACKEND.NoData);
const portalSuspended = bare(BACKEND.PortalSuspended);

/** One shared buffer, as of every message without fields: never write to it. */
export function encodeEmptyQueryResponse(): BackendFrame {
  return emptyQueryResponse;
}

export function encodeParseComplete(): BackendFrame {
  return parseComplete;
}

export function encodeBindComplete(): BackendFrame {
  return bindComplete;
}

export function encodeCloseComplete(): BackendFrame {
  return closeComplete;
}

export function encodeNoData(): BackendFrame {
  return noData;
}

export function encodePortalSuspended(): BackendFrame {
  return portalSuspended;
}
