/**
 * The read model of API keys, and when each was used last. The former follows from the events; the
 * latter does not: it is written now and then, and losing a minute of it harms nobody.
 */
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { OtherKeys } from '../domain/api-key/decide.ts';
import type { ApiKey } from '../domain/api-key/events.ts';

export interface ApiKeyView {
  readonly key: ApiKey;
  /** Version of the key's stream; its ETag. */
  readonly version: number;
  /** Position of the last event that changed it. */
  readonly position: Position;
  readonly createdAt: string;
  /** Who created it, as events name actors. */
  readonly createdBy: string;
  readonly updatedAt: string;
  /** Null while it is live. */
  readonly revokedAt: string | null;
}

export interface ApiKeyQuery {
  /** The `next` of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
  readonly include: 'live' | 'revoked_too';
}

export interface ApiKeyPage {
  /** Ordered by id. */
  readonly keys: readonly ApiKeyView[];
  /** Where the next page goes on; absent after the last one. */
  readonly next?: string;
}

export interface ApiKeyReader {
  /** The key, revoked ones too, or nothing when there never was one. */
  get(id: string): ApiKeyView | undefined;
  list(query: ApiKeyQuery): ApiKeyPage;
  /** Keys with this very prefix, live ones first, `limit` at most. */
  withPrefix(prefix: string, limit: number): readonly ApiKeyView[];
  /** The live keys but `key` itself, counted against its name (whatever its case) and prefix. */
  countOthers(key: Pick<ApiKey, 'id' | 'name' | 'prefix'>): OtherKeys;
}

export interface ApiKeyModel extends ApiKeyReader {
  put(view: ApiKeyView): void;
}

/** Times as RFC 3339, by the id of the key. */
export interface ApiKeyUses {
  lastUses(): ReadonlyMap<string, string>;
  /** Outside of any other transaction; what is there of the same id is replaced. */
  saveUses(uses: ReadonlyMap<string, string>): void;
}

/** How names are compared. */
export function nameKey(name: string): string {
  return name.toLowerCase();
}

/** One page out of the up to `limit + 1` views that follow. */
export function keyPageOf(views: readonly ApiKeyView[], limit: number): ApiKeyPage {
  const keys = views.slice(0, limit);
  const last = keys.at(-1);
  if (views.length <= limit || last === undefined) return { keys };
  return { keys, next: last.key.id };
}
