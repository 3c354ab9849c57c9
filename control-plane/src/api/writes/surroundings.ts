/** What a rehearsed write is judged by. */
import type { FleetReader } from '../../fleet/fleet-state.ts';
import type { TenantReader } from '../../store/read-models.ts';
import type { WrongVersion } from '../api-errors.ts';

export interface Surroundings {
  /** As the write would leave them. */
  readonly tenants: TenantReader;
  readonly fleet: FleetReader;
  /** The pattern that tenants must match to be told of to who asks; null tells of all. */
  readonly reach: string | null;
  /** What the write would be refused with, since it names no version. */
  readonly missing: readonly WrongVersion[];
}
