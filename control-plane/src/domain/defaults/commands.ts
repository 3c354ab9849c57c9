/** What an operator can ask of the fleet's default pool settings. */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';

export interface SetDefaults {
  readonly kind: 'set_defaults';
  readonly defaults: PoolSettings;
  /** Where in the log they were so before, when that is why. */
  readonly rolledBackTo?: Position | undefined;
}
