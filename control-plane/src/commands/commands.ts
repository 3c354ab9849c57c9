/**
 * The front of the write side: what api/ and the config file watcher call, and what they get back.
 */
import type { ConfigDelta } from '@dbbouncer/shared/contract/config-delta.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import type { ApiKeyCommand } from '../domain/api-key/commands.ts';
import type { SetDefaults } from '../domain/defaults/commands.ts';
import type { ServerCommand } from '../domain/server/commands.ts';
import type { TenantCommand } from '../domain/tenant/commands.ts';
import type { ApiKeyReader, ApiKeyView } from '../store/api-keys.ts';
import type { EventMeta, StoredEvent } from '../store/event.ts';
import type { AnswerBook } from '../store/kept-answers.ts';
import type { DefaultsView, TenantReader, TenantView } from '../store/read-models.ts';
import type { ServerView } from '../store/servers.ts';
import type { ConfigRollback, RollBackConfig } from './roll-back-config.ts';

/** What changes the config of proxies. */
export type ConfigCommand = TenantCommand | SetDefaults | ServerCommand;
export type Command = ConfigCommand | ApiKeyCommand;

/** `dry_run` decides and answers as if, and keeps nothing. */
export type CommandMode = 'commit' | 'dry_run';

export interface Expectation {
  /** The version the sender saw (If-Match); without it the command applies to whatever is there. */
  readonly expectedVersion?: number | undefined;
  /**
   * When a change of the tenant is being tried: `end`: it is rolled back before this one is made.
   * Default: `refuse`.
   */
  readonly whileCanary?: 'refuse' | 'end' | undefined;
}

export interface CommandMeta extends EventMeta, Expectation {
  /** Default: `commit`. */
  readonly mode?: CommandMode | undefined;
}

export interface CommandResult<View> {
  /** Version of the stream afterwards; the new ETag. */
  readonly version: number;
  /** Position of the last event of the stream: proxies that applied it know of this command. */
  readonly position: Position;
  readonly view: View;
  /** What the command caused; empty when it changed nothing. */
  readonly events: readonly StoredEvent[];
}

/** The view is absent after a removal. */
export type TenantResult = CommandResult<TenantView | undefined>;
export type DefaultsResult = CommandResult<DefaultsView>;
/** The view is absent after a removal. */
export type ServerResult = CommandResult<ServerView | undefined>;
export type ApiKeyResult = CommandResult<ApiKeyView>;

/** What changes the config of proxies has come to. */
export type ConfigResult = TenantResult | DefaultsResult | ServerResult;
export type AnyResult = ConfigResult | ApiKeyResult;

/** One transaction from the inside; of no use once it is over. */
export interface WorkScope {
  /** As of now: with what this transaction has done so far. */
  readonly tenants: TenantReader;
  readonly apiKeys: ApiKeyReader;
  /** What writes of before were answered; what is kept here is undone with the transaction. */
  readonly answers: AnswerBook;
  /**
   * What was done so far, and the difference it makes to proxies. Asked for, it folds the events:
   * cheap for hundreds of them.
   */
  changes(): WorkChanges;
  /** What was written so far. */
  readonly events: readonly StoredEvent[];
  /** A refused command leaves nothing behind, and the transaction can go on. @throws its refusal */
  handle(command: TenantCommand, meta: EventMeta & Expectation): TenantResult;
  handle(command: SetDefaults, meta: EventMeta & Expectation): DefaultsResult;
  handle(command: ServerCommand, meta: EventMeta & Expectation): ServerResult;
  handle(command: ApiKeyCommand, meta: EventMeta & Expectation): ApiKeyResult;
  handle(command: ConfigCommand, meta: EventMeta & Expectation): ConfigResult;
  /** Tenants, servers and defaults as they were. @throws as `rollBackConfig` */
  rollBackConfig(request: RollBackConfig, meta: EventMeta): ConfigRollback;
}

export interface WorkChanges {
  readonly events: readonly StoredEvent[];
  readonly delta: ConfigDelta;
}

export interface Commands {
  /**
   * Resolves when the change is on disk and visible to reads. Commands take effect in the order of
   * the calls.
   * @throws TENANT_NOT_FOUND, TENANT_EXISTS, TENANT_PROTOCOL_FIXED, TENANT_BEING_DRAINED,
   * TENANT_ABSENT_THEN, CANARY_RUNNING, CANARY_NOT_RUNNING, VALIDATION_FAILED, VERSION_CONFLICT:
   * nothing changed.
   * @throws STORE_BUSY, STORE_READ_ONLY, STORE_CLOSED: nothing changed; STORE_OUTCOME_UNKNOWN.
   */
  handle(command: TenantCommand, meta: CommandMeta): Promise<TenantResult>;
  handle(command: SetDefaults, meta: CommandMeta): Promise<DefaultsResult>;
  /** @throws SERVER_NOT_FOUND, SERVER_ADDRESS_TAKEN, SERVERS_FULL as well */
  handle(command: ServerCommand, meta: CommandMeta): Promise<ServerResult>;
  /** @throws API_KEY_NOT_FOUND, API_KEY_EXISTS, API_KEY_REVOKED, API_KEYS_FULL as well */
  handle(command: ApiKeyCommand, meta: CommandMeta): Promise<ApiKeyResult>;
  /**
   * All of them in one transaction, or none: the first refusal is thrown and nothing has changed.
   * Each sees what those before it did. Blocks the process while it works: several thousand
   * commands a second.
   */
  handleAll(
    commands: readonly Command[],
    meta: Omit<CommandMeta, 'expectedVersion'>,
  ): Promise<readonly AnyResult[]>;
  /**
   * Runs `work` in one transaction, in its turn: kept when it returns, undone as a whole when it
   * throws. Resolves with what it returned when that is on disk. `work` sees the log as all
   * commands before it have left it; it must be synchronous and short.
   * @throws what `work` throws; STORE_BUSY, STORE_READ_ONLY, STORE_CLOSED: nothing changed;
   * STORE_OUTCOME_UNKNOWN.
   */
  perform<T>(work: (scope: WorkScope) => T, mode?: CommandMode): Promise<T>;
}
