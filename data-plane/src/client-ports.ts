/**
 * Where clients come in: a TCP port and, if it is wanted, a socket file, both through one doorway.
 * Owns: which settings and which protocol each of them has.
 */
import { parseCidr } from '@dbbouncer/shared/kernel/ip-address.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import type { OpenListener } from './life-cycle.ts';
import { Doorway } from './listener/doorway.ts';
import type { Reception } from './listener/doorway.ts';
import { TcpListener } from './listener/tcp-listener.ts';
import { UnixListener } from './listener/unix-listener.ts';
import { refusePostgresClient, servePostgresClient } from './session/postgres/login.ts';
import type { SessionServices } from './session/postgres/services.ts';
import { SOCKET_PATH_BYTES_MAX, socketFile } from './wire/postgres/socket-file.ts';

/** Clients beyond the limit that are let in to read that there are too many. */
const TOLD_MAX = 50;

/** @throws AppError SETTINGS_INVALID a port or socket file cannot be had; nothing is open then */
export async function listenForClients(
  settings: Settings,
  services: SessionServices,
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
    host: settings.host,
    port: settings.postgresPort,
    portSetting: '--postgres-port',
    accept: doorway.to(reception, 'tcp'),
  });
  const stop = (unix?: UnixListener): void => {
    tcp.stop();
    unix?.stop();
    doorway.close();
  };
  if (settings.unixSocketDir === undefined) return { port: tcp.port, stop };
  try {
    const unix = await UnixListener.listen({
      ...common,
      path: socketFile(settings.unixSocketDir, tcp.port),
      pathBytesMax: SOCKET_PATH_BYTES_MAX,
      mode: Number.parseInt(settings.unixSocketMode, 8),
      accept: doorway.to(reception, 'unix'),
    });
    return { port: tcp.port, stop: () => stop(unix) };
  } catch (error) {
    stop();
    throw error;
  }
}
