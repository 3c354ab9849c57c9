/**
 * Recognises who presents an API key, and says what the holder may.
 * A key is checked with its slow hash once; from then on a fast keyed hash of it, kept in memory
 * alone, leads to its record, which is read with every request: what is revoked or changed holds at
 * once. Leaves: what a route needs to api/access.ts.
 * Source: RFC 6750 (bearer tokens).
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { API_KEY_LIMITS } from '../domain/api-key/decide.ts';
import type { Scope } from '../domain/api-key/scopes.ts';
import type { ApiKeyReader, ApiKeyView } from '../store/api-keys.ts';
import { isKeyOf } from './key-hash.ts';
import { KEY_TEXT, prefixOf } from './key-text.ts';
import type { KeyUses } from './key-uses.ts';
import { RecentMap } from './recent-map.ts';
import { SlowChecks } from './slow-checks.ts';

/** Keys recognised, and texts known to be none, that are remembered. */
const REMEMBERED_MAX = 10_000;
const BEARER = /^Bearer +(\S+) *$/i;

/** Who asks, and what that key may. */
export interface Holder {
  readonly id: string;
  readonly name: string;
  /** How events name the holder. */
  readonly actor: string;
  /** Whose idempotency keys it uses: the key of the settings is one, whatever text it has. */
  readonly keeper: string;
  readonly scope: Scope;
  /** A glob over tenant ids; null reaches all. */
  readonly tenants: string | null;
}

export type KeyRefusal = 'no_key' | 'malformed' | 'unknown_key' | 'expired' | 'revoked';

export type Recognition =
  | { readonly outcome: 'holder'; readonly holder: Holder }
  | {
      readonly outcome: 'refused';
      readonly reason: KeyRefusal;
      readonly message: string;
      /** Whose key it is, where that much is certain. */
      readonly holder?: Holder;
    }
  /** Only the slow hash can tell. */
  | { readonly outcome: 'unchecked' }
  /** As many slow hashes are in line as may be. */
  | { readonly outcome: 'busy' };

export interface KeyGuardOptions {
  readonly builtIn: { readonly key: string; readonly id: string };
  readonly keys: ApiKeyReader;
  readonly uses: KeyUses;
  readonly clock: Clock;
}

export class KeyGuard {
  readonly #options: KeyGuardOptions;
  readonly #digestKey = randomBytes(32).toString('base64');
  readonly #builtIn: Buffer;
  readonly #known = new RecentMap<string>(REMEMBERED_MAX);
  /** The keys it was held against: another one that begins alike is worth another look. */
  readonly #wrong = new RecentMap<string>(REMEMBERED_MAX);
  readonly #checks = new SlowChecks<ApiKeyView | undefined>();

  constructor(options: KeyGuardOptions) {
    this.#options = options;
    this.#builtIn = this.#digest(options.builtIn.key);
  }

  /** What can be said at once. @param authorization the header of that name. */
  glance(authorization: string | undefined): Recognition {
    if (authorization === undefined) return refused('no_key', 'This needs an API key.');
    const key = keyIn(authorization);
    if (key === undefined) return MALFORMED;
    const digest = this.#digest(key);
    if (timingSafeEqual(digest, this.#builtIn)) return this.#admit(this.#builtInHolder());
    const name = digest.toString('base64');
    const id = this.#known.get(name);
    if (id !== undefined) return this.#judge(this.#options.keys.get(id));
    const candidates = this.#candidates(key);
    const isWrong = candidates.length === 0 || this.#wrong.get(name) === namesOf(candidates);
    return isWrong ? UNKNOWN : { outcome: 'unchecked' };
  }

  /** Says it for certain; never `unchecked`. */
  async recognise(authorization: string | undefined): Promise<Recognition> {
    const seen = this.glance(authorization);
    const key = keyIn(authorization ?? '');
    if (seen.outcome !== 'unchecked' || key === undefined) return seen;
    const name = this.#digest(key).toString('base64');
    const candidates = this.#candidates(key);
    const checking = this.#checks.run(name, () => findKey(candidates, key));
    if (checking === undefined) return { outcome: 'busy' };
    const found = await checking;
    if (found === undefined) this.#wrong.set(name, namesOf(candidates));
    else this.#known.set(name, found.key.id);
    // Read again: it may have been revoked meanwhile.
    return this.#judge(found && this.#options.keys.get(found.key.id));
  }

  #candidates(key: string): readonly ApiKeyView[] {
    return this.#options.keys.withPrefix(prefixOf(key), API_KEY_LIMITS.samePrefixMax);
  }

  #judge(view: ApiKeyView | undefined): Recognition {
    if (view === undefined) return UNKNOWN;
    const { id, name, scope, tenants, expiresAt } = view.key;
    const actor = actorOf(id);
    const holder = Object.freeze({ id, name, actor, keeper: actor, scope, tenants });
    if (view.revokedAt !== null) {
      return { ...refused('revoked', 'The API key has been revoked.'), holder };
    }
    if (expiresAt !== null && expiresAt <= this.#options.clock.timestamp()) {
      return { ...refused('expired', `The API key was valid until ${expiresAt}.`), holder };
    }
    return this.#admit(holder);
  }

  #admit(holder: Holder): Recognition {
    this.#options.uses.note(holder.id, this.#options.clock.timestamp());
    return { outcome: 'holder', holder };
  }

  #builtInHolder(): Holder {
    const { id } = this.#options.builtIn;
    const keeper = actorOf(BUILT_IN_NAME);
    return { id, name: BUILT_IN_NAME, actor: actorOf(id), keeper, scope: 'admin', tenants: null };
  }

  /** Useless outside of this process: its key is made anew with each. */
  #digest(key: string): Buffer {
    return hash('sha256', this.#digestKey + key, 'buffer');
  }
}

export const BUILT_IN_NAME = 'bootstrap';

/** How events name the holder of a key. */
export function actorOf(id: string): string {
  return `api:${id}`;
}

type Refused = Extract<Recognition, { outcome: 'refused' }>;

function refused(reason: KeyRefusal, message: string): Refused {
  return { outcome: 'refused', reason, message };
}

/** Of the form alone: it may hold a key that is a good one. */
const MALFORMED = Object.freeze(
  refused('malformed', 'The header Authorization is not "Bearer" and an API key.'),
);
const UNKNOWN = Object.freeze(refused('unknown_key', 'The API key is not valid.'));

function keyIn(authorization: string): string | undefined {
  const key = BEARER.exec(authorization)?.[1];
  return key !== undefined && KEY_TEXT.test(key) ? key : undefined;
}

function namesOf(candidates: readonly ApiKeyView[]): string {
  return candidates.map(({ key }) => key.id).join(' ');
}

async function findKey(
  candidates: readonly ApiKeyView[],
  key: string,
): Promise<ApiKeyView | undefined> {
  for (const candidate of candidates) {
    if (await isKeyOf(candidate.key.proof.hash, key)) return candidate;
  }
  return undefined;
}
