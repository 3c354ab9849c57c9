/**
 * One transaction from the inside: handles commands and remembers what was there before them, so
 * that the difference they make can be told before it is kept.
 * Leaves: opening, keeping and undoing the transaction to command-queue.ts.
 */
import { NO_SERVERS } from '@dbbouncer/shared/contract/database-servers.ts';
import type { DeclaredServers } from '@dbbouncer/shared/contract/database-servers.ts';
import type { RoutingConfig, TenantConfig } from '@dbbouncer/shared/contract/routing-config.ts';
import { PackedMap } from '@dbbouncer/shared/kernel/packed-map.ts';
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';
import type { ApiKeyCommand } from '../domain/api-key/commands.ts';
import type { SetDefaults } from '../domain/defaults/commands.ts';
import { isServerCommand } from '../domain/server/commands.ts';
import type { ServerCommand } from '../domain/server/commands.ts';
import { tenantIdOf } from '../domain/tenant/commands.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import { changesFor, declaredIn, foldRouting } from '../projections/routing.ts';
import type { ApiKeyReader } from '../store/api-keys.ts';
import type { EventMeta, StoredEvent } from '../store/event.ts';
import type { EventStore } from '../store/event-store.ts';
import type { AnswerBook } from '../store/kept-answers.ts';
import type { TenantReader } from '../store/read-models.ts';
import type {
  AnyResult,
  ApiKeyResult,
  Command,
  ConfigCommand,
  ConfigResult,
  DefaultsResult,
  Expectation,
  ServerResult,
  TenantResult,
  WorkChanges,
  WorkScope,
} from './commands.ts';
import { handleCommand } from './handle-command.ts';
import { rollBackConfig } from './roll-back-config.ts';
import type { ConfigRollback, RollBackConfig } from './roll-back-config.ts';

export class TransactionScope implements WorkScope {
  readonly #store: EventStore;
  readonly #before: Omit<RoutingConfig, 'tenants' | 'servers'>;
  /** All declared servers as they were, once one of them was touched. */
  #serversBefore: DeclaredServers | undefined;
  /** The tenants that were touched, as they were; nothing for those that were not there. */
  readonly #tenantsBefore = new Map<string, TenantConfig | undefined>();
  readonly #events: StoredEvent[] = [];

  constructor(store: EventStore) {
    this.#store = store;
    const { defaults } = store.getDefaults();
    this.#before = { epoch: store.epoch, position: store.head(), defaults };
  }

  get tenants(): TenantReader {
    return this.#store;
  }

  get apiKeys(): ApiKeyReader {
    return this.#store.apiKeys;
  }

  get events(): readonly StoredEvent[] {
    return this.#events;
  }

  get answers(): AnswerBook {
    return this.#store.answers;
  }

  handle(command: TenantCommand, meta: EventMeta & Expectation): TenantResult;
  handle(command: SetDefaults, meta: EventMeta & Expectation): DefaultsResult;
  handle(command: ServerCommand, meta: EventMeta & Expectation): ServerResult;
  handle(command: ApiKeyCommand, meta: EventMeta & Expectation): ApiKeyResult;
  handle(command: ConfigCommand, meta: EventMeta & Expectation): ConfigResult;
  handle(command: Command, meta: EventMeta & Expectation): AnyResult {
    if (isTenantCommand(command)) this.#remember(tenantIdOf(command));
    if (isServerCommand(command)) this.#serversBefore ??= declaredIn(this.#store);
    const result = handleCommand(this.#store, command, meta);
    this.#events.push(...result.events);
    return result;
  }

  rollBackConfig(request: RollBackConfig, meta: EventMeta): ConfigRollback {
    // Going back is for when things are bad: what is being tried goes first.
    const how = { ...meta, whileCanary: 'end' } as const;
    const handle = (command: ConfigCommand) => this.handle(command, how).events;
    return rollBackConfig(this.#store, request, handle);
  }

  changes(): WorkChanges {
    const before = {
      ...this.#before,
      servers: this.#serversBefore ?? NO_SERVERS,
      tenants: PackedMap.from(registered(this.#tenantsBefore)),
    };
    const after = foldRouting(before, this.#events);
    return { events: [...this.#events], delta: changesFor(before, after) };
  }

  #remember(id: string): void {
    const key = tenantKey(id);
    if (this.#tenantsBefore.has(key)) return;
    this.#tenantsBefore.set(key, this.#store.getTenant(id)?.config);
  }
}

function* registered(
  tenants: ReadonlyMap<string, TenantConfig | undefined>,
): Iterable<readonly [string, TenantConfig]> {
  for (const [key, tenant] of tenants) if (tenant !== undefined) yield [key, tenant];
}

function isTenantCommand(command: Command): command is TenantCommand {
  const { kind } = command;
  return kind !== 'set_defaults' && !isServerCommand(command) && !kind.endsWith('_api_key');
}
