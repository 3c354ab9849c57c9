/**
 * What a statement is, as far as a session's state is concerned: one closed union. A statement is
 * known only when all of it that matters was understood; `unknown` is everything else.
 */
import type { QueryFacts } from './mentions.ts';

export type Isolation = 'read_uncommitted' | 'read_committed' | 'repeatable_read' | 'serializable';

/** What was written; nothing means the session's default. Of contradicting ones the last counts. */
export interface TransactionModes {
  readonly isolation?: Isolation;
  readonly access?: 'read_only' | 'read_write';
  readonly deferrable?: 'deferrable' | 'not_deferrable';
}

export type SettingScope = 'session' | 'local';

export interface Setting {
  /** The parameter's name in lower case, as in pg_settings; custom ones with their dots. */
  readonly name: string;
  /**
   * The value as set_config() and the startup packet take it (lists are one text with commas, names
   * quoted where the server does); undefined for DEFAULT, which is a RESET.
   */
  readonly value: string | undefined;
}

export type DiscardTarget = 'all' | 'plans' | 'sequences' | 'temp';

/** `every`: DEALLOCATE ALL, CLOSE ALL, UNLISTEN *. */
export type Target = { readonly name: string } | 'every';

export type WriteVerb = 'insert' | 'update' | 'delete' | 'merge' | 'truncate' | 'with';

/** What fills a table that is made: a query, or a prepared statement. */
export type TableSource = QueryFacts | 'execute';

export type CopyEndpoint = 'client' | 'file' | 'program';

export type TransactionStatement =
  | ({ readonly kind: 'begin' } & TransactionModes)
  | { readonly kind: 'commit'; readonly chain: 'chain' | 'no_chain' }
  | { readonly kind: 'rollback'; readonly chain: 'chain' | 'no_chain' }
  | { readonly kind: 'savepoint'; readonly name: string }
  | { readonly kind: 'release'; readonly name: string }
  | { readonly kind: 'rollback_to'; readonly name: string }
  | { readonly kind: 'prepare_transaction' }
  | { readonly kind: 'commit_prepared' }
  | { readonly kind: 'rollback_prepared' }
  /** Ends with the transaction, as SET LOCAL does. */
  | ({ readonly kind: 'set_transaction' } & TransactionModes)
  | { readonly kind: 'set_transaction_snapshot' }
  | { readonly kind: 'set_constraints' };

export type SettingStatement =
  /** More than one setting only for SET SESSION CHARACTERISTICS. */
  | {
      readonly kind: 'set';
      readonly scope: SettingScope;
      readonly settings: readonly Setting[];
    }
  /** A SET of which the value is not certain, or even the name. */
  | {
      readonly kind: 'set_unparsable';
      readonly scope: SettingScope;
      readonly name: string | undefined;
    }
  | { readonly kind: 'reset'; readonly name: string }
  /** Leaves role, session_authorization and the parameters of the transaction as they are. */
  | { readonly kind: 'reset_all' }
  | { readonly kind: 'show'; readonly name: string }
  | { readonly kind: 'discard'; readonly what: DiscardTarget };

export type SessionStatement =
  | { readonly kind: 'prepare'; readonly name: string; readonly statement: Statement }
  | { readonly kind: 'execute'; readonly name: string }
  | { readonly kind: 'deallocate'; readonly target: Target }
  | { readonly kind: 'listen'; readonly channel: string }
  | { readonly kind: 'unlisten'; readonly target: Target }
  | { readonly kind: 'notify'; readonly channel: string }
  | {
      readonly kind: 'declare_cursor';
      readonly name: string;
      readonly hold: 'with_hold' | 'without_hold';
      readonly query: QueryFacts;
    }
  | { readonly kind: 'fetch' }
  | { readonly kind: 'move' }
  | { readonly kind: 'close'; readonly target: Target }
  | { readonly kind: 'lock_table' }
  | { readonly kind: 'load' }
  | { readonly kind: 'do' }
  | { readonly kind: 'call' };

export type DataStatement =
  /** SELECT, VALUES, TABLE, or WITH over only those; not INTO, no row locks. */
  | { readonly kind: 'read'; readonly query: QueryFacts }
  /** SELECT … FOR UPDATE and its kin. */
  | { readonly kind: 'locking_read'; readonly query: QueryFacts }
  /** `with`: a SELECT whose WITH writes. */
  | { readonly kind: 'write'; readonly verb: WriteVerb; readonly query: QueryFacts }
  | {
      readonly kind: 'copy';
      readonly direction: 'in' | 'out';
      readonly endpoint: CopyEndpoint;
      readonly query: QueryFacts;
    }
  | {
      readonly kind: 'explain';
      readonly mode: 'plan' | 'execute';
      readonly statement: Statement;
    };

export type DefinitionStatement =
  /** CREATE TABLE AS, CREATE MATERIALIZED VIEW AS and SELECT INTO. */
  | { readonly kind: 'create_table_as'; readonly source: TableSource }
  /** Any object in the session's temporary schema; `transaction` is ON COMMIT DROP. */
  | {
      readonly kind: 'create_temp';
      readonly lifetime: 'session' | 'transaction';
      readonly source: TableSource | 'nothing';
    }
  /** `object` is the word behind the verb: "table", "function"; empty when there is none. */
  | { readonly kind: 'ddl'; readonly verb: string; readonly object: string }
  /** VACUUM, ANALYZE, CLUSTER, REINDEX, REFRESH, CHECKPOINT. */
  | { readonly kind: 'maintenance'; readonly verb: string };

export type Statement =
  | TransactionStatement
  | SettingStatement
  | SessionStatement
  | DataStatement
  | DefinitionStatement
  /** A text without a statement. */
  | { readonly kind: 'empty' }
  | { readonly kind: 'unknown' };

export type StatementKind = Statement['kind'];
