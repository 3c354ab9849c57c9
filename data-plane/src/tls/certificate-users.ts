/**
 * Which users a client certificate speaks for: by its own names, or by `tls_client_cert_users`.
 * Owns: the names of a certificate, that setting's syntax, the comparison. Leaves: whether the
 * certificate is valid to client-tls.ts, what follows from an answer to session/.
 */
import type { PeerCertificate } from 'node:tls';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';

/**
 * - `alone`: it names this user of this tenant, and may stand for the password
 * - `beside_password`: it names the user, and not of which tenant; others may have one of that name
 * - `not`: it names somebody else
 */
export type Vouching = 'alone' | 'beside_password' | 'not';

export interface Claim {
  readonly tenant: string;
  /** Without the tenant selector. */
  readonly user: string;
  /** As the client sent it. */
  readonly presentedUser: string;
}

/**
 * The names of a certificate: its common name, and its DNS, e-mail and URI alternative names. A
 * certificate with two common names has none; names that need quoting are left out.
 */
export function namesOf({ subject, subjectaltname }: PeerCertificate): readonly string[] {
  const commonName: unknown = subject?.CN;
  const alternatives = alternativeNames(subjectaltname ?? '');
  const isPlain = typeof commonName === 'string' && commonName !== '' && !commonName.includes('\0');
  return isPlain ? [commonName, ...alternatives] : alternatives;
}

const NAME_TYPES: ReadonlySet<string | undefined> = new Set(['DNS', 'email', 'URI']);

/** Entries are `type:value`, and the value is in quotes when it could be taken for several. */
function alternativeNames(text: string): readonly string[] {
  const entry = /([A-Za-z0-9 ]+):(?:"(?:[^"\\]|\\.)*"|([^",]*))(?:, |$)/y;
  const names: string[] = [];
  while (entry.lastIndex < text.length) {
    const found = entry.exec(text);
    if (found === null) return [];
    const [, type, name = ''] = found;
    if (NAME_TYPES.has(type) && name !== '') names.push(name);
  }
  return names;
}

export class CertificateUsers {
  /** By the name in the certificate. */
  readonly #users = new Map<string, string[]>();

  /** @param setting `name=user` pairs, separated by commas; its form was checked. */
  constructor(setting: string | undefined) {
    for (const pair of (setting ?? '').split(',')) {
      const equals = pair.lastIndexOf('=');
      if (equals === -1) continue;
      const name = pair.slice(0, equals).trim();
      const users = this.#users.get(name) ?? [];
      this.#users.set(name, [...users, pair.slice(equals + 1).trim()]);
    }
  }

  /** The most that any of the names says for the login. */
  vouching(names: readonly string[], claim: Claim): Vouching {
    // A name that the setting lists means what stands there, and no longer itself.
    const users = names.flatMap((name) => this.#users.get(name) ?? [name]);
    const listed = names.flatMap((name) => this.#users.get(name) ?? []);
    if (users.some((user) => namesUserOfTenant(user, claim))) return 'alone';
    if (listed.some((user) => namesMany(user, claim))) return 'alone';
    const isNamed = users.some((user) => user === claim.user || user === claim.presentedUser);
    return isNamed ? 'beside_password' : 'not';
  }
}

/**
 * `tenant__user`; the tenant in any case. The first `__` splits, so that one name means one user.
 */
function namesUserOfTenant(name: string, { tenant, user }: Claim): boolean {
  const split = name.indexOf('__');
  if (split !== tenant.length || name.slice(split + 2) !== user) return false;
  return tenantKey(name.slice(0, split)) === tenantKey(tenant);
}

/** `*`, `tenant__*` or `*__user`, in the setting alone: a certificate cannot name itself so. */
function namesMany(name: string, { tenant, user }: Claim): boolean {
  return name === '*' || name === `*__${user}` || tenantKey(name) === `${tenantKey(tenant)}__*`;
}
