/**
 * Settings from flags, environment, config file and defaults, in this order of strength, checked
 * together. The environment is passed in by the commands: nothing else in the product reads
 * process.env.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { sharedErrors } from '../errors.ts';
import { readConfigFile } from './config-file.ts';
import type { ConfigFile } from './config-file.ts';
import { formatProblemsForPeople } from './config-problems.ts';
import { port } from './setting-kinds.ts';
import { DEFAULT_CONFIG_FILE, SETTINGS } from './setting-list.ts';
import type { SettingName, Settings } from './setting-list.ts';
import type { SettingSpec } from './setting-spec.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line gave, by setting name; `config` is the config file. */
export type Flags = Readonly<Partial<Record<SettingName | 'config', string | undefined>>>;

export interface SettingsInput {
  readonly flags?: Flags;
  readonly env: Environment;
  /** What relative paths and the default config file are relative to. */
  readonly cwd: string;
}

export interface ResolvedSettings {
  readonly settings: Settings;
  /** What the config file held, for its tenants and defaults; nothing without a file. */
  readonly file: ConfigFile | undefined;
}

const PATHS: readonly SettingName[] = [
  'dataDir',
  'tlsCertFile',
  'tlsKeyFile',
  'tlsClientCaFile',
  'unixSocketDir',
  'serverTlsCaFile',
  'natsTlsCaFile',
  'natsTlsCertFile',
  'natsTlsKeyFile',
  'natsNkeyFile',
  'natsCredsFile',
  'configSigningKeyFile',
  'configPublicKeysFile',
];
/**
 * Kubernetes sets DBBOUNCER_API_PORT=tcp://… in every pod beside a service called dbbouncer-api.
 */
const SERVICE_LINK = /^(tcp|udp|sctp):\/\//;

/** @throws SETTINGS_INVALID with a line for each problem of every source. */
export function resolveSettings(input: SettingsInput): ResolvedSettings {
  const { flags = {}, env, cwd } = input;
  const problems: string[] = [];
  const file = loadFile(input, problems);
  const values: Partial<Record<SettingName, unknown>> = {};
  for (const [name, spec] of Object.entries(SETTINGS) as [SettingName, SettingSpec<unknown>][]) {
    const given = firstGiven(flags[name], spec, env);
    if (given === undefined) {
      values[name] = file?.settings.get(name) ?? spec.default;
      continue;
    }
    const reading = spec.read(given.text);
    if (reading.outcome === 'value') values[name] = reading.value;
    else problems.push(`${given.source} ${reading.message}`);
  }
  problems.push(...contradictions(values as Settings));
  if (problems.length > 0) throw sharedErrors.fail('SETTINGS_INVALID', problems.join('\n'));
  for (const name of PATHS) {
    const path = values[name];
    if (typeof path === 'string') values[name] = resolve(cwd, path);
  }
  const settings = Object.freeze({ ...values, configFile: file?.path }) as Settings;
  return Object.freeze({ settings, file });
}

/** The file that is named, or the default one if it exists; nothing when it has problems. */
function loadFile({ flags, env, cwd }: SettingsInput, problems: string[]): ConfigFile | undefined {
  const named = flags?.config ?? given(env['DBBOUNCER_CONFIG']);
  const path = resolve(cwd, named ?? DEFAULT_CONFIG_FILE);
  if (named === undefined && !existsSync(path)) return undefined;
  const reading = readConfigFile(path, (name) => env[name]);
  if (reading.outcome === 'ok') return reading.config;
  problems.push(...formatProblemsForPeople(path, reading.problems));
  return undefined;
}

function firstGiven(
  flag: string | undefined,
  spec: SettingSpec<unknown>,
  env: Environment,
): { readonly source: string; readonly text: string } | undefined {
  if (flag !== undefined) return { source: spec.flag ?? spec.env, text: flag };
  const text = given(env[spec.env]);
  const isServiceLink = spec.read === port && text !== undefined && SERVICE_LINK.test(text);
  return text === undefined || isServiceLink ? undefined : { source: spec.env, text };
}

/** An empty variable is as good as none: that is how compose files pass on what is not set. */
function given(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}

function* contradictions(settings: Settings): Iterable<string> {
  if ((settings.tlsCertFile === undefined) !== (settings.tlsKeyFile === undefined)) {
    yield 'tls_cert and tls_key must be given together';
  }
  yield* tlsContradictions(settings);
  yield* natsContradictions(settings);
  if (settings.durability === 'replicated' && settings.nats === undefined) {
    yield 'durability replicated needs nats: changes go there first';
  }
  if (settings.bufferInitialSizeBytes > settings.bufferMaxSizeBytes) {
    yield (
      `pool.buffer_initial_size (${settings.bufferInitialSizeBytes}) is above` +
      ` pool.buffer_max_size (${settings.bufferMaxSizeBytes})`
    );
  }
}

function* tlsContradictions(settings: Settings): Iterable<string> {
  const { tlsMode, tlsCertFile, tlsClientCaFile } = settings;
  const isDemanded = tlsMode !== 'disable' && tlsMode !== 'allow';
  if (tlsCertFile === undefined && isDemanded) {
    yield `tls_mode ${tlsMode} needs tls_cert and tls_key`;
  }
  if (tlsClientCaFile !== undefined) return;
  if (tlsMode === 'verify-ca' || tlsMode === 'verify-full') {
    yield `tls_mode ${tlsMode} needs tls_client_ca`;
  }
  if (settings.tlsClientCertLogin === 'on') yield 'tls_client_cert_login needs tls_client_ca';
}

function* natsContradictions(settings: Settings): Iterable<string> {
  if ((settings.natsTlsCertFile === undefined) !== (settings.natsTlsKeyFile === undefined)) {
    yield 'nats_tls_cert_file and nats_tls_key_file must be given together';
  }
  if (settings.natsNkeyFile !== undefined && settings.natsCredsFile !== undefined) {
    yield 'of nats_nkey_file and nats_creds_file only one can be given';
  }
}
