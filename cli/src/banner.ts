/**
 * What a person reads on stdout when the process has started; the log goes to stderr.
 */
import type { Settings } from '@dbbouncer/shared/settings/setting-list.ts';

export interface Started {
  readonly settings: Settings;
  readonly version: string;
  readonly controlPlane: { readonly apiUrl: string; readonly apiKeyFile: string | undefined };
  readonly proxy: { readonly postgresPort: number; readonly metricsPort: number };
}

const EVERY_ADDRESS = new Set(['0.0.0.0', '::', '*']);

/** How to reach from this machine what listens on `host`. */
export function reachable(host: string): string {
  return EVERY_ADDRESS.has(host) ? 'localhost' : host;
}

/** `host:port` as it stands in a URL. */
function hostAndPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A shell word that gives the API key, without showing it. */
export function keyInShell(apiKeyFile: string | undefined): string {
  return apiKeyFile === undefined ? '$DBBOUNCER_API_KEY' : `$(cat ${shellWord(apiKeyFile)})`;
}

/** A command that lists the tenants, ready to paste. */
export function curlLine(apiUrl: string, apiKeyFile: string | undefined): string {
  return `curl -H "Authorization: Bearer ${keyInShell(apiKeyFile)}" ${apiUrl}/tenants`;
}

export function upBanner({ settings, version, controlPlane, proxy }: Started): string {
  const host = reachable(settings.host);
  const { apiUrl, apiKeyFile } = controlPlane;
  const conninfo = [
    `host=${host} port=${proxy.postgresPort}`,
    "user=USER dbname=DATABASE options='-c tenant_id=TENANT'",
  ].join(' ');
  return `
DBBouncer ${version}

  PostgreSQL  ${hostAndPort(host, proxy.postgresPort)}
              psql "${conninfo}"
  REST API    ${apiUrl}, described at ${apiUrl}/docs
              ${curlLine(apiUrl, apiKeyFile)}
  Metrics     http://${hostAndPort(host, proxy.metricsPort)}/metrics
  Data        ${settings.dataDir}${
    settings.configFile === undefined
      ? ''
      : `
  Config      ${settings.configFile}, read again when it changes`
  }

Ctrl-C stops it.

`;
}

function shellWord(text: string): string {
  return /^[\w./+@%-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
