/**
 * The config file, from its first reading to the end of watching it: all the time where a control
 * plane writes alone, only while it leads where several do.
 * Leaves: what a reading comes to, to config-file/.
 */
import { randomUUID } from 'node:crypto';
import { FileWatcher } from '@dbbouncer/shared/files/file-watcher.ts';
import { isRegularFile } from '@dbbouncer/shared/files/regular-file.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring, ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import type { ConfigFileFollower, ConfigFileStatus, ReloadRequest } from './config-file/status.ts';
import { ConfigFileSync } from './config-file/sync.ts';
import type { ControlPlaneCore } from './core.ts';

export interface FileSurroundings {
  readonly core: ControlPlaneCore;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly log: Logger;
  readonly readEnv: ReadEnv;
}

/** Does what the file says, then what each change of it says. @throws as `ConfigFileSync.start` */
export async function followFile(
  file: ConfigFile,
  surroundings: FileSurroundings,
): Promise<FollowedFile> {
  const { clock, log } = surroundings;
  const sync = await ConfigFileSync.start(file, { ...surroundings, newId: randomUUID });
  if (!isRegularFile(file.path)) {
    log.warn({ file: file.path }, 'config file is a pipe: read once, and not watched');
    return { follower: sync, close: () => sync.close() };
  }
  const watcher = new FileWatcher({
    path: file.path,
    knownDigest: file.digest,
    clock,
    log,
    isDoubtful: (content) => content?.endsWith('\n') !== true,
    onChange: async () => {
      await sync.reload();
    },
  });
  const close = async () => {
    await watcher.close();
    await sync.close();
  };
  return { follower: sync, close };
}

/** A config file that is followed, and what ends that. */
export interface FollowedFile {
  readonly follower: ConfigFileFollower;
  readonly close: () => Promise<void>;
}

/** The config file of a control plane that follows it only while it leads. */
export class FileOfLeader implements ConfigFileFollower {
  readonly #path: string;
  readonly #follow: () => Promise<FollowedFile>;
  readonly #clock: Clock;
  readonly #log: Logger;
  #followed: FollowedFile | undefined;

  constructor(
    path: string,
    follow: () => Promise<FollowedFile>,
    { clock, log }: { readonly clock: Clock; readonly log: Logger },
  ) {
    this.#path = path;
    this.#follow = follow;
    this.#clock = clock;
    this.#log = log;
  }

  /** Does what the file says, and follows it. Never throws: what is loaded stays in force. */
  async begin(): Promise<void> {
    try {
      this.#followed = await this.#follow();
    } catch (error) {
      this.#log.error({ error, file: this.#path }, 'the config file could not be followed');
    }
  }

  async end(): Promise<void> {
    await this.#followed?.close();
    this.#followed = undefined;
  }

  status(): ConfigFileStatus {
    return this.#followed?.follower.status() ?? this.#waiting();
  }

  async reload(request: ReloadRequest): Promise<ConfigFileStatus> {
    return (await this.#followed?.follower.reload(request)) ?? this.#waiting();
  }

  #waiting(): ConfigFileStatus {
    return {
      path: this.#path,
      state: 'waiting',
      checkedAt: this.#clock.timestamp(),
      appliedAt: undefined,
      appliedContent: undefined,
      problems: [],
      kept: { tenants: [], servers: [], defaults: false },
      waitingSettings: [],
      reloads: { applied: 0, unchanged: 0, rejected: 0, missing: 0 },
    };
  }
}
