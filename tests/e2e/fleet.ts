/**
 * The planes as separate processes, as in production: nats-server, one control plane, proxies.
 * Owns: starting and stopping them together, and waiting until a change has reached every proxy.
 */
import { DbbouncerProcess } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { ApiClient } from './api-client.ts';
import type { FleetAnswer } from './api-client.ts';

const API_KEY = 'a-key-of-the-tests-0123456789';
const MASTER_KEY = 'a master key for tests only';

export interface Fleet {
  readonly nats: NatsServer;
  readonly controlPlane: DbbouncerProcess;
  readonly proxies: readonly [DbbouncerProcess, DbbouncerProcess];
  readonly api: ApiClient;
  /** Resolves with `GET /fleet` when both proxies are live and have applied the whole log. */
  settled(): Promise<FleetAnswer>;
  stop(): Promise<void>;
}

export interface FleetOptions {
  readonly apiKey?: string;
  readonly masterKey?: string;
  /** Called with the bus before anybody speaks on it. */
  readonly onNats?: (nats: NatsServer) => Promise<void>;
}

/** Two proxies; all four processes are ready. */
export async function startFleet(options: FleetOptions = {}): Promise<Fleet> {
  const { apiKey = API_KEY, masterKey = MASTER_KEY, onNats } = options;
  const nats = await startNatsServer();
  await onNats?.(nats);
  const args = ['--nats', nats.url, '--log-level', 'debug'];
  const start = (command: 'control-plane' | 'proxy', env: Readonly<Record<string, string>>) =>
    DbbouncerProcess.start({ command, args, env: { DBBOUNCER_MASTER_KEY: masterKey, ...env } });
  const [controlPlane, ...proxies] = await Promise.all([
    start('control-plane', { DBBOUNCER_API_KEY: apiKey }),
    start('proxy', {}),
    start('proxy', {}),
  ]);
  const api = new ApiClient(controlPlane.apiUrl, apiKey);
  return {
    nats,
    controlPlane,
    proxies,
    api,
    settled: () => settled(api),
    stop: async () => {
      await Promise.all([...proxies, controlPlane].map((one) => one.stop()));
      await nats.stop();
    },
  };
}

async function settled(api: ApiClient): Promise<FleetAnswer> {
  let last: FleetAnswer | undefined;
  return await eventually(
    'both proxies have applied the whole log',
    async () => {
      last = await api.fleet();
      const live = last.proxies.filter(({ status }) => status === 'live');
      return live.length === 2 && live.every(({ behind }) => behind === 0) && last;
    },
    { onFailure: () => JSON.stringify(last) },
  );
}
