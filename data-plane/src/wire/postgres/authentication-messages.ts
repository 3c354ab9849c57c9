/**
 * The Authentication messages of a server, one type byte told apart by a code.
 * Leaves: the mechanisms to scram.ts and md5.ts.
 * Source: PostgreSQL 18 manual, "Message Formats" (Authentication…), "SASL Authentication".
 */
import { ByteReader } from '../byte-reader.ts';
import { backendFrame } from './backend-frame.ts';
import { BACKEND } from './message-types.ts';
import type { BackendFrame } from './message-types.ts';
import { WireError } from '../wire-error.ts';

export type Authentication =
  | { readonly kind: 'Ok' }
  | { readonly kind: 'CleartextPassword' }
  | { readonly kind: 'MD5Password'; readonly salt: Buffer }
  | { readonly kind: 'SASL'; readonly mechanisms: readonly string[] }
  /** `data` is borrowed. */
  | { readonly kind: 'SASLContinue' | 'SASLFinal'; readonly data: Buffer }
  /** Kerberos, GSSAPI, SSPI and what may come. */
  | { readonly kind: 'unsupported'; readonly code: number };

const OK = 0;
const CLEARTEXT_PASSWORD = 3;
const MD5_PASSWORD = 5;
const SASL = 10;
const SASL_CONTINUE = 11;
const SASL_FINAL = 12;
export const MD5_SALT_BYTES = 4;

/** @throws WireError */
export function decodeAuthentication(
  buffer: Buffer,
  start = 0,
  end: number = buffer.length,
): Authentication {
  const reader = new ByteReader('Authentication', buffer, start, end);
  const authentication = readAuthentication(reader);
  if (authentication.kind !== 'unsupported') reader.end();
  return authentication;
}

function readAuthentication(reader: ByteReader): Authentication {
  const code = reader.int32();
  switch (code) {
    case OK:
      return { kind: 'Ok' };
    case CLEARTEXT_PASSWORD:
      return { kind: 'CleartextPassword' };
    case MD5_PASSWORD:
      return { kind: 'MD5Password', salt: reader.bytes(MD5_SALT_BYTES) };
    case SASL:
      return { kind: 'SASL', mechanisms: readMechanisms(reader) };
    case SASL_CONTINUE:
      return { kind: 'SASLContinue', data: reader.rest() };
    case SASL_FINAL:
      return { kind: 'SASLFinal', data: reader.rest() };
    default:
      return { kind: 'unsupported', code };
  }
}

function readMechanisms(reader: ByteReader): string[] {
  const mechanisms: string[] = [];
  for (let name = reader.cstring(); name !== ''; name = reader.cstring()) mechanisms.push(name);
  return mechanisms;
}

export function encodeAuthenticationOk(): BackendFrame {
  return backendFrame(BACKEND.Authentication, (body) => body.int32(OK));
}

export function encodeAuthenticationCleartextPassword(): BackendFrame {
  return backendFrame(BACKEND.Authentication, (body) => body.int32(CLEARTEXT_PASSWORD));
}

export function encodeAuthenticationMD5Password(salt: Buffer): BackendFrame {
  if (salt.length !== MD5_SALT_BYTES) {
    throw new WireError(`an MD5 salt of ${salt.length} bytes, ${MD5_SALT_BYTES} expected`);
  }
  return backendFrame(BACKEND.Authentication, (body) => body.int32(MD5_PASSWORD).bytes(salt));
}

export function encodeAuthenticationSASL(mechanisms: readonly string[]): BackendFrame {
  return backendFrame(BACKEND.Authentication, (body) => {
    body.int32(SASL);
    for (const mechanism of mechanisms) body.cstring(mechanism);
    body.uint8(0);
  });
}

export function encodeAuthenticationSASLContinue(data: string): BackendFrame {
  return backendFrame(BACKEND.Authentication, (body) => body.int32(SASL_CONTINUE).text(data));
}

export function encodeAuthenticationSASLFinal(data: string): BackendFrame {
  return backendFrame(BACKEND.Authentication, (body) => body.int32(SASL_FINAL).text(data));
}
