/** What the routes need from the rest of the process, as one bundle made by app.ts. */
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { KeyGuard } from '../access/key-guard.ts';
import type { KeyUses } from '../access/key-uses.ts';
import type { ConfigFileFollower } from '../config-file/status.ts';
import type { ControlPlaneCore } from '../core.ts';
import type { ControlPlaneSettings } from '../settings.ts';
import type { ControlMetrics } from '../telemetry/metrics.ts';
import type { Writes } from './writes/writes.ts';

export interface ApiServices {
  readonly core: Pick<
    ControlPlaneCore,
    | 'commands'
    | 'tenants'
    | 'apiKeys'
    | 'history'
    | 'past'
    | 'fleet'
    | 'canaries'
    | 'clients'
    | 'budget'
    | 'rebuildReadModels'
    | 'rebuiltUpTo'
    | 'status'
  >;
  /** Nothing where there is no config file. */
  readonly configFile: ConfigFileFollower | undefined;
  readonly keyring: Keyring;
  readonly guard: KeyGuard;
  readonly keyUses: KeyUses;
  /** The key of the settings or of its file, as far as it may be told. */
  readonly builtInKey: {
    readonly id: string;
    readonly prefix: string;
    readonly origin: 'settings' | 'file';
  };
  readonly limits: ApiLimits;
  readonly environment: ControlPlaneSettings['environment'];
  readonly clock: Clock;
  readonly metrics: ControlMetrics;
  readonly writes: Writes;
  /** Why requests should not be sent here now, or nothing when they should. */
  readonly notReady: () => string | undefined;
  /** A new unique id per call. */
  readonly newId: () => string;
  /** A new id for an API key. */
  readonly newKeyId: () => string;
  readonly log: Logger;
  /** Of the product, for the API description. */
  readonly version: string;
}

/** Of requests. */
export type ApiLimits = Pick<
  ControlPlaneSettings,
  'apiRequestsPerMinute' | 'apiRequestsPerMinuteWithoutKey' | 'apiBodyBytesMax'
>;
