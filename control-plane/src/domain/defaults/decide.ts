/**
 * The rules and the fold of the fleet's default pool settings. Pure.
 */
import { isDeepStrictEqual } from 'node:util';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { effectivePool, findPoolInconsistency } from '@dbbouncer/shared/contract/routing-config.ts';
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { controlErrors } from '../../errors.ts';
import type { SetDefaults } from './commands.ts';
import type { DefaultsEvent } from './events.ts';

export const INITIAL_DEFAULTS: PoolSettings = DEFAULT_POOL_SETTINGS;

export function evolveDefaults(_defaults: PoolSettings, event: DefaultsEvent): PoolSettings {
  return event.data.defaults;
}

/**
 * What `command` makes happen; nothing when it changes nothing.
 * @param contradicted a tenant whose own settings contradict the new defaults, if there is one.
 * @throws VALIDATION_FAILED
 */
export function decideDefaults(
  command: SetDefaults,
  defaults: PoolSettings,
  contradicted: TenantConfig | undefined,
): readonly DefaultsEvent[] {
  if (isDeepStrictEqual(command.defaults, defaults)) return [];
  requireConsistent(command.defaults, '');
  if (contradicted !== undefined) {
    requireConsistent(effectivePool(command, contradicted), ` for tenant "${contradicted.id}"`);
  }
  const { rolledBackTo } = command;
  const from = rolledBackTo === undefined ? {} : { rolledBackTo };
  return [{ type: 'DefaultsChanged', data: { defaults: command.defaults, ...from } }];
}

function requireConsistent(pool: PoolSettings, where: string): void {
  const problem = findPoolInconsistency(pool);
  if (problem !== undefined) {
    throw controlErrors.fail('VALIDATION_FAILED', `${problem}${where}.`);
  }
}
