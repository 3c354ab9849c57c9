/**
 * Where a client comes from, as rules, throttling and logs see it: the address of its socket, or
 * the one a trusted load balancer has told.
 */
import { formatIpAddress, parseIpAddress } from '@dbbouncer/shared/kernel/ip-address.ts';
import type { IpAddress } from '@dbbouncer/shared/kernel/ip-address.ts';

export type ClientAddress =
  | { readonly kind: 'ip'; readonly ip: IpAddress }
  /** A socket file of this machine. */
  | { readonly kind: 'unix' }
  /** A TCP client that was gone before its address could be read; only `all` holds it. */
  | { readonly kind: 'unknown' };

export const UNIX_CLIENT: ClientAddress = Object.freeze({ kind: 'unix' });
export const UNKNOWN_CLIENT: ClientAddress = Object.freeze({ kind: 'unknown' });

/** Many clients come from few machines: those of one share one object. */
const SHARED_MAX = 10_000;
const shared = new Map<string, ClientAddress>();

/** Of what a TCP socket says of its peer. */
export function clientAddress(remoteAddress: string | undefined): ClientAddress {
  if (remoteAddress === undefined) return UNKNOWN_CLIENT;
  let address = shared.get(remoteAddress);
  if (address === undefined) {
    const ip = parseIpAddress(remoteAddress);
    address = ip === undefined ? UNKNOWN_CLIENT : Object.freeze({ kind: 'ip', ip });
    if (shared.size >= SHARED_MAX) shared.clear();
    shared.set(remoteAddress, address);
  }
  return address;
}

/** For logs and messages. */
export function describeClient(address: ClientAddress): string {
  return address.kind === 'ip' ? formatIpAddress(address.ip) : address.kind;
}
