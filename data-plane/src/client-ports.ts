/**
 * Where clients come in: a TCP port and, if it is wanted, a socket file, both through one doorway.
 * Owns: which settings and which protocol each of them has; which of them a supervisor holds for
 * its workers.
 */
import { parseCidr } from '@dbbouncer/shared/kernel/ip-address.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import type { OpenListener } from './life-cycle.ts';
import type { Queued } from './listener/accepting-server.ts';
import { Doorway } from './listener/doorway.ts';
import type { Reception } from './listener/doorway.ts';
import { holdTcp, holdUnix } from './listener/held-sockets.ts';
import { TcpListener } from './listener/tcp-listener.ts';
import type { TcpPlace } from './listener/tcp-listener.ts';
import { UnixListener } from './listener/unix-listener.ts';
import type { UnixPlace } from './listener/unix-listener.ts';
import { refusePostgresClient, servePostgresClient } from './session/postgres/login.ts';
import type { SessionServices } from './session/postgres/services.ts';
import { SOCKET_PATH_BYTES_MAX, socketFile } from './wire/postgres/socket-file.ts';

/** Clients beyond the limit that are let in to read that there are too many. */
const TOLD_MAX = 50;

/** Sockets that a worker was born with, by their descriptors. */
export interface InheritedPorts {
  readonly tcpFd: number;
  readonly unixFd: number | undefined;
}

/** Sockets that are bound and accept nobody. */
export interface HeldPorts {
  readonly port: number;
  /** As a worker is to inherit them: TCP first, then the socket file if there is one. */
  readonly fds: readonly number[];
  close(): void;
}

/** @throws AppError SETTINGS_INVALID a port or socket file cannot be had; nothing is held then */
export async function holdClientPorts(settings: Settings): Promise<HeldPorts> {
  const tcp = await holdTcp(tcpPlace(settings));
  const file = unixPlace(settings, tcp.port);
  if (file === undefined) return { port: tcp.port, fds: [tcp.fd], close: () => tcp.close() };
  try {
    const unix = await holdUnix(file);
    const close = (): void => {
      unix.close();
      tcp.close();
    };
    return { port: tcp.port, fds: [tcp.fd, unix.fd], close };
  } catch (error) {
    tcp.close();
    throw error;
  }
}

/** @throws AppError SETTINGS_INVALID a port or socket file cannot be had; nothing is open then */
export async function listenForClients(
  settings: Settings,
  services: SessionServices,
  inherited?: InheritedPorts,
): Promise<OpenListener> {
  const { clock, log } = services;
  const doorway = new Doorway({
    connectionsMax: services.clientLimits.clientsMax + TOLD_MAX,
    balancers: settings.proxyProtocolFrom.flatMap((item) =>
      item === 'unix' ? item : (parseCidr(item) ?? []),
    ),
    headerTimeoutMs: settings.clientLoginTimeoutMs,
    clock,
    log,
  });
  const reception: Reception = {
    serve: (socket, address) => servePostgresClient(socket, address, services),
    refuse: (socket, address, error) => refusePostgresClient(socket, address, services, error),
  };
  const common = { backlog: settings.backlog, keepaliveIdleMs: settings.tcpKeepaliveIdleMs, log };
  const tcp = await TcpListener.listen({
    ...common,
    ...tcpPlace(settings),
    inheritedFd: inherited?.tcpFd,
    accept: doorway.to(reception, 'tcp'),
  });
  const stop = async (queued: Queued, unix?: UnixListener): Promise<void> => {
    await Promise.all([tcp.stop(queued), unix?.stop(queued)]);
    doorway.close();
  };
  const emptied = (withinMs: number) => doorway.emptied(withinMs);
  const file = unixPlace(settings, tcp.port);
  if (file === undefined) return { port: tcp.port, stop: (queued) => stop(queued), emptied };
  try {
    const unix = await UnixListener.listen({
      ...common,
      ...file,
      inheritedFd: inherited?.unixFd,
      accept: doorway.to(reception, 'unix'),
    });
    return { port: tcp.port, stop: (queued) => stop(queued, unix), emptied };
  } catch (error) {
    await stop('served');
    throw error;
  }
}

function tcpPlace({ host, postgresPort, reusePort }: Settings): TcpPlace {
  const sharing = reusePort === 'on' ? 'shared' : 'exclusive';
  return { host, port: postgresPort, sharing, portSetting: '--postgres-port' };
}

/** Nothing when no socket file is wanted. */
function unixPlace(settings: Settings, port: number): UnixPlace | undefined {
  const { unixSocketDir: folder, unixSocketMode } = settings;
  if (folder === undefined) return undefined;
  return {
    path: socketFile(folder, port),
    pathBytesMax: SOCKET_PATH_BYTES_MAX,
    mode: Number.parseInt(unixSocketMode, 8),
  };
}
