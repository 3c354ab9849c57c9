/**
 * IP addresses and blocks of them, as values: pure, so that config rules can be checked where no
 * socket is. An IPv4 address written as IPv6 (`::ffff:192.0.2.1`, as a dual-stack socket shows its
 * peers) is the IPv4 address.
 * Source: RFC 4291 §2.2 and §2.5.5.2, RFC 4632.
 */

export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes, the most significant first. */
  readonly bytes: readonly number[];
}

/** All addresses that begin with the first `prefixBits` bits of `base`. */
export interface Cidr {
  readonly base: IpAddress;
  readonly prefixBits: number;
}

const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
const GROUP = /^[0-9a-f]{1,4}$/i;
const PREFIX = /^(0|[1-9]\d{0,2})$/;
const ZONE = /%[0-9A-Za-z.:-]+$/;
const IPV6_GROUPS = 8;
const MAPPED_PREFIX_BITS = 96;

/** The address of this text, its zone left out; undefined when it is none. */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) return parseIpv4(text);
  return unmapped(parseIpv6(text.replace(ZONE, '')));
}

/** A block such as `10.0.0.0/8`, or one address; undefined when it is neither. */
export function parseCidr(text: string): Cidr | undefined {
  const [addressText = '', prefixText, ...rest] = text.split('/');
  if (rest.length > 0 || addressText.includes('%')) return undefined;
  const isIpv6 = addressText.includes(':');
  const written = isIpv6 ? parseIpv6(addressText) : parseIpv4(addressText);
  if (written === undefined) return undefined;
  const bitsMax = written.bytes.length * 8;
  if (prefixText !== undefined && !PREFIX.test(prefixText)) return undefined;
  const prefixBits = prefixText === undefined ? bitsMax : Number(prefixText);
  if (prefixBits > bitsMax) return undefined;
  const base = unmapped(written) as IpAddress;
  if (base.family === 6 || !isIpv6) return { base, prefixBits };
  // A block around the mapped addresses would hold IPv4 and IPv6: nobody means that.
  if (prefixBits < MAPPED_PREFIX_BITS) return undefined;
  return { base, prefixBits: prefixBits - MAPPED_PREFIX_BITS };
}

export function cidrContains({ base, prefixBits }: Cidr, address: IpAddress): boolean {
  if (base.family !== address.family) return false;
  const wholeBytes = prefixBits >> 3;
  for (let at = 0; at < wholeBytes; at++) if (base.bytes[at] !== address.bytes[at]) return false;
  const restBits = prefixBits & 7;
  if (restBits === 0) return true;
  const mask = (0xff << (8 - restBits)) & 0xff;
  return ((base.bytes[wholeBytes] ?? 0) & mask) === ((address.bytes[wholeBytes] ?? 0) & mask);
}

/** In full and always the same for the same address; not the shortest form. */
export function formatIpAddress({ family, bytes }: IpAddress): string {
  if (family === 4) return bytes.join('.');
  const groups = Array.from({ length: IPV6_GROUPS }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return groups.join(':');
}

/** Of 4 or 16 bytes as a packet holds them. */
export function ipAddressOf(bytes: Uint8Array): IpAddress {
  return unmapped({ family: bytes.length === 4 ? 4 : 6, bytes: [...bytes] }) as IpAddress;
}

function parseIpv4(text: string): IpAddress | undefined {
  const parts = IPV4.exec(text)?.slice(1);
  if (parts === undefined) return undefined;
  // "010" is 8 to some and 10 to others.
  const isPlain = parts.every((part) => Number(part) <= 255 && String(Number(part)) === part);
  return isPlain ? { family: 4, bytes: parts.map(Number) } : undefined;
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(groupsOf);
  if (head === undefined || (halves.length === 2 && tail === undefined)) return undefined;
  // Only the end of an address may be written as IPv4.
  if (halves.length === 2 && halves[0]?.includes('.') === true) return undefined;
  const missing = IPV6_GROUPS - head.length - (tail?.length ?? 0);
  // "::" stands for one group at least.
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])];
  return { family: 6, bytes: groups.flatMap((group) => [group >> 8, group & 0xff]) };
}

/** The groups of one side of "::"; an IPv4 address may be the last two of all. */
function groupsOf(text: string): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const last = parts.at(-1) as string;
  const ipv4 = last.includes('.') ? parseIpv4(last)?.bytes : undefined;
  const plain = ipv4 === undefined ? parts : parts.slice(0, -1);
  if (!plain.every((part) => GROUP.test(part))) return undefined;
  const groups = plain.map((part) => Number.parseInt(part, 16));
  if (ipv4 === undefined) return groups;
  const [a = 0, b = 0, c = 0, d = 0] = ipv4;
  return [...groups, (a << 8) | b, (c << 8) | d];
}

function unmapped(address: IpAddress | undefined): IpAddress | undefined {
  if (address?.family !== 6) return address;
  const { bytes } = address;
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255;
  return isMapped && bytes[11] === 255 ? { family: 4, bytes: bytes.slice(12) } : address;
}
