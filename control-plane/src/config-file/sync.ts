/**
 * Follows the config file: does what it says at start and after each change of it, and knows how
 * the last reading went. A file that is wrong, missing or empty, or that contradicts what is
 * registered, is refused as a whole and leaves everything as it was.
 */
import { createHmac } from 'node:crypto';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { isRegularFile } from '@dbbouncer/shared/files/regular-file.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock, Timer } from '@dbbouncer/shared/kernel/clock.ts';
import { AppError } from '@dbbouncer/shared/kernel/errors.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring, ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import { readConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { formatProblems } from '@dbbouncer/shared/settings/config-problems.ts';
import type { PlacedProblem } from '@dbbouncer/shared/settings/config-problems.ts';
import { SETTINGS } from '@dbbouncer/shared/settings/setting-list.ts';
import type { SettingName } from '@dbbouncer/shared/settings/setting-list.ts';
import type { ControlPlaneCore } from '../core.ts';
import { carryOut, EMPTY, FileRefused } from './carry-out.ts';
import { secretsOf } from './file-secrets.ts';
import { FILE_ACTOR } from './last-words.ts';
import type { Plan } from './plan.ts';
import type {
  ConfigFileFollower,
  ConfigFileStatus,
  ReloadOutcome,
  ReloadRequest,
} from './status.ts';

export interface ConfigFileSyncOptions {
  readonly core: Pick<ControlPlaneCore, 'commands' | 'events' | 'status'>;
  readonly keyring: Keyring;
  readonly readEnv: ReadEnv;
  readonly newId: () => string;
  readonly clock: Clock;
  readonly log: Logger;
}

const NOTHING_KEPT: Plan['kept'] = Object.freeze({
  tenants: [],
  servers: [],
  defaults: false,
});
/** After a reading that the event log could not take; it takes writes again by itself. */
const REPEAT_AFTER_MS = 2_000;
const ON_CHANGE: ReloadRequest = Object.freeze({ scope: 'news' });

export class ConfigFileSync implements ConfigFileFollower {
  readonly #options: ConfigFileSyncOptions;
  /** As it was at the start of this process. */
  readonly #atStart: ConfigFile;
  readonly #reloads: Record<ReloadOutcome, number> = {
    applied: 0,
    unchanged: 0,
    rejected: 0,
    missing: 0,
  };
  #status: Omit<ConfigFileStatus, 'reloads'>;
  #repeat: Timer | undefined;
  /** One reading at a time. */
  #reading: Promise<unknown> = Promise.resolve();

  private constructor(file: ConfigFile, options: ConfigFileSyncOptions) {
    this.#options = options;
    this.#atStart = file;
    this.#status = {
      path: file.path,
      state: 'applied',
      checkedAt: options.clock.timestamp(),
      appliedAt: undefined,
      appliedContent: undefined,
      problems: [],
      kept: NOTHING_KEPT,
      waitingSettings: [],
    };
  }

  /**
   * Does what `file`, which was read and checked at start, says. Where that contradicts what is
   * registered, the control plane starts with what was registered before.
   * @throws SETTINGS_INVALID when nothing was registered before; STORE_*, SECRET_UNAVAILABLE
   */
  static async start(file: ConfigFile, options: ConfigFileSyncOptions): Promise<ConfigFileSync> {
    const sync = new ConfigFileSync(file, options);
    try {
      await sync.#apply(file, ON_CHANGE);
    } catch (error) {
      if (!(error instanceof FileRefused)) throw error;
      if (options.core.status().position === 0) {
        const problems = formatProblems(file.path, error.problems);
        throw sharedErrors.fail('SETTINGS_INVALID', problems.join('\n'));
      }
      sync.#refuse(error.problems);
    }
    return sync;
  }

  status(): ConfigFileStatus {
    return { ...this.#status, reloads: { ...this.#reloads } };
  }

  async reload(request: ReloadRequest = ON_CHANGE): Promise<ConfigFileStatus> {
    const reading = this.#reading.then(() => this.#reload(request));
    this.#reading = reading;
    await reading;
    return this.status();
  }

  /** Reads no more; awaits the reading under way. */
  async close(): Promise<void> {
    await this.#reading;
    this.#repeat?.cancel();
  }

  async #reload(request: ReloadRequest): Promise<void> {
    this.#repeat?.cancel();
    const { path } = this.#atStart;
    this.#status = { ...this.#status, checkedAt: this.#options.clock.timestamp() };
    try {
      if (!existsSync(path)) {
        this.#miss();
        return;
      }
      if (!isRegularFile(path)) {
        this.#refuse([wholeFile('it is no file that can be read again: a pipe, or a folder')]);
        return;
      }
      const reading = readConfigFile(path, this.#options.readEnv);
      if (reading.outcome === 'refused') {
        this.#refuse(reading.problems);
        return;
      }
      if (reading.config.says === 'nothing') {
        this.#refuse([wholeFile(EMPTY)]);
        return;
      }
      await this.#apply(reading.config, request);
      this.#tellWhatWaits(reading.config);
    } catch (error) {
      if (error instanceof FileRefused) this.#refuse(error.problems);
      else this.#refuse([wholeFile((error as Error).message)], error);
      if (isOfTheLog(error)) this.#repeatLater(request);
    }
  }

  #repeatLater(request: ReloadRequest): void {
    const { clock } = this.#options;
    this.#repeat = clock.after(REPEAT_AFTER_MS, () => void this.reload(request));
  }

  async #apply(file: ConfigFile, { scope, asked }: ReloadRequest): Promise<void> {
    const { core, keyring, newId, clock } = this.#options;
    const content = this.#markOf(file);
    const occasion = asked === undefined ? '' : `, asked for by ${asked.actor}`;
    const meta = {
      actor: FILE_ACTOR,
      reason: `${basename(file.path)} was loaded, content ${content}${occasion}`,
      requestId: asked?.requestId ?? newId(),
    };
    const plan = await core.commands.perform((work) =>
      carryOut(work, file, { log: core.events, secrets: secretsOf(keyring), scope, meta }),
    );
    this.#reloads[plan.commands.length === 0 ? 'unchanged' : 'applied'] += 1;
    this.#status = {
      ...this.#status,
      state: 'applied',
      appliedAt: clock.timestamp(),
      appliedContent: content,
      problems: [],
      kept: plan.kept,
    };
    this.#tellWhatWasDone(file, plan);
  }

  #tellWhatWasDone({ path: file, says }: ConfigFile, { commands, kept }: Plan): void {
    const { log } = this.#options;
    const count = (kind: string): number => commands.filter((c) => c.kind === kind).length;
    if (says === 'nothing') {
      log.warn({ file }, 'config file is empty; what was loaded before stays in force');
    } else if (commands.length === 0) {
      log.info({ file }, 'config file has nothing new');
    } else {
      log.info(
        {
          file,
          registered: count('register_tenant'),
          adopted: count('adopt_tenant'),
          changed: count('replace_tenant'),
          removed: count('remove_tenant'),
          serversSet: count('set_server'),
          serversRemoved: count('remove_server'),
          defaultsChanged: count('set_defaults') > 0,
        },
        'config file applied',
      );
    }
    if (kept.tenants.length + kept.servers.length === 0 && !kept.defaults) return;
    log.warn(
      {
        file,
        tenants: kept.tenants.slice(0, TOLD_MAX),
        tenantCount: kept.tenants.length,
        servers: kept.servers.slice(0, TOLD_MAX),
        defaults: kept.defaults,
      },
      'what was changed elsewhere after the config file said it stays as it is',
    );
  }

  #refuse(problems: readonly PlacedProblem[], error?: unknown): void {
    const { path } = this.#atStart;
    this.#reloads.rejected += 1;
    this.#status = { ...this.#status, state: 'rejected', problems };
    const told = formatProblems(path, problems).slice(0, TOLD_MAX);
    this.#options.log.error(
      { file: path, problems: told, ...(error !== undefined && { error }) },
      'config file refused; what was loaded before stays in force',
    );
  }

  #miss(): void {
    const { path } = this.#atStart;
    this.#reloads.missing += 1;
    this.#status = { ...this.#status, state: 'missing', problems: [wholeFile('it is gone')] };
    const words = 'config file is gone; what was loaded before stays in force';
    this.#options.log.warn({ file: path }, words);
  }

  /** Ports and the like are read once, at start. */
  #tellWhatWaits(file: ConfigFile): void {
    const names = (Object.keys(SETTINGS) as SettingName[]).filter(
      (name) => !isDeepStrictEqual(file.settings.get(name), this.#atStart.settings.get(name)),
    );
    const settings = names.map((name) => SETTINGS[name].yaml ?? name);
    const isNew = !isDeepStrictEqual(settings, this.#status.waitingSettings);
    this.#status = { ...this.#status, waitingSettings: settings };
    if (isNew && settings.length > 0) {
      this.#options.log.warn({ settings }, 'changed settings take effect at the next start');
    }
  }

  /** A keyed hash: of a plain one, a password in the file could be found by trying. */
  #markOf(file: ConfigFile): string {
    const key = this.#options.keyring.deriveFleetSecret('config-file');
    return createHmac('sha256', key).update(file.digest).digest('hex').slice(0, MARK_CHARS);
  }
}

const MARK_CHARS = 12;
/** Of a list in one line of the log. */
const TOLD_MAX = 20;

/** The file is not at fault. */
function isOfTheLog(error: unknown): boolean {
  return error instanceof AppError && error.code.startsWith('STORE_');
}

function wholeFile(message: string): PlacedProblem {
  return { line: 1, column: 1, path: '', message };
}
