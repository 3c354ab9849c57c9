/**
 * The control plane as one running thing: core, secrets, config file and API, started and stopped
 * in order. The only place that names all of them. The bus is the caller's, who closes it after
 * `stop`.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { Server } from 'node:tls';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import { openConfigSigner } from '@dbbouncer/shared/secrets/config-keys.ts';
import type { BusReach } from '@dbbouncer/shared/secrets/config-keys.ts';
import { openKeySource } from '@dbbouncer/shared/secrets/key-source.ts';
import { Keyring } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ReadEnv } from '@dbbouncer/shared/secrets/keyring.ts';
import type { ConfigFile } from '@dbbouncer/shared/settings/config-file.ts';
import { builtInKeyId, loadApiKey } from './access/built-in-key.ts';
import type { LoadedApiKey } from './access/built-in-key.ts';
import { KeyGuard } from './access/key-guard.ts';
import { CHOSEN_KEY_CHARS_MIN, prefixOf } from './access/key-text.ts';
import { KeyUses } from './access/key-uses.ts';
import { ApiTls } from './api/api-tls.ts';
import { RouteTable } from './api/route-table.ts';
import type { Route } from './api/route-table.ts';
import { createApi } from './api/server.ts';
import type { Api } from './api/zod-api.ts';
import { Writes } from './api/writes/writes.ts';
import type { ConfigFileFollower } from './config-file/status.ts';
import { openCore } from './core.ts';
import type { ControlPlaneCore, CoreStatus } from './core.ts';
import { FileOfLeader, followFile } from './file-following.ts';
import { Readiness } from './readiness.ts';
import type { ControlPlaneSettings } from './settings.ts';
import { advertisedUrl, requireFitting, standingOf } from './standby.ts';
import { ControlMetrics } from './telemetry/metrics.ts';

export interface ControlPlaneOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  /** The config file as it was read at start; watched from then on. */
  readonly file?: ConfigFile | undefined;
  /** The environment, for `${NAME}` in the config file when it is read again. */
  readonly readEnv: ReadEnv;
  readonly version: string;
  /** `off` where no standby can follow, as on an in-process bus. */
  readonly eventStream?: 'on' | 'off';
  /** Whether others could write to the bus. Default: `shared`, and what is written is signed. */
  readonly busReach?: BusReach;
}

export interface ControlPlane {
  /** Where the API answers, as seen from this machine; without a slash at its end. */
  readonly apiUrl: string;
  readonly apiPort: number;
  /** The file that holds the API key, or nothing when the settings gave one. */
  readonly apiKeyFile: string | undefined;
  /** What the API offers, and what each route needs. */
  readonly routes: readonly Route[];
  status(): CoreStatus;
  /** Why requests should not be sent here now, or nothing. */
  notReady(): string | undefined;
  /** Ends requests under way, the file watch and publishing, in this order; safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Resolves when the API answers and the config file is applied; of one of several control planes,
 * when the API answers.
 * @throws SETTINGS_INVALID for a port in use, a key that cannot be used or a certificate that
 * cannot be read; STORE_LOCKED when another control plane uses the data folder; whatever refuses
 * the config file.
 */
export async function startControlPlane(
  settings: ControlPlaneSettings,
  options: ControlPlaneOptions,
): Promise<ControlPlane> {
  const log = options.log.child({ plane: 'control' });
  const { keys, keyring } = openKeys(settings, options.readEnv);
  const apiKey = loadApiKey(settings.apiKey, settings.dataDir);
  const tls = openTls(settings, { ...options, log });
  const signer = openConfigSigner(settings, keyring, options.busReach ?? 'shared');
  const standing = standingOf(settings, keyring);
  if (options.eventStream !== 'off') await requireFitting(standing, options.bus, options.clock);
  const core = openCore({ ...options, ...settings, signer, log, standing });
  const stops: (() => Promise<void>)[] = [() => core.close()];
  const stopAll = once(() => runReversed(stops));
  const readiness = new Readiness(core, options.bus);
  const routes = new RouteTable();
  try {
    const file = await openConfigFile(core, keyring, { ...options, log }, stops);
    const configFile = file?.follower;
    const api = await createApi(
      {
        core,
        configFile,
        keyring,
        ...openAccess(apiKey, core, keyring, { ...options, log }, stops),
        limits: settings,
        environment: settings.environment,
        clock: options.clock,
        metrics: new ControlMetrics(core, configFile),
        writes: new Writes({ core, keyring, clock: options.clock, log }),
        notReady: () => readiness.problem(),
        newId: randomUUID,
        newKeyId: () => randomBytes(6).toString('hex'),
        log,
        version: options.version,
      },
      tls?.material,
      routes,
    );
    if (tls !== undefined && api.server instanceof Server) {
      tls.follow(api.server);
      stops.push(() => tls.close());
    }
    stops.push(() => closeApi(api, options.clock));
    const apiPort = await listen(api, settings);
    readiness.started();
    const apiUrl = `${tls ? 'https' : 'http'}://${reachable(settings.host)}:${apiPort}`;
    core.join({
      apiUrl: advertisedUrl(settings, apiUrl),
      onLeading: async () => await file?.begin(),
      onFollowing: async () => await file?.end(),
    });
    log.info({ apiUrl, apiKeyFile: apiKey.file, sealedWith: keys.name }, 'control plane is up');
    return Object.freeze({
      apiUrl,
      apiPort,
      apiKeyFile: apiKey.file,
      routes: routes.routes,
      status: () => core.status(),
      notReady: () => readiness.problem(),
      stop: () => {
        readiness.stopping();
        return stopAll();
      },
    });
  } catch (error) {
    await stopAll();
    throw error;
  }
}

function openKeys({ masterKey, dataDir }: ControlPlaneSettings, readEnv: ReadEnv) {
  const keys = openKeySource({ masterKey, dataDir, whenAbsent: 'create' });
  return { keys, keyring: new Keyring(keys, readEnv) };
}

/** Uses of keys are written at the end; the core is still open then. */
function openAccess(
  { key, file }: LoadedApiKey,
  core: ControlPlaneCore,
  keyring: Keyring,
  { clock, log }: Pick<ControlPlaneOptions, 'clock' | 'log'>,
  stops: (() => Promise<void>)[],
) {
  const keys = core.apiKeys;
  const id = builtInKeyId(key, keyring.deriveFleetSecret('actor-names'));
  const keyUses = new KeyUses({ store: keys, clock, log });
  stops.push(async () => keyUses.write());
  if (key.length < CHOSEN_KEY_CHARS_MIN) {
    log.warn(
      { characters: key.length, neededCharacters: CHOSEN_KEY_CHARS_MIN },
      'the API key of the settings is short enough to be guessed; choose a longer one',
    );
  }
  return {
    guard: new KeyGuard({ builtIn: { key, id }, keys, uses: keyUses, clock }),
    keyUses,
    builtInKey: {
      id,
      prefix: prefixOf(key),
      origin: file === undefined ? ('settings' as const) : ('file' as const),
    },
  };
}

interface OpenedFile {
  readonly follower: ConfigFileFollower;
  readonly begin: () => Promise<void>;
  readonly end: () => Promise<void>;
}

/** Where this control plane writes alone, it is followed from now on. */
async function openConfigFile(
  core: ControlPlaneCore,
  keyring: Keyring,
  { file, clock, log, readEnv }: ControlPlaneOptions,
  stops: (() => Promise<void>)[],
): Promise<OpenedFile | undefined> {
  if (file === undefined) return undefined;
  const follow = () => followFile(file, { core, keyring, clock, log, readEnv });
  if (core.status().replica !== undefined) {
    const follower = new FileOfLeader(file.path, follow, { clock, log });
    return { follower, begin: () => follower.begin(), end: () => follower.end() };
  }
  const { follower, close } = await follow();
  stops.push(close);
  return { follower, begin: async () => {}, end: async () => {} };
}

async function listen(api: Api, { host, apiPort }: ControlPlaneSettings): Promise<number> {
  try {
    await api.listen({ host, port: apiPort });
  } catch (error) {
    throw explainListenError(error, host, apiPort);
  }
  return (api.server.address() as AddressInfo).port;
}

function explainListenError(error: unknown, host: string, port: number): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'EADDRINUSE' && code !== 'EACCES' && code !== 'EADDRNOTAVAIL') return error;
  const problem = {
    EADDRINUSE: `Port ${port} is in use`,
    EACCES: `Port ${port} is reserved for privileged users`,
    EADDRNOTAVAIL: `${host} is no address of this machine`,
  }[code];
  const remedy =
    code === 'EADDRNOTAVAIL'
      ? 'Choose another with --host, DBBOUNCER_HOST or listen.host.'
      : 'Choose another with --api-port, DBBOUNCER_API_PORT or listen.api_port.';
  return sharedErrors.fail('SETTINGS_INVALID', `${problem}; the API cannot listen.`, {
    hint: remedy,
    cause: error,
  });
}

const CLOSE_GRACE_MS = 1_000;

/** Requests under way may end; what hangs is cut off, so that stopping is quick. */
async function closeApi(api: Api, clock: Clock): Promise<void> {
  const cut = clock.after(CLOSE_GRACE_MS, () => api.server.closeAllConnections());
  await api.close();
  cut.cancel();
}

function openTls(
  { tlsCertFile: certFile, tlsKeyFile: keyFile, tlsMinVersion: minVersion }: ControlPlaneSettings,
  { clock, log }: Pick<ControlPlaneOptions, 'clock' | 'log'>,
): ApiTls | undefined {
  if (certFile === undefined || keyFile === undefined) return undefined;
  return new ApiTls({ certFile, keyFile, minVersion, clock, log });
}

/** The address to show for one that means "all of them". */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

async function runReversed(stops: readonly (() => Promise<void>)[]): Promise<void> {
  for (const stop of stops.toReversed()) await stop();
}

function once(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= work());
}
