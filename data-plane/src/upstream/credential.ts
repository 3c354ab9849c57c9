/**
 * One stored credential of one user: a password, or what PostgreSQL keeps of one (pg_authid's
 * rolpassword). It checks clients, and proves to servers who we are.
 * Owns: what each form can do, the slow derivations (each done once per salt), and the ClientKey
 * that is recovered from a client's proof: kept here alone, in memory, and gone with the verifier.
 * Leaves: where the text comes from to credentials.ts, the exchanges to their conversations.
 * Source: RFC 5802 §3; PostgreSQL 18, src/backend/libpq/crypt.c (get_password_type).
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { assert, unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { isMd5Verifier, md5AnswerFits, md5Verifier } from '../wire/postgres/md5.ts';
import { SCRAM_ITERATIONS_MAX } from '../wire/postgres/limits.ts';
import { deriveKeys, parseVerifier, sha256, verifierFromKeys } from '../wire/postgres/scram.ts';
import type { ScramKeys, ScramVerifier } from '../wire/postgres/scram.ts';

/** The iteration count of PostgreSQL's own verifiers (scram_iterations). */
export const SCRAM_ITERATIONS = 4096;
/** Servers give each role one salt; more than a few are cached only around password changes. */
const DERIVED_MAX = 8;

/** The server wants a proof that this form of credential cannot give. The text has no secret. */
export class UnfitCredential extends Error {
  override readonly name = 'UnfitCredential';
}

type Form =
  | { readonly kind: 'password'; readonly text: string }
  | { readonly kind: 'scram_verifier'; readonly verifier: ScramVerifier }
  | { readonly kind: 'md5_verifier'; readonly text: string };

/** Of this process alone: what is hashed with it cannot be compared or guessed elsewhere. */
const FINGERPRINT_KEY = randomBytes(32);

export class Credential {
  /** Equal exactly for equal credentials, within this process; says nothing about them. */
  readonly fingerprint: string;
  readonly #form: Form;
  readonly #derived = new Map<string, Derived | Promise<Derived>>();
  #clientKey: Buffer | undefined;

  /** @param text not empty. What has the form of a verifier is one, as PostgreSQL takes it. */
  constructor(text: string) {
    assert(text !== '', 'an empty password is none');
    this.fingerprint = createHmac('sha256', FINGERPRINT_KEY).update(text).digest('base64');
    this.#form = formOf(text);
  }

  get kind(): Form['kind'] {
    return this.#form.kind;
  }

  /** Rounds that a SCRAM client is told to do. */
  get iterations(): number {
    return this.#form.kind === 'scram_verifier' ? this.#form.verifier.iterations : SCRAM_ITERATIONS;
  }

  /**
   * Whether a server can be logged in to. A SCRAM verifier alone cannot do it, until a client has
   * proved that it knows the password.
   */
  get readiness(): 'ready' | 'waiting_for_login' {
    const isVerifierAlone = this.kind === 'scram_verifier' && this.#clientKey === undefined;
    return isVerifierAlone ? 'waiting_for_login' : 'ready';
  }

  /** Takes the ClientKey that a client's accepted proof gave away; only a verifier needs it. */
  learn(clientKey: Buffer): void {
    if (this.#form.kind !== 'scram_verifier' || this.#clientKey !== undefined) return;
    const { storedKey } = this.#form.verifier;
    assert(timingSafeEqual(sha256(clientKey), storedKey), 'a ClientKey fits its verifier');
    this.#clientKey = Buffer.from(clientKey);
  }

  // ---- what a client is checked against ----

  /**
   * What a SCRAM client is checked against; nothing when the form does not allow SCRAM. At once
   * where it is known, as it is at all logins but the first.
   * @param salt for a password, which has none of its own.
   */
  verifier(salt: Buffer): ScramVerifier | Promise<ScramVerifier> | undefined {
    const form = this.#form;
    switch (form.kind) {
      case 'password': {
        const derived = this.#derive(form.text, salt, SCRAM_ITERATIONS);
        return derived instanceof Promise
          ? derived.then(({ verifier }) => verifier)
          : derived.verifier;
      }
      case 'scram_verifier':
        return form.verifier;
      case 'md5_verifier':
        return undefined;
      default:
        return unreachable(form);
    }
  }

  /** Whether the answer to an md5 challenge fits; a SCRAM verifier cannot tell, so it does not. */
  fitsMd5(user: string, answer: string, salt: Buffer): boolean {
    if (this.#form.kind === 'scram_verifier') return false;
    return md5AnswerFits(answer, this.md5Verifier(user), salt);
  }

  /** Whether a password that came in clear is the one; if so, a verifier learns from it. */
  async fitsCleartext(user: string, password: string): Promise<boolean> {
    const form = this.#form;
    if (password === '') return false;
    switch (form.kind) {
      case 'password':
        return this.#fitsDerived(form.text, password);
      case 'md5_verifier':
        return equal(md5Verifier(user, password), form.text);
      case 'scram_verifier': {
        const { salt, iterations, storedKey } = form.verifier;
        if (iterations > SCRAM_ITERATIONS_MAX) return false;
        const { clientKey } = await deriveKeys(password, salt, iterations);
        if (!timingSafeEqual(sha256(clientKey), storedKey)) return false;
        this.learn(clientKey);
        return true;
      }
      default:
        return unreachable(form);
    }
  }

  /** Takes as long as a verifier does: what is stored cannot be told by the time. */
  async #fitsDerived(stored: string, password: string): Promise<boolean> {
    const [known, given] = await Promise.all([
      this.#derive(stored, FINGERPRINT_KEY, SCRAM_ITERATIONS),
      deriveKeys(password, FINGERPRINT_KEY, SCRAM_ITERATIONS),
    ]);
    return timingSafeEqual(known.keys.clientKey, given.clientKey);
  }

  // ---- what proves to a server who we are ----

  /** @throws UnfitCredential */
  async keys(salt: Buffer, iterations: number): Promise<ScramKeys> {
    const form = this.#form;
    switch (form.kind) {
      case 'password':
        return (await this.#derive(form.text, salt, iterations)).keys;
      case 'md5_verifier':
        throw new UnfitCredential('the server asks for SCRAM, and only an md5 verifier is known');
      case 'scram_verifier': {
        const { verifier } = form;
        if (!verifier.salt.equals(salt) || verifier.iterations !== iterations) {
          throw new UnfitCredential(
            'the salt or iteration count of the server is not that of the SCRAM verifier',
          );
        }
        if (this.#clientKey === undefined) {
          throw new UnfitCredential('nobody has logged in with the password of the verifier yet');
        }
        return { clientKey: this.#clientKey, serverKey: verifier.serverKey };
      }
      default:
        return unreachable(form);
    }
  }

  /** What an md5 challenge is answered from. @throws UnfitCredential */
  md5Verifier(user: string): string {
    const form = this.#form;
    switch (form.kind) {
      case 'password':
        return md5Verifier(user, form.text);
      case 'md5_verifier':
        return form.text;
      case 'scram_verifier':
        throw new UnfitCredential('the server asks for md5, and only a SCRAM verifier is known');
      default:
        return unreachable(form);
    }
  }

  /** For a server that wants it in clear. @throws UnfitCredential */
  password(): string {
    if (this.#form.kind === 'password') return this.#form.text;
    throw new UnfitCredential('the server asks for the password, and only a verifier is known');
  }

  /** The keys of the password under a salt; derived off the event loop, once. */
  #derive(password: string, salt: Buffer, iterations: number): Derived | Promise<Derived> {
    const cacheKey = `${iterations}:${salt.toString('base64')}`;
    const known = this.#derived.get(cacheKey);
    if (known !== undefined) return known;
    const deriving = derive(password, salt, iterations).then((derived) => {
      if (this.#derived.get(cacheKey) === deriving) this.#derived.set(cacheKey, derived);
      return derived;
    });
    if (this.#derived.size >= DERIVED_MAX) this.#derived.clear();
    this.#derived.set(cacheKey, deriving);
    return deriving;
  }
}

interface Derived {
  readonly keys: ScramKeys;
  readonly verifier: ScramVerifier;
}

async function derive(password: string, salt: Buffer, iterations: number): Promise<Derived> {
  const keys = await deriveKeys(password, salt, iterations);
  return Object.freeze({ keys, verifier: verifierFromKeys(keys, Buffer.from(salt), iterations) });
}

function formOf(text: string): Form {
  const verifier = parseVerifier(text);
  if (verifier !== undefined) return { kind: 'scram_verifier', verifier };
  return { kind: isMd5Verifier(text) ? 'md5_verifier' : 'password', text };
}

/** Takes the same time whatever differs: both are hashed to one length. */
function equal(left: string, right: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(left), hash(right));
}
