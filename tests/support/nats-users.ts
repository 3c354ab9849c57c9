/**
 * Users of NATS that log in with keys instead of passwords: user keys, and the JWT of an account
 * that a server trusts, as `nsc` would make them.
 * Source: NATS documentation, "JWT-based authentication"; ADR-14 "JWT library free jwt user
 * generation".
 */
import { createHash } from 'node:crypto';
import { nkeys } from '@nats-io/transport-node';

type KeyPair = ReturnType<typeof nkeys.createUser>;

export interface NkeyUser {
  /** U…, for the server's list of users. */
  readonly publicKey: string;
  /** SU…, what nats_nkey_file holds. */
  readonly seed: string;
}

export function newNkeyUser(): NkeyUser {
  const pair = nkeys.createUser();
  return { publicKey: pair.getPublicKey(), seed: seedOf(pair) };
}

/** An operator and its account: what a server is configured with, and who makes its users. */
export function newNatsAccount() {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const system = nkeys.createAccount();
  const unlimited = {
    subs: -1,
    data: -1,
    payload: -1,
    imports: -1,
    exports: -1,
    wildcards: true,
    conn: -1,
  };
  const jetstream = { mem_storage: -1, disk_storage: -1 };
  const operatorJwt = jwt(operator, operator, 'operator', {});
  const accountJwt = (limits: object, of: KeyPair) =>
    `${of.getPublicKey()}: ${jwt(operator, of, 'account', { limits })}`;
  const preloaded = [
    accountJwt({ ...unlimited, ...jetstream }, account),
    accountJwt(unlimited, system),
  ];
  return {
    serverConfig: [
      `operator: ${operatorJwt}`,
      'resolver: MEMORY',
      `system_account: ${system.getPublicKey()}`,
      `resolver_preload: { ${preloaded.join('\n')} }`,
    ].join('\n'),
    /** The content of a creds file. */
    newUserCreds(): string {
      const user = nkeys.createUser();
      const permissions = { pub: {}, sub: {}, subs: -1, data: -1, payload: -1 };
      return [
        '-----BEGIN NATS USER JWT-----',
        jwt(account, user, 'user', permissions),
        '------END NATS USER JWT------',
        '',
        '-----BEGIN USER NKEY SEED-----',
        seedOf(user),
        '------END USER NKEY SEED------',
        '',
      ].join('\n');
    },
  };
}

function jwt(issuer: KeyPair, subject: KeyPair, type: string, claims: object): string {
  const body = {
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    name: type,
    sub: subject.getPublicKey(),
    nats: { type, version: 2, ...claims },
  };
  const jti = createHash('sha256').update(JSON.stringify(body)).digest('hex');
  const header = part({ typ: 'JWT', alg: 'ed25519-nkey' });
  const signed = `${header}.${part({ jti, ...body })}`;
  const signature = Buffer.from(issuer.sign(Buffer.from(signed)));
  return `${signed}.${signature.toString('base64url')}`;
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function seedOf(pair: KeyPair): string {
  return Buffer.from(pair.getSeed()).toString();
}
