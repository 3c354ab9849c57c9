/**
 * The NATS bus that the settings describe. Leaves: which inbox a command has, and what becomes of
 * the bus, to who asks for it.
 */
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import type { NatsBusOptions } from '@dbbouncer/shared/bus/nats-bus.ts';
import type { NatsCredentialsFile } from '@dbbouncer/shared/bus/nats-identity.ts';
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';

type Rest = Pick<NatsBusOptions, 'name' | 'inboxPrefix' | 'clock' | 'log'>;

/** @throws SETTINGS_INVALID when an URL, certificate, key or credentials cannot be used */
export function natsBusOf(servers: string, settings: Settings, rest: Rest): Bus {
  const { natsTlsCaFile: caFile, natsTlsCertFile: certFile, natsTlsKeyFile: keyFile } = settings;
  const isTlsSet = [caFile, certFile, keyFile].some((file) => file !== undefined);
  return connectNatsBus({
    servers,
    tls: isTlsSet ? { caFile, certFile, keyFile } : undefined,
    credentialsFile: credentialsFile(settings),
    replicas: settings.natsReplicas,
    ...rest,
  });
}

function credentialsFile({
  natsNkeyFile,
  natsCredsFile,
}: Settings): NatsCredentialsFile | undefined {
  if (natsNkeyFile !== undefined) return { kind: 'nkey', path: natsNkeyFile };
  return natsCredsFile === undefined ? undefined : { kind: 'creds', path: natsCredsFile };
}
