/** The read model of API keys in memory: an immutable map, so undoing is keeping the former. */
import { FrozenMap } from '@dbbouncer/shared/kernel/frozen-map.ts';
import type { OtherKeys } from '../domain/api-key/decide.ts';
import { keyPageOf, nameKey } from './api-keys.ts';
import type { ApiKeyModel, ApiKeyPage, ApiKeyQuery, ApiKeyView } from './api-keys.ts';

export class MemoryApiKeys implements ApiKeyModel {
  #views = FrozenMap.empty<ApiKeyView>();

  get(id: string): ApiKeyView | undefined {
    return this.#views.get(id);
  }

  list({ after = '', limit, include }: ApiKeyQuery): ApiKeyPage {
    const views = [...this.#views.values()]
      .filter(({ key, revokedAt }) => key.id > after && (include !== 'live' || revokedAt === null))
      .sort((a, b) => (a.key.id < b.key.id ? -1 : 1))
      .slice(0, limit + 1);
    return keyPageOf(views, limit);
  }

  withPrefix(prefix: string, limit: number): readonly ApiKeyView[] {
    const found = [...this.#views.values()].filter(({ key }) => key.prefix === prefix);
    return found.sort(liveThenNewest).slice(0, limit);
  }

  countOthers({ id, name, prefix }: Parameters<ApiKeyModel['countOthers']>[0]): OtherKeys {
    const others = [...this.#views.values()].filter(
      ({ key, revokedAt }) => revokedAt === null && key.id !== id,
    );
    return {
      live: others.length,
      samePrefix: others.filter(({ key }) => key.prefix === prefix).length,
      sameName: others.filter(({ key }) => nameKey(key.name) === nameKey(name)).length,
    };
  }

  put(view: ApiKeyView): void {
    this.#views = this.#views.with([[view.key.id, view]]);
  }

  clear(): void {
    this.#views = FrozenMap.empty();
  }

  /** The returned function brings back what is there now. */
  remember(): () => void {
    const views = this.#views;
    return () => void (this.#views = views);
  }
}

function liveThenNewest(a: ApiKeyView, b: ApiKeyView): number {
  if ((a.revokedAt === null) !== (b.revokedAt === null)) return a.revokedAt === null ? -1 : 1;
  return b.position - a.position;
}
