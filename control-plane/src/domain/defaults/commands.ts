/** What an operator can ask of the fleet's default pool settings. */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';

export interface SetDefaults {
  readonly kind: 'set_defaults';
  readonly defaults: PoolSettings;
}
