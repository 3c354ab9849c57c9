/**
 * The type byte of every message, by the manual's name, and the two directions as types.
 * Source: PostgreSQL 18 manual, "Message Formats".
 */

/** Sent by a client. `p` is PasswordMessage, SASLInitialResponse and SASLResponse alike. */
export const FRONTEND = Object.freeze({
  Bind: 0x42, // B
  Close: 0x43, // C
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyFail: 0x66, // f
  Describe: 0x44, // D
  Execute: 0x45, // E
  Flush: 0x48, // H
  FunctionCall: 0x46, // F
  Parse: 0x50, // P
  Password: 0x70, // p
  Query: 0x51, // Q
  Sync: 0x53, // S
  Terminate: 0x58, // X
} as const);
export type FrontendType = (typeof FRONTEND)[keyof typeof FRONTEND];

/** Sent by a server. */
export const BACKEND = Object.freeze({
  Authentication: 0x52, // R
  BackendKeyData: 0x4b, // K
  BindComplete: 0x32, // 2
  CloseComplete: 0x33, // 3
  CommandComplete: 0x43, // C
  CopyBothResponse: 0x57, // W
  CopyData: 0x64, // d
  CopyDone: 0x63, // c
  CopyInResponse: 0x47, // G
  CopyOutResponse: 0x48, // H
  DataRow: 0x44, // D
  EmptyQueryResponse: 0x49, // I
  ErrorResponse: 0x45, // E
  FunctionCallResponse: 0x56, // V
  NegotiateProtocolVersion: 0x76, // v
  NoData: 0x6e, // n
  NoticeResponse: 0x4e, // N
  NotificationResponse: 0x41, // A
  ParameterDescription: 0x74, // t
  ParameterStatus: 0x53, // S
  ParseComplete: 0x31, // 1
  PortalSuspended: 0x73, // s
  ReadyForQuery: 0x5a, // Z
  RowDescription: 0x54, // T
} as const);
export type BackendType = (typeof BACKEND)[keyof typeof BACKEND];

/**
 * Which type bytes a peer may send, as the 256 flags a `FrameScanner` takes. Never written to.
 * A login is stricter: until it is done a client may only answer with `p`.
 */
export const FRONTEND_LOGIN_TYPES: Uint8Array = flags([FRONTEND.Password]);
export const FRONTEND_TYPES: Uint8Array = flags(
  Object.values(FRONTEND).filter((type) => type !== FRONTEND.Password),
);
/** All of a server's: one scanner sees it from its first message to its last. */
export const BACKEND_TYPES: Uint8Array = flags(Object.values(BACKEND));

/** The status byte of ReadyForQuery. */
export const TRANSACTION_IDLE = 0x49; // I
export const TRANSACTION_OPEN = 0x54; // T
export const TRANSACTION_FAILED = 0x45; // E
export type TransactionStatus =
  typeof TRANSACTION_IDLE | typeof TRANSACTION_OPEN | typeof TRANSACTION_FAILED;

declare const direction: unique symbol;

/** A whole message a client may send: type byte, length, body. */
export type FrontendFrame = Buffer & { readonly [direction]: 'to server' };
/** A whole message a server may send; where one is asked for, the other does not compile. */
export type BackendFrame = Buffer & { readonly [direction]: 'to client' };

/** The manual's name of a message, for logs and errors. */
export function frontendTypeName(type: number): string {
  return FRONTEND_NAMES.get(type) ?? unknownType(type);
}

export function backendTypeName(type: number): string {
  return BACKEND_NAMES.get(type) ?? unknownType(type);
}

/** The type byte as an error text shows it: `0x51 'Q'`, or `0x07` when it is not printable. */
export function showType(type: number): string {
  const hex = `0x${type.toString(16).padStart(2, '0')}`;
  return type > 0x20 && type < 0x7f ? `${hex} '${String.fromCharCode(type)}'` : hex;
}

const FRONTEND_NAMES = namesByType(FRONTEND);
const BACKEND_NAMES = namesByType(BACKEND);

function flags(types: readonly number[]): Uint8Array {
  const allowed = new Uint8Array(256);
  for (const type of types) allowed[type] = 1;
  return allowed;
}

function namesByType(types: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(types).map(([name, type]) => [type, name]));
}

function unknownType(type: number): string {
  return `unknown message ${showType(type)}`;
}
