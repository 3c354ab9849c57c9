/**
 * `up`, `control-plane` and `proxy`: a plane or both, from settings to the end of the process.
 * Owns: which bus the planes meet on, what each command needs, the order of stopping; whether a
 * proxy is this process or several under it.
 * Leaves: all else to the planes' own app.ts, loaded once the settings are right.
 */
import { fileURLToPath } from 'node:url';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { createPinoLogger } from '@dbbouncer/shared/logging/pino-logger.ts';
import type { ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import type { ResolvedSettings, SettingsInput } from '@dbbouncer/shared/settings/resolve.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { upBanner } from './banner.ts';
import { CommandFailure, EXIT } from './exit.ts';
import { natsBusOf } from './nats-bus-of.ts';
import { exitOnUncaught, onReplaceSignal, outliveSignals, stopSignal } from './stop-signal.ts';
import { UndoStack } from './undo-stack.ts';

export interface RunInput extends SettingsInput {
  readonly version: string;
}

type RunningCommand = 'up' | 'control-plane' | 'proxy';

/** What both planes are started with. */
export interface Surroundings {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly readEnv: ReadEnv;
  readonly version: string;
  readonly file: ConfigFile | undefined;
  /** On the in-process bus no standby can follow. */
  readonly eventStream: 'on' | 'off';
  readonly busReach: 'private' | 'shared';
}

/** Until a signal: both planes in this process, over the in-process bus unless `nats` is set. */
export async function runUp(input: RunInput): Promise<void> {
  const resolved = resolveSettings(input);
  const { settings } = resolved;
  await serve(resolved, input, 'up', async (surroundings, undo) => {
    const started = await startBoth(settings, surroundings, undo);
    process.stdout.write(upBanner({ settings, version: input.version, ...started }));
  });
}

/** Until a signal: the control plane alone. */
export async function runControlPlane(input: RunInput): Promise<void> {
  const resolved = resolveSettings(input);
  requireNats(resolved.settings, 'control-plane', 'proxies hear from it');
  await serve(resolved, input, 'control-plane', async (surroundings, undo) => {
    await startPlane.control(resolved.settings, surroundings, undo);
  });
}

/** Until a signal: one proxy alone. */
export async function runProxy(input: RunInput): Promise<void> {
  const resolved = resolveSettings(input);
  requireNats(resolved.settings, 'proxy', 'it hears from a control plane');
  await serve(resolved, input, 'proxy', async (surroundings, undo) => {
    await startPlane.proxy(resolved.settings, surroundings, undo);
  });
}

/** Both planes on one bus. `undo` stops the proxy first, so that its last report arrives. */
export async function startBoth(settings: Settings, surroundings: Surroundings, undo: UndoStack) {
  const controlPlane = await startPlane.control(settings, surroundings, undo);
  const proxy = await startPlane.proxy(settings, surroundings, undo);
  return { controlPlane, proxy };
}

const startPlane = {
  async control(settings: Settings, surroundings: Surroundings, undo: UndoStack) {
    const { startControlPlane } = await import('@dbbouncer/control-plane/app.ts');
    const controlPlane = await startControlPlane(settings, surroundings);
    undo.add(() => controlPlane.stop());
    return controlPlane;
  },
  async proxy(settings: Settings, surroundings: Surroundings, undo: UndoStack) {
    if (settings.workers > 1) return await startWorkers(settings, surroundings, undo);
    const { startProxy } = await import('@dbbouncer/data-plane/app.ts');
    const proxy = await startProxy(settings, surroundings);
    undo.add(() => proxy.stop());
    return proxy;
  },
};

const WORKER_FILE = fileURLToPath(new URL('./worker-main.ts', import.meta.url));

/** Without NATS the bus of this process is lent to them. */
async function startWorkers(settings: Settings, surroundings: Surroundings, undo: UndoStack) {
  const { startSupervisedProxy } =
    await import('@dbbouncer/data-plane/workers/supervised-proxy.ts');
  const proxy = await startSupervisedProxy(settings, {
    ...surroundings,
    bus: settings.nats === undefined ? surroundings.bus : undefined,
    workerFile: WORKER_FILE,
  });
  undo.add(() => proxy.stop());
  undo.add(onReplaceSignal(() => void proxy.replaceWorkers()));
  return proxy;
}

/**
 * Starts, waits for a signal, stops in the reverse order, ends the process.
 * @throws CommandFailure when the start fails; what had started is stopped again.
 */
async function serve(
  { settings, file }: ResolvedSettings,
  { env, version }: RunInput,
  command: RunningCommand,
  start: (surroundings: Surroundings, undo: UndoStack) => Promise<void>,
): Promise<void> {
  const log = createPinoLogger(settings.logLevel);
  exitOnUncaught(log);
  outliveSignals(log);
  const signal = stopSignal(systemClock);
  const undo = new UndoStack();
  try {
    const isSupervisor = command === 'proxy' && settings.workers > 1;
    // A supervisor has nothing to say to anybody: its workers do.
    const bus = isSupervisor ? createMemoryBus() : openBus(settings, command, log);
    undo.add(() => bus.close());
    const readEnv = (variable: string) => env[variable];
    const isAlone = settings.nats === undefined;
    const surroundings: Surroundings = {
      bus,
      clock: systemClock,
      log,
      readEnv,
      version,
      file,
      eventStream: isAlone ? 'off' : 'on',
      busReach: isAlone ? 'private' : 'shared',
    };
    await Promise.race([start(surroundings, undo), signal]);
    log.info({ signal: await signal }, 'stopping');
  } catch (error) {
    throw new CommandFailure(error, settings);
  } finally {
    await undo.all();
  }
  process.exit(EXIT.ok);
}

/** Without NATS a bus in this process. Each worker of a proxy opens one of its own. */
export function openBus(settings: Settings, command: RunningCommand, log: Logger): Bus {
  const { nats: servers } = settings;
  const clock = systemClock;
  if (servers === undefined) return createMemoryBus({ clock, log });
  const inboxPrefix = command === 'proxy' ? SUBJECTS.proxyInbox : SUBJECTS.controlPlaneInbox;
  return natsBusOf(servers, settings, { name: `dbbouncer ${command}`, inboxPrefix, clock, log });
}

function requireNats(settings: Settings, command: RunningCommand, why: string): void {
  if (settings.nats !== undefined) return;
  throw sharedErrors.fail(
    'SETTINGS_INVALID',
    `${command} needs --nats URL (or DBBOUNCER_NATS, or "nats" in the config file):` +
      ` ${why} over NATS`,
    { hint: 'For a control plane and a proxy in one process without NATS: dbbouncer up' },
  );
}
