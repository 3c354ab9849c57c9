/**
 * What clients are served with, as the settings say: encryption, limits, throttles, memory.
 * Leaves: what servers are connected to with to server-side.ts.
 */
import { availableParallelism } from 'node:os';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { AttemptThrottle } from './access/attempt-throttle.ts';
import { BufferPool } from './buffers/buffer-pool.ts';
import { clientsThatFit, openFilesMax } from './listener/file-descriptors.ts';
import { BusyPoll } from './session/busy-poll.ts';
import { ClientTls } from './tls/client-tls.ts';

/** A cancel key is lost more easily than a password: each session has another one. */
const UNKNOWN_KEYS_FACTOR = 10;

export function throttles(settings: Settings, clock: Clock) {
  const logins = {
    failures: settings.loginThrottleFailures,
    perMs: settings.loginThrottlePerMs,
    delayMs: settings.loginThrottleDelayMs,
    delayMsMax: settings.loginThrottleDelayMaxMs,
  };
  const cancels = { ...logins, failures: logins.failures * UNKNOWN_KEYS_FACTOR };
  return {
    throttle: new AttemptThrottle(logins, clock),
    cancelThrottle: new AttemptThrottle(cancels, clock),
  };
}

/** Who has but one processor would take it from the database by looking. */
export function busyPoll({ busyPollUs }: Settings, clock: Clock): BusyPoll {
  const limitMs = availableParallelism() > 1 ? busyPollUs / 1_000 : 0;
  return new BusyPoll({ limitMs, nowMs: () => clock.nowMs(), inNextTurn: setImmediate });
}

export function bufferPool({ bufferInitialSizeBytes, bufferMaxSizeBytes }: Settings): BufferPool {
  return new BufferPool({ initialBytes: bufferInitialSizeBytes, maxBytes: bufferMaxSizeBytes });
}

/** As many clients as asked for, or as the process may have open files for. */
export function clientsServed(wanted: number, log: Logger): number {
  const filesMax = openFilesMax();
  const served = clientsThatFit(wanted, filesMax);
  if (served < wanted) {
    const fields = { max_client_connections: wanted, served, open_files: filesMax };
    log.warn(
      fields,
      'fewer clients are served than set: raise the limit of open files (ulimit -n)',
    );
  }
  return served;
}

/** Nothing when clients are not offered TLS. @throws SETTINGS_INVALID */
export function clientTls(settings: Settings, clock: Clock, log: Logger): ClientTls | undefined {
  const { tlsMode, tlsCertFile, tlsKeyFile, tlsClientCaFile, tlsMinVersion } = settings;
  if (tlsMode === 'disable' || tlsCertFile === undefined || tlsKeyFile === undefined) {
    return undefined;
  }
  return new ClientTls({
    files: { certFile: tlsCertFile, keyFile: tlsKeyFile, clientCaFile: tlsClientCaFile },
    minVersion: tlsMinVersion,
    protocol: 'postgresql',
    handshakeTimeoutMs: settings.clientLoginTimeoutMs,
    clock,
    log,
  });
}
