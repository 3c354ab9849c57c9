/** How the config file stands to what is registered: what operators, scripts and alerts ask. */
import type { PlacedProblem } from '@dbbouncer/shared/settings/config-problems.ts';

/**
 * `applied`: what it said last has been done. `rejected`: it is not, and nothing of it was done.
 * `missing`: it is gone, and what was loaded stays. `waiting`: another control plane leads, and its
 * file counts.
 */
export type ConfigFileState = 'applied' | 'rejected' | 'missing' | 'waiting';

/** What became of one reading; `unchanged`: there was nothing to do. */
export type ReloadOutcome = 'applied' | 'unchanged' | 'rejected' | 'missing';

export const RELOAD_OUTCOMES = ['applied', 'unchanged', 'rejected', 'missing'] as const;

export interface ConfigFileStatus {
  readonly path: string;
  readonly state: ConfigFileState;
  /** When it was last read. */
  readonly checkedAt: string;
  /** When what it said was last done, or was found done; nothing before the first time. */
  readonly appliedAt: string | undefined;
  /** Tells that content from others, without saying anything of it. */
  readonly appliedContent: string | undefined;
  /** Why it is rejected or missing. */
  readonly problems: readonly PlacedProblem[];
  /** Not as the file says, because they were changed elsewhere after it said so. */
  readonly kept: {
    readonly tenants: readonly string[];
    readonly servers: readonly string[];
    readonly defaults: boolean;
  };
  /** Settings that are others than at the start of this process, which took effect then. */
  readonly waitingSettings: readonly string[];
  readonly reloads: Readonly<Record<ReloadOutcome, number>>;
}

/** What can be asked of whoever follows the file. */
export interface ConfigFileFollower {
  status(): ConfigFileStatus;
  /** Reads the file now and does what is new in it, or all that it says. Never throws. */
  reload(request: ReloadRequest): Promise<ConfigFileStatus>;
}

export interface ReloadRequest {
  /** `whole`: what was changed elsewhere is undone as well. */
  readonly scope: 'news' | 'whole';
  /** Who asked for it; nothing when the file changed. */
  readonly asked?: { readonly actor: string; readonly requestId: string } | undefined;
}
