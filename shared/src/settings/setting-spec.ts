/**
 * What a setting is: its names, its default, what reads its value.
 */
import { port } from './setting-kinds.ts';
import type { ReadSetting } from './setting-kinds.ts';

export interface SettingSpec<Value> {
  /**
   * On the command line; its name there is `--` and the key in kebab-case. Secrets have none:
   * others can read flags.
   */
  readonly flag?: `--${string}`;
  /** What to call the flag's value in `--help`. */
  readonly argument?: string;
  readonly env: `DBBOUNCER_${string}`;
  /** Absent: not in the file. */
  readonly yaml?: string;
  /** The default as a person would write it; absent when there is none. */
  readonly defaultText?: string;
  readonly default: Value;
  readonly description: string;
  readonly read: ReadSetting<Exclude<Value, undefined>>;
}

export function setting<Value>(spec: SettingSpec<Value>): Readonly<SettingSpec<Value>> {
  return Object.freeze(spec);
}

export function listenPort(
  flag: `--${string}`,
  env: `DBBOUNCER_${string}`,
  yaml: string,
  number: number,
  what: string,
): Readonly<SettingSpec<number>> {
  return setting({
    flag,
    argument: 'N',
    env,
    yaml: `listen.${yaml}`,
    default: number,
    description: `Port for ${what}; 0: any free one`,
    read: port,
  });
}
