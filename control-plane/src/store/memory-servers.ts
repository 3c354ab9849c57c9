/** The read model of declared servers in memory: an immutable map, as that of API keys. */
import { addressKey, serverKey } from '@dbbouncer/shared/contract/database-servers.ts';
import type { ServerAddress } from '@dbbouncer/shared/contract/database-servers.ts';
import { FrozenMap } from '@dbbouncer/shared/kernel/frozen-map.ts';
import type { ServerModel, ServerView } from './servers.ts';

export class MemoryServers implements ServerModel {
  #views = FrozenMap.empty<ServerView>();

  get(name: string): ServerView | undefined {
    return this.#views.get(serverKey(name));
  }

  at(address: ServerAddress): ServerView | undefined {
    const key = addressKey(address);
    return [...this.#views.values()].find(({ server }) => addressKey(server) === key);
  }

  list(): readonly ServerView[] {
    return [...this.#views].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, view]) => view);
  }

  count(): number {
    return this.#views.size;
  }

  put(view: ServerView): void {
    this.#views = this.#views.with([[serverKey(view.server.name), view]]);
  }

  remove(name: string): void {
    this.#views = this.#views.with([[serverKey(name), undefined]]);
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
