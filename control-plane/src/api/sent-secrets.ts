/**
 * Who changes where a tenant's server is decides who hears the passwords that the tenant has. An
 * admin may send them anywhere; whoever else names another server has to give each of them in the
 * same request, so that nobody learns a password that is kept by having it sent to a place of his.
 * Owns: when a server is another one, which secrets it hears, the refusal. Leaves: what a written
 * password becomes to shared/secrets. Config files and rollbacks are not asked: who writes the file
 * knows what is in it, and a rollback brings back place and passwords together.
 */
import { isDeepStrictEqual } from 'node:util';
import type { FastifyRequest } from 'fastify';
import { SERVER_CLEARTEXT } from '@dbbouncer/shared/contract/pool-settings.ts';
import type { TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import type { MakeSecret, Secret } from '@dbbouncer/shared/contract/secret.ts';
import type { ServerTlsConfig } from '@dbbouncer/shared/contract/server-tls.ts';
import { SERVER_TLS_MODES } from '@dbbouncer/shared/contract/tls-modes.ts';
import { requireScope } from './access.ts';

/** The secrets that one change of a tenant gives. */
export class GivenSecrets {
  readonly make: MakeSecret;
  readonly #given: Secret[] = [];

  /** @param make makes them; what it makes is remembered. */
  constructor(make: MakeSecret) {
    this.make = (written, current) => {
      const secret = make(written, current);
      this.#given.push(secret);
      return secret;
    };
  }

  /**
   * Asks when the change is done, and may yet be undone.
   * @throws SCOPE_MISSING when an admin alone may do it
   */
  requireEnough(request: FastifyRequest, before: TenantConfig, after: TenantConfig): void {
    const had = secretsSent(before).map(({ secret }) => secret);
    const isKnown = (secret: Secret) => had.some((one) => isDeepStrictEqual(one, secret));
    const sent = secretsSent(after);
    const pointer = sent.find(({ secret }) => secret.kind !== 'sealed' && !isKnown(secret));
    if (pointer !== undefined) requireScope(request, 'admin', newReference(pointer.path));
    const elsewhere = whyElsewhere(before, after);
    if (elsewhere === undefined) return;
    const kept = sent.find(({ secret }) => isKnown(secret) && !this.#knows(secret));
    if (kept !== undefined) requireScope(request, 'admin', keptSecret(kept.path, elsewhere));
  }

  /** A reference names a password, and who writes it need not know it. */
  #knows(secret: Secret): boolean {
    return secret.kind === 'sealed' && this.#given.some((one) => isDeepStrictEqual(one, secret));
  }
}

function keptSecret(path: string, elsewhere: string): string {
  return (
    `${elsewhere}, which would be sent a ${path} that is kept:` +
    ' give it in this request, as itself and not as a reference, or use a key of scope admin.'
  );
}

function newReference(path: string): string {
  return (
    `${path} refers to what is on the proxies: give the password itself,` +
    ' or use a key of scope admin.'
  );
}

/** Passwords that the server of the tenant is shown, or can make clients prove, by their fields. */
function secretsSent({ password, users = [], authQuery }: TenantConfig) {
  const ofUsers = users.flatMap(({ password: own, serverPassword }, index) => {
    const path = `users[${index}].${serverPassword === undefined ? '' : 'server_'}password`;
    const secret = serverPassword ?? own;
    return secret === undefined ? [] : [{ path, secret }];
  });
  const asking = authQuery?.password;
  return [
    { path: 'password', secret: password },
    ...ofUsers,
    ...(asking === undefined ? [] : [{ path: 'auth_query.password', secret: asking }]),
  ];
}

/** Nothing where whoever hears a password afterwards could hear it before. */
function whyElsewhere(before: TenantConfig, after: TenantConfig): string | undefined {
  const [was, is] = [before, after].map(({ host, port }) => `${host}:${port}`);
  if (was !== is) return `The server would be ${is} instead of ${was}`;
  if (isWeaker(before.serverTls, after.serverTls)) {
    return 'The server would be known less surely by its server_tls';
  }
  return isMoreInClear(before, after)
    ? 'Who asks for it in clear would be given it in more places by server_cleartext'
    : undefined;
}

/** Without one it is that of the defaults: the surest before, the least sure afterwards. */
function isMoreInClear({ pool: was }: TenantConfig, { pool: is }: TenantConfig): boolean {
  if (was.serverCleartext === is.serverCleartext) return false;
  const before = SERVER_CLEARTEXT.indexOf(was.serverCleartext ?? 'over_verified_tls');
  return SERVER_CLEARTEXT.indexOf(is.serverCleartext ?? 'anywhere') > before;
}

/** Without any, the mode is the proxies' own: as much as there is before, as little afterwards. */
function isWeaker(before: ServerTlsConfig | undefined, after: ServerTlsConfig | undefined) {
  if (isDeepStrictEqual(before, after)) return false;
  const strength = (tls: ServerTlsConfig) => SERVER_TLS_MODES.indexOf(tls.mode);
  if (after === undefined) return before?.mode !== 'disable';
  if (before === undefined) return after.mode !== 'verify-full' || after.ca !== undefined;
  if (strength(after) < strength(before)) return true;
  const verified = before.mode.startsWith('verify-');
  return verified && (before.ca !== after.ca || before.serverName !== after.serverName);
}
