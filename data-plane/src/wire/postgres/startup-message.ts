/**
 * The packets a client may open a connection with; they have no type byte.
 * Owns: their bytes in both directions, and collecting the first packet from a stream. Leaves: the
 * text of `options` to startup-options.ts, answers (`S`, `N`, an error) to session/postgres.
 * Source: PostgreSQL 18 manual, "Message Formats" (StartupMessage, SSLRequest, GSSENCRequest,
 * CancelRequest); limits and order of checks as in tcop/backend_startup.c ProcessStartupPacket().
 */
import { ByteReader } from '../byte-reader.ts';
import { ByteWriter } from '../byte-writer.ts';
import { WireError } from '../wire-error.ts';
import { CANCEL_KEY_BYTES_MAX, CANCEL_KEY_BYTES_MIN, STARTUP_BODY_BYTES_MAX } from './limits.ts';

/** Names a session to a CancelRequest; 4 bytes of secret in protocol 3.0, up to 256 since 3.2. */
export interface CancelKey {
  readonly processId: number;
  readonly secretKey: Buffer;
}

export interface StartupMessage {
  readonly kind: 'startup';
  /** 3; other majors are `unsupported_protocol`. */
  readonly major: number;
  readonly minor: number;
  /** In the order of first mention; of a name given twice the last value counts, as on a server. */
  readonly parameters: ReadonlyMap<string, string>;
  /** Names of `_pq_.` protocol options, for a NegotiateProtocolVersion; they are no parameters. */
  readonly protocolOptions: readonly string[];
}

export type FirstPacket =
  | StartupMessage
  | { readonly kind: 'ssl_request' }
  | { readonly kind: 'gss_enc_request' }
  | { readonly kind: 'cancel_request'; readonly key: CancelKey }
  /** A protocol version this codec does not read; the server's answer is 0A000. */
  | { readonly kind: 'unsupported_protocol'; readonly major: number; readonly minor: number }
  /**
   * Not a packet: TLS begins at once (`sslnegotiation=direct`); all bytes so far are the
   * handshake's, in `rest`.
   */
  | { readonly kind: 'direct_tls' };

export interface FirstPacketArrival {
  readonly packet: FirstPacket;
  /**
   * What followed the packet. After `ssl_request` and `gss_enc_request` it must be empty, else
   * somebody may have injected bytes in clear before the encryption (CVE-2021-23214): the server
   * answers 08P01.
   */
  readonly rest: Buffer;
}

const LENGTH_FIELD_BYTES = 4;
const VERSION_BYTES = 4;
const PROTOCOL_MAJOR = 3;
const REQUEST_MAJOR = 1234;
const CANCEL_REQUEST_MINOR = 5678;
const SSL_REQUEST_MINOR = 5679;
const GSS_ENC_REQUEST_MINOR = 5680;
/** The first byte of a TLS handshake; of a packet's length it would mean 369 megabytes. */
const TLS_HANDSHAKE = 0x16;
const PROTOCOL_OPTION_PREFIX = '_pq_.';
const EMPTY = Buffer.alloc(0);

/** Collects the first packet; what follows an answered SSLRequest is for another reader. */
export class FirstPacketReader {
  #collected: Buffer = EMPTY;

  /** Nothing has arrived yet: a port scan or a load balancer's check, not a broken client. */
  get untouched(): boolean {
    return this.#collected.length === 0;
  }

  /**
   * Takes the next bytes; keeps a copy of an incomplete packet, never more than its limit. Not to
   * be called after it has returned an arrival.
   * @throws WireError
   */
  push(chunk: Buffer): 'incomplete' | FirstPacketArrival {
    const bytes = this.#collected.length === 0 ? chunk : Buffer.concat([this.#collected, chunk]);
    if (bytes.length > 0 && bytes[0] === TLS_HANDSHAKE) {
      return { packet: { kind: 'direct_tls' }, rest: bytes };
    }
    if (bytes.length >= LENGTH_FIELD_BYTES) {
      const packetEnd = packetLength(bytes);
      if (bytes.length >= packetEnd) {
        const packet = decodeFirstPacket(bytes, LENGTH_FIELD_BYTES, packetEnd);
        return { packet, rest: bytes.subarray(packetEnd) };
      }
    }
    this.#collected = bytes === chunk ? Buffer.from(chunk) : bytes;
    return 'incomplete';
  }
}

/** How PROXY protocol headers begin, versions 1 and 2; as lengths they are above any limit. */
const PROXY_HEADERS: readonly string[] = ['PROX', '\r\n\r\n'];

/** @throws WireError for a length no first packet has. */
function packetLength(bytes: Buffer): number {
  if (PROXY_HEADERS.includes(bytes.toString('latin1', 0, LENGTH_FIELD_BYTES))) {
    throw new WireError(
      'a PROXY protocol header, which only the addresses in listen.proxy_protocol_from may send',
    );
  }
  const length = bytes.readInt32BE(0);
  const least = LENGTH_FIELD_BYTES + VERSION_BYTES;
  const most = LENGTH_FIELD_BYTES + STARTUP_BODY_BYTES_MAX;
  if (length < least) {
    throw new WireError(`first packet declares a length of ${length}, below the least, ${least}`);
  }
  if (length > most) {
    throw new WireError(`first packet declares a length of ${length}, ${most} is the limit`);
  }
  return length;
}

/** Decodes a whole first packet without its length field. @throws WireError */
export function decodeFirstPacket(buffer: Buffer, start = 0, end = buffer.length): FirstPacket {
  const reader = new ByteReader('first packet', buffer, start, end);
  const major = reader.uint16();
  const minor = reader.uint16();
  if (major === REQUEST_MAJOR) {
    switch (minor) {
      case CANCEL_REQUEST_MINOR:
        return { kind: 'cancel_request', key: readCancelKey(reader) };
      case SSL_REQUEST_MINOR:
        reader.end();
        return { kind: 'ssl_request' };
      case GSS_ENC_REQUEST_MINOR:
        reader.end();
        return { kind: 'gss_enc_request' };
      default:
        break;
    }
  }
  if (major !== PROTOCOL_MAJOR) return { kind: 'unsupported_protocol', major, minor };
  return readStartupMessage(reader, major, minor);
}

function readStartupMessage(reader: ByteReader, major: number, minor: number): StartupMessage {
  const parameters = new Map<string, string>();
  const protocolOptions: string[] = [];
  for (;;) {
    const name = reader.cstring();
    if (name === '') break;
    const value = reader.cstring();
    if (name.startsWith(PROTOCOL_OPTION_PREFIX)) protocolOptions.push(name);
    else parameters.set(name, value);
  }
  reader.end();
  return { kind: 'startup', major, minor, parameters, protocolOptions };
}

/** Reads what BackendKeyData and CancelRequest share: a process id, the rest is the secret. */
export function readCancelKey(reader: ByteReader): CancelKey {
  const processId = reader.int32();
  // A copy: keys are kept for as long as the connection lives.
  const secretKey = Buffer.from(reader.rest());
  refuseKeyLength(secretKey);
  return { processId, secretKey };
}

/** @throws WireError for a secret of a length the protocol does not know. */
export function refuseKeyLength(secretKey: Buffer): void {
  if (secretKey.length < CANCEL_KEY_BYTES_MIN || secretKey.length > CANCEL_KEY_BYTES_MAX) {
    throw new WireError(
      `a cancel key of ${secretKey.length} bytes, ` +
        `between ${CANCEL_KEY_BYTES_MIN} and ${CANCEL_KEY_BYTES_MAX} expected`,
    );
  }
}

export interface StartupFields {
  /** Default is 0: protocol 3.0. */
  readonly minor?: number;
  readonly parameters: Iterable<readonly [name: string, value: string]>;
}

/** @throws WireError for an empty name, a zero byte in a text, or more than a server would read. */
export function encodeStartupMessage({ minor = 0, parameters }: StartupFields): Buffer {
  const writer = request(PROTOCOL_MAJOR, minor);
  for (const [name, value] of parameters) {
    if (name === '') throw new WireError('a startup parameter has no name');
    writer.cstring(name).cstring(value);
  }
  writer.uint8(0);
  const bodyBytes = writer.length - LENGTH_FIELD_BYTES;
  if (bodyBytes > STARTUP_BODY_BYTES_MAX) {
    throw new WireError(
      `a StartupMessage of ${bodyBytes} bytes, ${STARTUP_BODY_BYTES_MAX} is the limit`,
    );
  }
  return finish(writer);
}

export function encodeSSLRequest(): Buffer {
  return finish(request(REQUEST_MAJOR, SSL_REQUEST_MINOR));
}

export function encodeGSSENCRequest(): Buffer {
  return finish(request(REQUEST_MAJOR, GSS_ENC_REQUEST_MINOR));
}

export function encodeCancelRequest(key: CancelKey): Buffer {
  refuseKeyLength(key.secretKey);
  const writer = request(REQUEST_MAJOR, CANCEL_REQUEST_MINOR);
  return finish(writer.int32(key.processId).bytes(key.secretKey));
}

function request(major: number, minor: number): ByteWriter {
  return new ByteWriter().int32(0).uint16(major).uint16(minor);
}

function finish(writer: ByteWriter): Buffer {
  return writer.patchInt32(0, writer.length).finish();
}
