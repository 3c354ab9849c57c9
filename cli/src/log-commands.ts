/**
 * The commands that work on the event log of a data folder: verify, replay, backup, restore.
 * Owns: their words and exit codes. Leaves: the work to the control plane's maintenance/, flags and
 * help to log-program.ts.
 */
import { resolve } from 'node:path';
import {
  backUp,
  restoreBackup,
  restorePublished,
} from '@dbbouncer/control-plane/maintenance/backup.ts';
import { openLogOf, reading } from '@dbbouncer/control-plane/maintenance/data-folder.ts';
import { replay } from '@dbbouncer/control-plane/maintenance/replay.ts';
import type { ReplayedConfig } from '@dbbouncer/control-plane/maintenance/replay.ts';
import { verifyPublished } from '@dbbouncer/control-plane/maintenance/verify-published.ts';
import { verifyLog } from '@dbbouncer/control-plane/maintenance/verify.ts';
import type { Broken, OnProgress } from '@dbbouncer/control-plane/maintenance/verify.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { resolveSettings } from '@dbbouncer/shared/settings/resolve.ts';
import type { SettingsInput } from '@dbbouncer/shared/settings/resolve.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';
import { toYaml, yamlOfRecords } from '@dbbouncer/shared/settings/yaml-text.ts';
import { EXIT } from './exit.ts';
import type { ExitCode } from './exit.ts';
import { natsBusOf } from './nats-bus-of.ts';
import { Progress } from './progress.ts';

export interface ReplayOptions {
  readonly at?: string | undefined;
  readonly format: 'yaml' | 'json';
}

/** Says whether the log of the data folder is whole; compares the bus too where one is set. */
export async function runVerify(input: SettingsInput): Promise<ExitCode> {
  const { settings } = resolveSettings(input);
  const verdict = withProgress((progress) =>
    reading(openLogOf(settings.dataDir), (log) => verifyLog(log, progress)),
  );
  if (verdict.outcome === 'broken') return sayBroken(verdict);
  say(
    `The log is whole: ${count(verdict.position)}, and the read models agree with them.` +
      `\nHash of the last: ${verdict.hash}`,
  );
  return settings.nats === undefined ? EXIT.ok : await comparePublished(settings, settings.nats);
}

/** Prints the config as it was. */
export function runReplay(input: SettingsInput, { at, format }: ReplayOptions): ExitCode {
  const { settings } = resolveSettings(input);
  const config = reading(openLogOf(settings.dataDir), (log) => replay(log, at));
  const text = format === 'json' ? `${JSON.stringify(config, undefined, 2)}\n` : asYaml(config);
  process.stdout.write(text);
  return EXIT.ok;
}

function asYaml({ tenants, ...rest }: ReplayedConfig): string {
  return [toYaml(rest), ...yamlOfRecords('tenants', tenants)].join('');
}

/** Copies the log of the data folder to `file`, while a control plane may write to it. */
export function runBackup(input: SettingsInput, file: string): ExitCode {
  const { settings } = resolveSettings(input);
  const target = resolve(input.cwd, file);
  const { position } = withProgress((progress) => backUp(settings.dataDir, target, progress));
  say(`${target} holds ${count(position)}, all of them whole.`);
  say('The master key is not in it: keep that too, at another place.');
  return EXIT.ok;
}

/** Makes `file`, or without one the events on the bus, the log of a data folder that has none. */
export async function runRestore(input: SettingsInput, file?: string): Promise<ExitCode> {
  const { settings } = resolveSettings(input);
  const { position } =
    file === undefined
      ? await restoreFromBus(settings)
      : withProgress((progress) =>
          restoreBackup(resolve(input.cwd, file), settings.dataDir, progress),
        );
  say(`${settings.dataDir} holds ${count(position)} now, all of them whole.`);
  say('Passwords in it open with the master key of then: DBBOUNCER_MASTER_KEY or master.key.');
  return EXIT.ok;
}

/** @throws SETTINGS_INVALID when no bus is set */
async function restoreFromBus(settings: Settings): ReturnType<typeof restorePublished> {
  const { nats, dataDir } = settings;
  if (nats === undefined) {
    throw sharedErrors.fail('SETTINGS_INVALID', 'restore needs a file, or --nats URL.');
  }
  const bus = openBus(nats, settings, 'restore');
  const progress = newProgress();
  try {
    return await restorePublished(bus, dataDir, systemClock, (done, total) =>
      progress.update(done, total),
    );
  } finally {
    progress.end();
    await bus.close();
  }
}

function openBus(servers: string, settings: Settings, command: string): Bus {
  const name = `dbbouncer ${command}`;
  const inboxPrefix = SUBJECTS.controlPlaneInbox;
  return natsBusOf(servers, settings, { name, inboxPrefix, clock: systemClock });
}

async function comparePublished(settings: Settings, servers: string): Promise<ExitCode> {
  const bus = openBus(servers, settings, 'verify');
  const log = openLogOf(settings.dataDir);
  const progress = newProgress();
  try {
    const verdict = await verifyPublished(log, bus, systemClock, (done, total) =>
      progress.update(done, total),
    );
    if (verdict.outcome === 'broken') return sayBroken(verdict);
    const { position, behind } = verdict;
    const rest = behind > 0 ? `; ${count(behind)} of the log are not on it yet` : '';
    say(`The bus has the same: ${count(position)}${rest}.`);
    return EXIT.ok;
  } finally {
    progress.end();
    log.close();
    await bus.close();
  }
}

function withProgress<T>(work: (onProgress: OnProgress) => T): T {
  const progress = newProgress();
  try {
    return work((done, total) => progress.update(done, total));
  } finally {
    progress.end();
  }
}

function newProgress(): Progress {
  return new Progress('events', process.stderr, systemClock);
}

function sayBroken({ where, reason }: Broken): ExitCode {
  process.stderr.write(`dbbouncer: ${where}: ${reason}\n`);
  return EXIT.failure;
}

function count(events: number): string {
  return events === 1 ? '1 event' : `${events} events`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
