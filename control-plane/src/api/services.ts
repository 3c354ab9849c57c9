/** What the routes need from the rest of the process, as one bundle made by app.ts. */
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import type { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ControlPlaneCore } from '../core.ts';
import type { ControlMetrics } from '../telemetry/metrics.ts';
import type { ApiKeyGuard } from './api-key.ts';

export interface ApiServices {
  readonly core: Pick<ControlPlaneCore, 'commands' | 'tenants' | 'fleet' | 'status'>;
  readonly keyring: Keyring;
  readonly guard: ApiKeyGuard;
  readonly metrics: ControlMetrics;
  /** Why requests should not be sent here now, or nothing when they should. */
  readonly notReady: () => string | undefined;
  /** A new unique id per call. */
  readonly newId: () => string;
  readonly log: Logger;
  /** Of the product, for the API description. */
  readonly version: string;
}

/** Certificate and key in PEM; the API speaks TLS when they are given. */
export interface TlsMaterial {
  readonly cert: Buffer;
  readonly key: Buffer;
}
