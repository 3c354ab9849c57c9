/**
 * Where a database server listens: a host and a port, or the folder of its socket file.
 * Source: PostgreSQL manual, "Parameter Key Words": a host that begins with a slash is a folder.
 */
import type { NetConnectOpts } from 'node:net';
import { socketFile } from '../wire/postgres/socket-file.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export function isSocketFolder(host: string): boolean {
  return host.startsWith('/');
}

/** For `connect` of node:net. */
export function connectTo({ host, port }: Endpoint): NetConnectOpts {
  return isSocketFolder(host) ? { path: socketFile(host, port) } : { host, port };
}
