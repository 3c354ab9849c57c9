/**
 * What one sender knows must be true: a few tenants, API keys and perhaps the defaults, which
 * nobody else changes, as plain data. It chooses the next command by chance and says what must
 * become of it.
 * Owns: the expectation, told without a line of the product. Leaves: sending to sender.ts.
 */
import { isDeepStrictEqual } from 'node:util';
import type { SeededRandom } from '../support/seeded-random.ts';

export interface Settings {
  readonly host: string;
  readonly port: number;
  readonly maxConnections: number | null;
  /** Names of users besides the tenant's own. */
  readonly users: readonly string[];
}

export interface TenantModel {
  readonly present: boolean;
  readonly version: number;
  readonly state: 'active' | 'paused';
  readonly settings: Settings;
  /** What it was after each of its changes, by the key of the command that made it. */
  readonly past: readonly { readonly key: string; readonly settings: Settings | undefined }[];
}

export interface ApiKeyModel {
  readonly name: string;
  readonly id: string;
  readonly state: 'live' | 'revoked';
}

export interface Command {
  /** Idempotency-Key and request id at once. */
  readonly key: string;
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly body?: object;
  readonly ifMatch?: string;
  /** The command whose position belongs into `body.to`. */
  readonly backTo?: string;
  readonly expect: Expected;
}

export interface Expected {
  readonly status: number;
  readonly etag?: string;
  /** Events it makes, all under its request id. */
  readonly events: number;
  /** What is true once it was answered so; with the answer's own id where it makes one up. */
  readonly apply: (id: string) => void;
}

interface Change {
  readonly method: Command['method'];
  readonly op: string;
  readonly body?: object;
  readonly ifMatch: boolean;
  readonly status: number;
  readonly next: Partial<Omit<TenantModel, 'version' | 'past'>>;
  readonly backTo?: string;
}

const TENANTS = 5;
const API_KEYS_MAX = 2;
const NOTHING: TenantModel = {
  present: false,
  version: 0,
  state: 'active',
  settings: { host: '', port: 1, maxConnections: null, users: [] },
  past: [],
};
const UNCHANGED = (): void => {};

export class LaneModel {
  readonly tenants = new Map<string, TenantModel>();
  readonly apiKeys: ApiKeyModel[] = [];
  /** Of the defaults: how often they were changed, and to what; only where the lane owns them. */
  defaults: { readonly version: number; readonly maxConnections: number } | undefined;
  readonly #name: string;
  readonly #random: SeededRandom;
  #made = 0;

  constructor(name: string, random: SeededRandom, owns: 'tenants' | 'tenants_and_defaults') {
    this.#name = name;
    this.#random = random;
    for (let i = 0; i < TENANTS; i++) this.tenants.set(`${name}-t${i}`, NOTHING);
    if (owns === 'tenants_and_defaults') this.defaults = { version: 0, maxConnections: 0 };
  }

  next(): Command {
    const key = `${this.#name}-c${this.#made++}`;
    return this.#random.weighted<() => Command>([
      [70, () => this.#one(key, this.#anyTenant())],
      [12, () => this.#batch(key)],
      [this.defaults === undefined ? 0 : 6, () => this.#changeDefaults(key)],
      [3, () => this.#changeApiKeys(key)],
    ])();
  }

  #one(key: string, id: string): Command {
    const before = this.#tenant(id);
    const change = this.#choose(id, before, key);
    const isStale = change.ifMatch && this.#random.between(1, 12) === 1;
    const { method, body } = change;
    const path = method === 'POST' && change.op === '' ? '/tenants' : pathOf(id, change.op);
    const sent = { key, method, path, ...(body !== undefined && { body }) };
    if (isStale) {
      const expect = { status: 412, events: 0, apply: UNCHANGED };
      return { ...sent, ifMatch: etag(before.version + 1), expect };
    }
    const after = changed(before, change, key);
    const expect: Expected = {
      status: change.status,
      events: after.version - before.version,
      ...(after.present && change.status < 300 && { etag: etag(after.version) }),
      apply: () => void this.tenants.set(id, after),
    };
    return {
      ...sent,
      ...(change.ifMatch && { ifMatch: etag(before.version) }),
      ...(change.backTo !== undefined && { backTo: change.backTo }),
      expect,
    };
  }

  /** Several tenants at once; now and then with one that must not be, and then none of them. */
  #batch(key: string): Command {
    const ids = [...this.tenants.keys()].filter(() => this.#random.between(1, 2) === 1);
    const operations: object[] = [];
    const after = new Map<string, TenantModel>();
    let isRefused = false;
    for (const id of ids) {
      const before = this.#tenant(id);
      const change = before.present ? this.#patch(key, id) : this.#register(key, id);
      const spoilt = before.present && this.#random.between(1, 8) === 1;
      isRefused ||= spoilt;
      const version = before.version + (spoilt ? 1 : 0);
      operations.push({
        op: before.present ? 'update' : 'create',
        id,
        body: change.body,
        ...(before.present && { if_match: etag(version) }),
      });
      after.set(id, changed(before, change, key));
    }
    if (operations.length < 2) return this.#one(key, this.#anyTenant());
    const apply = (): void => {
      for (const [id, tenant] of after) this.tenants.set(id, tenant);
    };
    const expect = isRefused
      ? { status: 409, events: 0, apply: UNCHANGED }
      : { status: 200, events: operations.length, apply };
    return { key, method: 'POST', path: '/tenants:batch', body: { operations }, expect };
  }

  #changeDefaults(key: string): Command {
    const before = this.defaults ?? { version: 0, maxConnections: 0 };
    const maxConnections = 100 + before.version;
    const after = { version: before.version + 1, maxConnections };
    const apply = (): void => void (this.defaults = after);
    return {
      key,
      method: this.#random.between(0, 1) === 0 ? 'PATCH' : 'PUT',
      path: '/defaults',
      body: { max_connections: maxConnections },
      ifMatch: etag(before.version),
      expect: { status: 200, etag: etag(after.version), events: 1, apply },
    };
  }

  #changeApiKeys(key: string): Command {
    const live = this.apiKeys.findIndex(({ state }) => state === 'live');
    const oldest = this.apiKeys[live];
    if (oldest === undefined || this.apiKeys.length < API_KEYS_MAX) {
      const apply = (id: string): void => void this.apiKeys.push({ name: key, id, state: 'live' });
      const body = { name: key, scope: 'viewer' };
      const expect = { status: 201, events: 1, apply };
      return { key, method: 'POST', path: '/api-keys', body, expect };
    }
    const apply = (): void => void (this.apiKeys[live] = { ...oldest, state: 'revoked' });
    const expect = { status: 204, events: 1, apply };
    return { key, method: 'DELETE', path: `/api-keys/${oldest.id}`, ifMatch: etag(1), expect };
  }

  #choose(id: string, before: TenantModel, key: string): Change {
    if (!before.present) return this.#chooseForAbsent(id, before, key);
    const operation = before.state === 'active' ? 'pause' : 'resume';
    const state = before.state === 'active' ? 'paused' : 'active';
    const plain = { ifMatch: false, status: 200, method: 'POST' } as const;
    const known = before.past.filter(({ settings }) => settings !== undefined);
    const then = known[this.#random.between(0, Math.max(0, known.length - 1))];
    return this.#random.weighted<() => Change>([
      [30, () => this.#patch(key, id)],
      [10, () => ({ ...this.#register(key, id), method: 'PUT', ifMatch: true, status: 200 })],
      [8, () => ({ ...plain, op: operation, next: { state } })],
      [4, () => ({ ...plain, op: 'reconnect', next: {} })],
      [8, () => removal],
      [2, () => ({ ...this.#register(key, id), status: 409, next: {} })],
      [then === undefined ? 0 : 8, () => backTo(then?.key ?? '', then?.settings)],
    ])();
  }

  #chooseForAbsent(id: string, before: TenantModel, key: string): Change {
    const { settings, past } = before;
    const restored = { present: true, settings };
    return this.#random.weighted<() => Change>([
      [6, () => this.#register(key, id)],
      [1, () => ({ ...removal, ifMatch: false, status: 404, next: {} })],
      [
        past.length === 0 ? 0 : 4,
        () => ({ method: 'POST', op: 'restore', ifMatch: false, status: 200, next: restored }),
      ],
    ])();
  }

  #register(key: string, id: string): Change {
    const { present, state } = this.#tenant(id);
    const settings = { ...NOTHING.settings, host: `${key}.example`, port: this.#port() };
    const body = { ...written(settings), id, ...LOGIN };
    const next = { present: true, settings, state: present ? state : 'active' } as const;
    return { method: 'POST', op: '', body, ifMatch: false, status: 201, next };
  }

  #patch(key: string, id: string): Change {
    const { settings } = this.#tenant(id);
    const to = this.#random.weighted<Partial<Settings>>([
      [4, { host: `${key}.example` }],
      [2, { maxConnections: settings.maxConnections === 7 ? 8 : 7, host: `${key}.example` }],
      [2, { users: [`user-${key}`] }],
    ]);
    const next = { settings: { ...settings, ...to } };
    return { method: 'PATCH', op: '', body: written(to), ifMatch: true, status: 200, next };
  }

  #port(): number {
    return this.#random.between(1_024, 65_535);
  }

  #anyTenant(): string {
    return `${this.#name}-t${this.#random.between(0, TENANTS - 1)}`;
  }

  #tenant(id: string): TenantModel {
    return this.tenants.get(id) ?? NOTHING;
  }
}

const LOGIN = { db_type: 'postgres', dbname: 'd', username: 'u', password: 'p' };
const removal: Change = {
  method: 'DELETE',
  op: '',
  ifMatch: true,
  status: 204,
  next: { present: false },
};

function backTo(key: string, settings: Settings | undefined): Change {
  const body = { reason: 'by chance' };
  const next = settings === undefined ? {} : { settings };
  return { method: 'POST', op: 'rollback', body, ifMatch: false, status: 200, next, backTo: key };
}

/** After a change that is done; one that is refused, or leads to what is there, makes no event. */
function changed(before: TenantModel, { next, status, op }: Change, key: string): TenantModel {
  if (status >= 300) return before;
  const after = { ...before, ...next };
  if (op === 'rollback' && isSame(before.settings, after.settings)) return before;
  const settings = after.present ? after.settings : undefined;
  return { ...after, version: before.version + 1, past: [...before.past, { key, settings }] };
}

function isSame(one: Settings, other: Settings): boolean {
  return isDeepStrictEqual({ ...one }, { ...other });
}

function written({ host, port, maxConnections, users }: Partial<Settings>): object {
  return {
    ...(host !== undefined && { host }),
    ...(port !== undefined && { port }),
    ...(maxConnections !== undefined && { max_connections: maxConnections }),
    ...(users !== undefined && { users: users.length === 0 ? null : users.map(asUser) }),
  };
}

function asUser(name: string): object {
  return { name, password: 'u' };
}

function pathOf(id: string, op: string): string {
  return op === '' ? `/tenants/${id}` : `/tenants/${id}/${op}`;
}

function etag(version: number): string {
  return `"${version}"`;
}
