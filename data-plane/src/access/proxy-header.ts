/**
 * The header by which a load balancer tells whose connection it passes on, versions 1 and 2.
 * Pure: the bytes that have come so far in, an answer out.
 * Owns: its syntax and its bounds. Leaves: who may send one to listener/doorway.ts.
 * Source: HAProxy, "The PROXY protocol", versions 1 & 2, §2.1 and §2.2.
 */
import { ipAddressOf, parseIpAddress } from '@dbbouncer/shared/kernel/ip-address.ts';
import type { IpAddress } from '@dbbouncer/shared/kernel/ip-address.ts';

/** §2.1: the longest line there is, its end included. */
const V1_BYTES_MAX = 107;
const V1_PREFIX = Buffer.from('PROXY ');
const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n');
const V2_FIXED_BYTES = 16;
/** What may follow those: addresses and whatever the balancer adds, which is skipped. */
export const V2_REST_BYTES_MAX = 2_048;

const LOCAL = 0x20;
const PROXY = 0x21;
/** The first half: IPv4, IPv6 or a socket file; the second: a stream. */
const FAMILIES: Readonly<Record<number, 'none' | 'ipv4' | 'ipv6'>> = Object.freeze({
  0x00: 'none',
  0x11: 'ipv4',
  0x21: 'ipv6',
  // A socket file of another machine: nothing that rules for this one could mean.
  0x31: 'none',
});
const ADDRESS_BYTES = Object.freeze({ none: 0, ipv4: 12, ipv6: 36 });

const PORT = /^(0|[1-9]\d{0,4})$/;
const PORT_MAX = 65_535;

export interface ProxyHeader {
  /** Whose connection it is; nothing when it is the load balancer's own, such as a check. */
  readonly client: IpAddress | undefined;
  /** What comes behind them is the client's. */
  readonly headerBytes: number;
}

/** What came is not a header, or none that may be; it says what is wrong. */
export class ProxyHeaderError extends Error {
  override readonly name = 'ProxyHeaderError';
}

/** @throws ProxyHeaderError as soon as the bytes cannot become a header any more */
export function readProxyHeader(bytes: Buffer): ProxyHeader | 'incomplete' {
  if (beginsLike(bytes, V1_PREFIX)) return readVersion1(bytes);
  if (beginsLike(bytes, V2_SIGNATURE)) return readVersion2(bytes);
  throw new ProxyHeaderError('the connection does not begin with a PROXY protocol header');
}

function beginsLike(bytes: Buffer, wanted: Buffer): boolean {
  const length = Math.min(bytes.length, wanted.length);
  return bytes.subarray(0, length).equals(wanted.subarray(0, length));
}

function readVersion1(bytes: Buffer): ProxyHeader | 'incomplete' {
  const end = bytes.subarray(0, V1_BYTES_MAX).indexOf('\r\n');
  if (end === -1) {
    if (bytes.length < V1_BYTES_MAX) return 'incomplete';
    throw new ProxyHeaderError(`a PROXY line does not end within ${V1_BYTES_MAX} bytes`);
  }
  const headerBytes = end + 2;
  const [family, source, destination, ...ports] = bytes
    .toString('latin1', V1_PREFIX.length, end)
    .split(' ');
  // Whatever stands behind UNKNOWN is to be ignored.
  if (family === 'UNKNOWN') return { client: undefined, headerBytes };
  const client = addressOf(family, source);
  const isWhole = ports.length === 2 && ports.every(isPort);
  if (client === undefined || addressOf(family, destination) === undefined || !isWhole) {
    throw new ProxyHeaderError('a PROXY line does not name two addresses and two ports');
  }
  return { client, headerBytes };
}

function addressOf(family: string | undefined, text = ''): IpAddress | undefined {
  const isIpv6 = text.includes(':');
  if (text.includes('%') || family !== (isIpv6 ? 'TCP6' : 'TCP4')) return undefined;
  return parseIpAddress(text);
}

function isPort(text: string): boolean {
  return PORT.test(text) && Number(text) <= PORT_MAX;
}

function readVersion2(bytes: Buffer): ProxyHeader | 'incomplete' {
  if (bytes.length < V2_FIXED_BYTES) return 'incomplete';
  const command = bytes.readUInt8(V2_SIGNATURE.length);
  const family = FAMILIES[bytes.readUInt8(V2_SIGNATURE.length + 1)];
  const restBytes = bytes.readUInt16BE(V2_SIGNATURE.length + 2);
  if (command !== LOCAL && command !== PROXY) {
    throw new ProxyHeaderError(`a PROXY header has version and command 0x${command.toString(16)}`);
  }
  if (restBytes > V2_REST_BYTES_MAX) {
    const limit = `${V2_REST_BYTES_MAX} are allowed`;
    throw new ProxyHeaderError(`a PROXY header announces ${restBytes} bytes, ${limit}`);
  }
  const headerBytes = V2_FIXED_BYTES + restBytes;
  if (bytes.length < headerBytes) return 'incomplete';
  if (command === LOCAL) return { client: undefined, headerBytes };
  if (family === undefined) throw new ProxyHeaderError('a PROXY header is not of a TCP connection');
  if (restBytes < ADDRESS_BYTES[family]) {
    throw new ProxyHeaderError(`a PROXY header of ${restBytes} bytes is too short for ${family}`);
  }
  if (family === 'none') return { client: undefined, headerBytes };
  const addressBytes = family === 'ipv4' ? 4 : 16;
  const source = bytes.subarray(V2_FIXED_BYTES, V2_FIXED_BYTES + addressBytes);
  return { client: ipAddressOf(source), headerBytes };
}
