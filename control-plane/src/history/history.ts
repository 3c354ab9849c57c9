/**
 * Reading the event log: what happened, what a tenant went through, the config as of any position,
 * what differs between two.
 * Owns: how the log is walked, in pages that rest in between, so that nothing here holds up a
 * command for long or has the whole log in memory. Leaves: the folds to projections/, finding
 * events to the store, HTTP to api/.
 *
 * The log only grows, so every answer about a position stays true while it is being read.
 */
import type { PoolSettings } from '@dbbouncer/shared/contract/pool-settings.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { evolveDefaults, INITIAL_DEFAULTS } from '../domain/defaults/decide.ts';
import { DEFAULTS_STREAM } from '../domain/defaults/events.ts';
import { decodeEvent, isDefaultsEvent } from '../domain/domain-event.ts';
import { serverKeyOfStream } from '../domain/server/events.ts';
import { tenantKeyOfStream, tenantStream } from '../domain/tenant/events.ts';
import { evolveView } from '../projections/tenant-views.ts';
import type { StoredEvent } from '../store/event.ts';
import { STRETCH_POSITIONS_MAX } from '../store/event-query.ts';
import type { EventFilter, EventSearch, EventStretch } from '../store/event-query.ts';
import type { EventReader, EventStore } from '../store/event-store.ts';
import type { TenantReader, TenantView } from '../store/read-models.ts';
import type { ServerView } from '../store/servers.ts';
import { Pace } from './pace.ts';
import { serverDifferences, serversAt } from './server-history.ts';
import type { ServerDifference } from './server-history.ts';
import { diffDefaults, diffTenants, summarize } from './tenant-diff.ts';
import type { FieldChange } from './tenant-diff.ts';

export type HistorySource = EventReader &
  TenantReader &
  Pick<EventStore, 'subscribe' | 'streamVersion'>;

export interface EventPage {
  readonly events: readonly StoredEvent[];
  /** The next page is beyond this position, in the same order; absent after the last one. */
  readonly next?: Position;
}

/** An event of a tenant, and what it changed. */
export interface HistoryEntry {
  readonly event: StoredEvent;
  readonly changes: readonly FieldChange[];
  readonly summary: string;
}

export interface HistoryPage {
  /** Newest first. */
  readonly entries: readonly HistoryEntry[];
  /** The next page is before this version of the stream; absent after the last one. */
  readonly next?: number;
}

export interface ConfigPage {
  readonly defaults: PoolSettings;
  /** All of them, ordered by lower-case name. */
  readonly servers: readonly ServerView[];
  /** Ordered by lower-case id. */
  readonly tenants: readonly TenantView[];
  /** The key the next page goes on after; absent after the last one. */
  readonly next?: string;
}

/** A tenant that is not the same at two positions. */
export interface TenantDifference {
  readonly before: TenantView | undefined;
  readonly after: TenantView | undefined;
  readonly changes: readonly FieldChange[];
  readonly summary: string;
}

export interface DiffPage {
  readonly defaults: readonly FieldChange[];
  readonly servers: readonly ServerDifference[];
  /** Ordered by lower-case id. */
  readonly tenants: readonly TenantDifference[];
  readonly next?: string;
}

export interface TenantPageQuery {
  /** The `next` of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

const CHUNK_EVENTS = 100;

export class History {
  readonly #store: HistorySource;

  constructor(store: HistorySource) {
    this.#store = store;
  }

  /** Position of the last event. */
  head(): Position {
    return this.#store.head();
  }

  /** Calls `listener` after each commit that appended something, until the result is called. */
  subscribe(listener: () => void): () => void {
    return this.#store.subscribe(listener);
  }

  event(position: Position): StoredEvent | undefined {
    const [event] = this.#store.readAll(position - 1, 1);
    return event?.position === position ? event : undefined;
  }

  /** The last position that was there at a time, as `Clock.timestamp` writes it. */
  positionAt(time: string): Position {
    return this.#store.lastByTime(time, 'up_to');
  }

  /** Up to `limit` events that answer the filter. */
  async find(search: EventSearch): Promise<EventPage> {
    const pace = new Pace();
    const events: StoredEvent[] = [];
    let { after, before } = this.#narrowed(search);
    while (after + 1 < before && events.length <= search.limit) {
      const limit = search.limit + 1 - events.length;
      const stretch = this.#store.search({ ...search, after, before, limit });
      events.push(...stretch.events);
      if (search.order === 'asc') after = stretch.reached;
      else before = stretch.reached;
      await pace.rest();
    }
    const last = events[search.limit - 1];
    if (events.length <= search.limit || last === undefined) return { events };
    return { events: events.slice(0, search.limit), next: last.position };
  }

  /** The next events after a position, oldest first, on a stretch of the log that ends now. */
  eventsAfter(after: Position, filter: EventFilter, limit: number): EventStretch {
    const before = Math.min(this.head(), after + STRETCH_POSITIONS_MAX) + 1;
    return this.#store.search({ ...filter, order: 'asc', after, before, limit });
  }

  /** Nothing when there never was such a tenant. */
  async ofTenant(
    id: string,
    { before = Infinity, limit }: { readonly before?: number | undefined; readonly limit: number },
  ): Promise<HistoryPage | undefined> {
    const stream = tenantStream(id);
    const version = this.#store.streamVersion(stream);
    if (version === 0) return undefined;
    const last = Math.min(version, before - 1);
    const first = Math.max(1, last - limit + 1);
    const entries: HistoryEntry[] = [];
    let view: TenantView | undefined;
    for await (const event of this.#eventsOf(stream, last)) {
      const next = evolveView(view, event);
      if (event.streamVersion >= first) entries.push(entryOf(event, view, next));
      view = next;
    }
    entries.reverse();
    return first > 1 ? { entries, next: first } : { entries };
  }

  /** The config at a position that is in the log; 0 is before the first event. */
  async configAt(position: Position, { after = '', limit }: TenantPageQuery): Promise<ConfigPage> {
    const pace = new Pace();
    const defaults = await this.#defaultsAt(position);
    const servers = await serversAt(this.#store, position);
    const tenants: TenantView[] = [];
    for (const key of this.#keysAfter(after)) {
      const view = await this.#tenantAt(key, position);
      if (view !== undefined) tenants.push(view);
      if (tenants.length > limit) break;
      await pace.after(1);
    }
    return { defaults, servers, ...pageOf(tenants, limit, ({ config }) => tenantKey(config.id)) };
  }

  /** What has to change for the config at `from` to become that at `to`, later or earlier. */
  async difference(
    from: Position,
    to: Position,
    { after = '', limit }: TenantPageQuery,
  ): Promise<DiffPage> {
    const pace = new Pace();
    const streams = await this.#streamsBetween(Math.min(from, to), Math.max(from, to));
    const keys = streams.map((stream) => tenantKeyOfStream(stream) ?? '');
    const ofServers = streams.map(serverKeyOfStream).filter((key) => key !== undefined);
    const servers = serverDifferences(this.#store, ofServers, from, to);
    const tenants: (TenantDifference & { readonly key: string })[] = [];
    for (const key of keys.filter((key) => key > after).sort()) {
      const difference = differenceOf(
        await this.#tenantAt(key, from),
        await this.#tenantAt(key, to),
      );
      if (difference !== undefined) tenants.push({ key, ...difference });
      if (tenants.length > limit) break;
      await pace.after(2);
    }
    const defaults = diffDefaults(await this.#defaultsAt(from), await this.#defaultsAt(to));
    return { defaults, servers, ...pageOf(tenants, limit, ({ key }) => key) };
  }

  /** The positions that a search can have answers at, both ends outside. */
  #narrowed({ after, before, since, until }: EventSearch): {
    readonly after: Position;
    readonly before: Position;
  } {
    const first = since === undefined ? 0 : this.#store.lastByTime(since, 'before');
    const last = until === undefined ? this.head() : this.#store.lastByTime(until, 'before');
    return { after: Math.max(after, first), before: Math.min(before, last + 1) };
  }

  async #streamsBetween(from: Position, to: Position): Promise<readonly string[]> {
    const pace = new Pace();
    const streams = new Set<string>();
    for (let after = from; after < to; after += STRETCH_POSITIONS_MAX) {
      const before = Math.min(to, after + STRETCH_POSITIONS_MAX) + 1;
      for (const stream of this.#store.streamsWithin(after, before)) streams.add(stream);
      await pace.rest();
    }
    return [...streams];
  }

  /** The keys of all tenants there ever were. */
  *#keysAfter(after: string): Iterable<string> {
    let stream = this.#store.nextStream(tenantStream(after));
    while (stream !== undefined) {
      const key = tenantKeyOfStream(stream);
      if (key === undefined) return;
      yield key;
      stream = this.#store.nextStream(stream);
    }
  }

  async #tenantAt(key: string, position: Position): Promise<TenantView | undefined> {
    const live = this.#store.getTenant(key);
    // Unchanged since then: what is kept is what a fold would give.
    if (live !== undefined && live.position <= position) return live;
    let view: TenantView | undefined;
    for await (const event of this.#eventsOf(tenantStream(key))) {
      if (event.position > position) break;
      view = evolveView(view, event);
    }
    return view;
  }

  async #defaultsAt(position: Position): Promise<PoolSettings> {
    const live = this.#store.getDefaults();
    if (live.position <= position) return live.defaults;
    let defaults = INITIAL_DEFAULTS;
    for await (const stored of this.#eventsOf(DEFAULTS_STREAM)) {
      if (stored.position > position) break;
      const event = decodeEvent(stored);
      if (isDefaultsEvent(event)) defaults = evolveDefaults(defaults, event);
    }
    return defaults;
  }

  /** The events of a stream up to a version, with a rest after each chunk of them. */
  async *#eventsOf(stream: string, upTo = Infinity): AsyncIterable<StoredEvent> {
    const pace = new Pace();
    let version = 0;
    while (version < upTo) {
      // The first alone: for a tenant that came later it is all that is needed.
      const limit = version === 0 ? 1 : Math.min(CHUNK_EVENTS, upTo - version);
      const chunk = [...this.#store.readStream(stream, version, limit)];
      yield* chunk;
      if (chunk.length < limit) return;
      version += chunk.length;
      await pace.after(chunk.length);
    }
  }
}

function entryOf(
  event: StoredEvent,
  before: TenantView | undefined,
  after: TenantView | undefined,
): HistoryEntry {
  const changes = diffTenants(before, after);
  const { to } = event.data;
  const wentBackTo = typeof to === 'number' ? to : undefined;
  return { event, changes, summary: summarize(event.type, changes, after, wentBackTo) };
}

function differenceOf(
  before: TenantView | undefined,
  after: TenantView | undefined,
): TenantDifference | undefined {
  const changes = diffTenants(before, after);
  if (changes.length === 0) return undefined;
  return { before, after, changes, summary: summarize(kindOf(before, after), changes, after) };
}

/** The event that would make the one of the other. */
function kindOf(before: TenantView | undefined, after: TenantView | undefined): string {
  if (before === undefined) return 'TenantRegistered';
  return after === undefined ? 'TenantRemoved' : 'TenantUpdated';
}

function pageOf<Item>(
  items: readonly Item[],
  limit: number,
  keyOf: (item: Item) => string,
): { readonly tenants: readonly Item[]; readonly next?: string } {
  const tenants = items.slice(0, limit);
  const last = tenants.at(-1);
  if (items.length <= limit || last === undefined) return { tenants };
  return { tenants, next: keyOf(last) };
}
