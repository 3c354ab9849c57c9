/**
 * Keeps the tenants and defaults as the config file says: once at start, then after each change of
 * the file. A file that is wrong, missing or empty is refused as a whole and leaves everything as
 * it was.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring, ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import { toSecret } from '@dbbouncer/shared/secrets/password.ts';
import { readConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { formatProblems } from '@dbbouncer/shared/settings/config-problems.ts';
import { SETTINGS } from '@dbbouncer/shared/settings/setting-list.ts';
import type { SettingName } from '@dbbouncer/shared/settings/setting-list.ts';
import type { ControlPlaneCore } from '../core.ts';
import type { TenantReader, TenantView } from '../store/read-models.ts';
import { planChanges } from './plan.ts';

export interface ConfigFileSyncOptions {
  readonly core: Pick<ControlPlaneCore, 'commands' | 'tenants'>;
  readonly keyring: Keyring;
  readonly readEnv: ReadEnv;
  readonly newId: () => string;
  readonly log: Logger;
}

/** How events name the file as their cause. */
export const FILE_ACTOR = 'file';
const PAGE_TENANTS = 1_000;

export class ConfigFileSync {
  readonly #options: ConfigFileSyncOptions;
  #applied: ConfigFile;

  private constructor(options: ConfigFileSyncOptions, applied: ConfigFile) {
    this.#options = options;
    this.#applied = applied;
  }

  /**
   * Applies `file`, which was read and checked at start.
   * @throws whatever refuses it: a control plane must not start on half a config.
   */
  static async start(file: ConfigFile, options: ConfigFileSyncOptions): Promise<ConfigFileSync> {
    const sync = new ConfigFileSync(options, file);
    await sync.#apply(file);
    return sync;
  }

  /** Reads the file again and applies what changed; never throws. */
  async reload(): Promise<void> {
    const { path } = this.#applied;
    try {
      if (isEmpty(path)) {
        this.#refuse(['it is empty; to remove its tenants, write "tenants: {}"']);
        return;
      }
      const reading = readConfigFile(path, this.#options.readEnv);
      if (reading.outcome === 'refused') {
        this.#refuse(formatProblems(path, reading.problems));
        return;
      }
      await this.#apply(reading.config);
      this.#tellWhatWaits(reading.config);
      this.#applied = reading.config;
    } catch (error) {
      this.#refuse([(error as Error).message], error);
    }
  }

  async #apply(file: ConfigFile): Promise<void> {
    const { core, keyring, newId, log } = this.#options;
    const present = {
      defaults: core.tenants.getDefaults().defaults,
      tenants: allTenants(core.tenants),
    };
    const commands = planChanges(file, present, (id, written, current) =>
      toSecret(keyring, written, id, current),
    );
    const name = basename(file.path);
    if (commands.length === 0) {
      log.info({ file: file.path }, 'config file agrees with the registered tenants');
      return;
    }
    await core.commands.handleAll(commands, {
      actor: FILE_ACTOR,
      reason: `${name} was loaded`,
      requestId: newId(),
    });
    const count = (kind: string): number => commands.filter((c) => c.kind === kind).length;
    log.info(
      {
        file: file.path,
        registered: count('register_tenant'),
        changed: count('replace_tenant'),
        removed: count('remove_tenant'),
        defaultsChanged: count('set_defaults') > 0,
      },
      'config file applied',
    );
  }

  #refuse(problems: readonly string[], error?: unknown): void {
    this.#options.log.error(
      { file: this.#applied.path, problems, ...(error !== undefined && { error }) },
      'config file refused; what was loaded before stays in force',
    );
  }

  /** Ports and the like are read once, at start. */
  #tellWhatWaits(file: ConfigFile): void {
    const names = (Object.keys(SETTINGS) as SettingName[]).filter(
      (name) => !isDeepStrictEqual(file.settings.get(name), this.#applied.settings.get(name)),
    );
    if (names.length === 0) return;
    const settings = names.map((name) => SETTINGS[name].yaml ?? name);
    this.#options.log.warn({ settings }, 'changed settings take effect at the next start');
  }
}

function isEmpty(path: string): boolean {
  try {
    return readFileSync(path, 'utf8').trim() === '';
  } catch {
    return false;
  }
}

function* allTenants(reader: TenantReader): Iterable<TenantView> {
  let after: string | undefined;
  do {
    const page = reader.listTenants({ after, limit: PAGE_TENANTS });
    yield* page.tenants;
    after = page.next;
  } while (after !== undefined);
}
