/**
 * The part of the settings that the control plane reads; whoever starts one needs to give no more.
 */
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';

export type ControlPlaneSettings = Pick<
  Settings,
  | 'dataDir'
  | 'host'
  | 'apiPort'
  | 'apiKey'
  | 'masterKey'
  | 'configSigningKeyFile'
  | 'tlsCertFile'
  | 'tlsKeyFile'
  | 'tlsMinVersion'
  | 'durability'
  | 'proxyLostAfterMs'
  | 'leaderLeaseMs'
  | 'apiUrl'
  | 'expectedProxies'
  | 'environment'
  | 'apiRequestsPerMinute'
  | 'apiRequestsPerMinuteWithoutKey'
  | 'apiBodyBytesMax'
>;
