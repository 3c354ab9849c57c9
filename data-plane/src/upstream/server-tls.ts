/**
 * How the proxy speaks TLS with the server of each tenant: what to demand of it, and what to show.
 * Owns: reading certificates and keys where a connection needs them, one TLS context for as long as
 * they stay the same. Leaves: the conversation to server-socket.ts, words for failures to
 * tls-failure.ts.
 * Source: PostgreSQL 18 manual, "SSL Support" of libpq (sslmode).
 */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { checkServerIdentity, createSecureContext } from 'node:tls';
import type { ConnectionOptions, SecureContext } from 'node:tls';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { certificateFile } from '@dbbouncer/shared/contract/server-tls.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import type { ServerTlsMode } from '@dbbouncer/shared/contract/tls-modes.ts';

/** What one connection to a server may be, or has to be. */
export interface ServerTls {
  readonly mode: ServerTlsMode;
  /** For `connect` of node:tls; without the socket. */
  readonly options: ConnectionOptions;
}

export interface ServerTlsDefaults {
  /** Of tenants that do not say. */
  readonly mode: ServerTlsMode;
  /** The authorities of tenants that name none; absent: those that Node.js brings along. */
  readonly caFile: string | undefined;
}

/** Opens sealed secrets and references; shared/secrets has the real one. */
export interface KeyOpener {
  /** @throws AppError SECRET_UNAVAILABLE */
  open(secret: Secret, tenantId: string, what: string): string;
}

interface Material {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** As libpq 17 asks for, so that servers behind a TLS router are found. */
const ALPN_PROTOCOLS = ['postgresql'];
const CERTIFICATE_FILE_BYTES_MAX = 1_048_576;

export class ServerTlsStore {
  readonly #keys: KeyOpener;
  readonly #defaults: ServerTlsDefaults;
  /** A changed tenant is another object; changed files are seen by their content. */
  readonly #contexts = new WeakMap<TenantConfig, { material: Material; context: SecureContext }>();

  constructor(keys: KeyOpener, defaults: ServerTlsDefaults) {
    this.#keys = keys;
    this.#defaults = defaults;
  }

  /**
   * As of now: files that are referred to are read again.
   * @throws AppError SECRET_UNAVAILABLE; Error: a file or its content cannot be used
   */
  of(tenant: TenantConfig): ServerTls {
    const mode = tenant.serverTls?.mode ?? this.#defaults.mode;
    if (mode === 'disable') return { mode, options: {} };
    const name = tenant.serverTls?.serverName ?? tenant.host;
    const isVerified = mode === 'verify-ca' || mode === 'verify-full';
    return {
      mode,
      options: {
        host: name,
        // A name that is an address cannot be asked for.
        ...(isIP(name) === 0 && { servername: name }),
        secureContext: this.#context(tenant, isVerified),
        rejectUnauthorized: isVerified,
        checkServerIdentity: mode === 'verify-full' ? checkServerIdentity : () => undefined,
        ALPNProtocols: ALPN_PROTOCOLS,
      },
    };
  }

  #context(tenant: TenantConfig, isVerified: boolean): SecureContext {
    const { ca, cert, key } = tenant.serverTls ?? {};
    const { caFile } = this.#defaults;
    const inherited = isVerified && caFile !== undefined ? readCertificates(caFile) : undefined;
    const material: Material = {
      ca: ca === undefined ? inherited : certificates(ca),
      cert: cert === undefined ? undefined : certificates(cert),
      key: key === undefined ? undefined : this.#keys.open(key, tenant.id, 'server_tls.key'),
    };
    const known = this.#contexts.get(tenant);
    if (known !== undefined && isSame(known.material, material)) return known.context;
    const context = createSecureContext({ ...given(material), minVersion: 'TLSv1.2' });
    this.#contexts.set(tenant, { material, context });
    return context;
  }
}

function certificates(text: string): string {
  const path = certificateFile(text);
  return path === undefined ? text : readCertificates(path);
}

function readCertificates(path: string): string {
  const facts = statSync(path);
  if (!facts.isFile()) throw new Error(`${path} is not a regular file`);
  if (facts.size > CERTIFICATE_FILE_BYTES_MAX) {
    throw new Error(`${path} has ${facts.size} bytes, ${CERTIFICATE_FILE_BYTES_MAX} is the limit`);
  }
  return readFileSync(path, 'utf8');
}

function isSame(one: Material, other: Material): boolean {
  return one.ca === other.ca && one.cert === other.cert && one.key === other.key;
}

function given(material: Material): Partial<Record<keyof Material, string>> {
  return Object.fromEntries(Object.entries(material).filter(([, text]) => text !== undefined));
}
