/**
 * A process of many real proxies, as fleet-processes.ts starts it: tells when the last of them has
 * applied a position, on the clock that all processes of a machine share.
 * Arguments: NATS URL, folder, number of proxies.
 */
import { join } from 'node:path';
import { startProxy } from '@dbbouncer/data-plane/app.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { LogFields, Logger } from '@dbbouncer/shared/kernel/log.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import { MASTER_KEY } from '../made-log.ts';
import { machineMs } from './machine-ms.ts';

/** What this process tells its parent. */
export type FromProxies =
  | { readonly kind: 'serving' }
  | { readonly kind: 'applied'; readonly position: number; readonly atMs: number };

const [nats = '', folder = '', countText = ''] = process.argv.slice(2);
const count = Number(countText);
const appliedBy = new Map<number, number>();

function applied(position: number): void {
  const proxies = (appliedBy.get(position) ?? 0) + 1;
  appliedBy.set(position, proxies);
  if (proxies < count) return;
  appliedBy.delete(position);
  tell({ kind: 'applied', position, atMs: machineMs() });
}

function tell(message: FromProxies): void {
  process.send?.(message);
}

/** Hears of each swap by the line that is logged for it. */
function listeningLogger(): Logger {
  const debug = (fields: LogFields, message: string) => {
    if (message === 'config applied') applied(Number(fields['position']));
  };
  const logger: Logger = { ...silentLogger, debug, child: () => logger };
  return logger;
}

async function startOne(number: number): Promise<void> {
  const { settings } = resolveSettings({
    flags: { dataDir: join(folder, String(number)), postgresPort: '0', metricsPort: '0' },
    env: { DBBOUNCER_MASTER_KEY: MASTER_KEY, DBBOUNCER_HOST: '127.0.0.1' },
    cwd: folder,
  });
  const log = listeningLogger();
  const name = `dbbouncer proxy ${number}`;
  const inboxPrefix = SUBJECTS.proxyInbox;
  const bus = connectNatsBus({ servers: nats, name, inboxPrefix, clock: systemClock, log });
  const readEnv = () => undefined;
  const dependencies = { bus, clock: systemClock, log, readEnv, version: 'scale' };
  const proxy = await startProxy(settings, dependencies);
  await proxy.whenReady;
}

for (let number = 1; number <= count; number += 1) await startOne(number);
tell({ kind: 'serving' });
process.on('disconnect', () => process.exit(0));
