/**
 * The opened credentials of tenants, by the sealed or named secrets of their configs.
 * Owns: opening each secret once per config, and that a credential which is the same after a swap
 * stays the same object, with what it has derived and learned. Leaves: what a credential can do to
 * credential.ts.
 */
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { Secret } from '@dbbouncer/shared/contract/secret.ts';
import { Credential } from './credential.ts';

/** Opens sealed secrets and references; shared/secrets has the real one. */
export interface SecretOpener {
  /** @throws AppError SECRET_UNAVAILABLE */
  open(secret: Secret, tenantId: string): string;
}

/**
 * Credentials by tenant config: a changed tenant is another config object, so nothing stale is ever
 * used, and what no config holds any more is forgotten with it.
 */
export class CredentialStore {
  readonly #opener: SecretOpener;
  readonly #byTenant = new WeakMap<TenantConfig, Map<Secret, Credential>>();

  constructor(opener: SecretOpener) {
    this.#opener = opener;
  }

  /**
   * The credential that `secret`, which is one of `tenant`'s, holds.
   * @throws AppError SECRET_UNAVAILABLE; tried again at the next call.
   */
  of(tenant: TenantConfig, secret: Secret): Credential {
    const opened = this.#openedOf(tenant);
    let credential = opened.get(secret);
    if (credential === undefined) {
      credential = new Credential(this.#opener.open(secret, tenant.id));
      opened.set(secret, credential);
    }
    return credential;
  }

  /**
   * At a swap: `after`, which takes the place of `before`, has the credentials that both hold. A
   * secret that was sealed anew over the same text is the same credential.
   */
  inherit(before: TenantConfig, after: TenantConfig): void {
    const former = this.#byTenant.get(before);
    if (former === undefined) return;
    const byFingerprint = new Map(
      [...former.values()].map((credential) => [credential.fingerprint, credential]),
    );
    const opened = this.#openedOf(after);
    for (const secret of secretsOf(after)) {
      const credential = this.#tryOpen(after, secret);
      if (credential === undefined) continue;
      opened.set(secret, byFingerprint.get(credential.fingerprint) ?? credential);
    }
  }

  #openedOf(tenant: TenantConfig): Map<Secret, Credential> {
    let opened = this.#byTenant.get(tenant);
    if (opened === undefined) {
      opened = new Map();
      this.#byTenant.set(tenant, opened);
    }
    return opened;
  }

  /** What cannot be opened now is tried again, and told, when somebody needs it. */
  #tryOpen(tenant: TenantConfig, secret: Secret): Credential | undefined {
    try {
      return this.of(tenant, secret);
    } catch {
      return undefined;
    }
  }
}

function secretsOf({ password, users = [], authQuery }: TenantConfig): readonly Secret[] {
  const all = [
    password,
    ...users.flatMap((user) => [user.password, user.serverPassword]),
    authQuery?.password,
  ];
  return all.filter((secret) => secret !== undefined);
}
