/**
 * What one statement does to its session.
 * Owns: reasons to pin, what is clean, which settings change. Leaves: whole texts to effects.ts.
 */
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { functionEffect } from './functions.ts';
import type { QueryFacts } from './mentions.ts';
import { isTemporarySchema } from './names.ts';
import type { Setting, SettingStatement, Statement, TableSource } from './statement.ts';

/**
 * Why a client keeps its server connection from then on; logs and metrics use the same words.
 * - `unparsable`: the text is not understood, or longer than is read
 * - `session_authorization`: the session acts as another user
 * - `set_unparsable`: a parameter was set, but which or to what is not certain
 * - `temp_object`, `hold_cursor`, `advisory_lock`, `sql_prepare`, `listen`, `load`: what the
 *   session now holds
 * - `set`: a parameter was set. Given only where no other reason is: who replays `settings` on the
 *   next backend need not pin for it
 * - `named_statement`, `unnamed_statement`, `replication`: never from a text; statements of the
 *   extended protocol, and a replication connection
 */
export type PinReason =
  | 'unparsable'
  | 'session_authorization'
  | 'set_unparsable'
  | 'temp_object'
  | 'hold_cursor'
  | 'advisory_lock'
  | 'sql_prepare'
  | 'listen'
  | 'load'
  | 'set'
  | 'named_statement'
  | 'unnamed_statement'
  | 'replication';

/**
 * - `clean`: nothing stays behind but what `pin` and `settings` say, taking the names of built-in
 *   functions, types and operators for the built-in ones
 * - `catalog_dependent`: clean if moreover the relations are plain tables without triggers, rules,
 *   policies or defaults that call functions, the types are no domains with checks, and no event
 *   trigger watches definitions
 * - `dirty`: not known to leave the session as it was
 */
export type Cleanliness = 'clean' | 'catalog_dependent' | 'dirty';

/** A change of session parameters that outlives the transaction. */
export type SettingChange =
  /** `value` is undefined for the session's default. */
  | ({ readonly kind: 'set' } & Setting)
  /** All but role and session_authorization. */
  | { readonly kind: 'reset_all' }
  /** DISCARD ALL: those too, and everything else that the session holds. */
  | { readonly kind: 'discard_all' };

export interface StatementEffects {
  readonly pin: PinReason | undefined;
  readonly cleanliness: Cleanliness;
  readonly settings: readonly SettingChange[];
}

export function statementEffects(statement: Statement): StatementEffects {
  switch (statement.kind) {
    case 'set':
    case 'set_unparsable':
    case 'reset':
    case 'reset_all':
    case 'discard':
    case 'show':
      return settingEffects(statement);
    case 'read':
    case 'locking_read':
      return queryEffects(statement.query);
    case 'write':
      return writeEffects(statement.query);
    case 'copy':
      return atLeast('catalog_dependent', queryEffects(statement.query));
    case 'create_table_as':
      return atLeast('catalog_dependent', sourceEffects(statement.source));
    case 'create_temp': {
      const effects = atLeast('catalog_dependent', sourceEffects(statement.source));
      return statement.lifetime === 'session' ? pinned('temp_object', effects) : effects;
    }
    case 'declare_cursor': {
      const effects = queryEffects(statement.query);
      return statement.hold === 'with_hold' ? pinned('hold_cursor', effects) : effects;
    }
    case 'explain':
      return explainEffects(statement.mode, statement.statement);
    // What it would run is assessed at EXECUTE, which only names it and so is always dirty.
    case 'prepare':
      return pinned('sql_prepare', CLEAN);
    case 'ddl':
      return statement.object === 'extension' ? DIRTY : CATALOG_DEPENDENT;
    case 'maintenance':
      return statement.verb === 'checkpoint' ? CLEAN : CATALOG_DEPENDENT;
    case 'listen':
      return pinned('listen', CLEAN);
    case 'load':
      return pinned('load', DIRTY);
    case 'do':
    case 'call':
    case 'execute':
      return DIRTY;
    case 'unknown':
      return pinned('unparsable', DIRTY);
    case 'begin':
    case 'commit':
    case 'rollback':
    case 'savepoint':
    case 'release':
    case 'rollback_to':
    case 'prepare_transaction':
    case 'commit_prepared':
    case 'rollback_prepared':
    case 'set_transaction':
    case 'set_transaction_snapshot':
    case 'set_constraints':
    case 'deallocate':
    case 'unlisten':
    case 'notify':
    case 'fetch':
    case 'move':
    case 'close':
    case 'lock_table':
    case 'empty':
      return CLEAN;
    default:
      return unreachable(statement);
  }
}

const CLEAN = effects('clean');
const CATALOG_DEPENDENT = effects('catalog_dependent');
const DIRTY = effects('dirty');

function effects(cleanliness: Cleanliness): StatementEffects {
  return Object.freeze({ pin: undefined, cleanliness, settings: Object.freeze([]) });
}

function pinned(pin: PinReason, effects: StatementEffects): StatementEffects {
  return { ...effects, pin: strongest(effects.pin, pin) };
}

function atLeast(cleanliness: Cleanliness, effects: StatementEffects): StatementEffects {
  return { ...effects, cleanliness: worse(effects.cleanliness, cleanliness) };
}

function worse(a: Cleanliness, b: Cleanliness): Cleanliness {
  if (a === 'dirty' || b === 'dirty') return 'dirty';
  return a === 'clean' ? b : a;
}

/** `set` gives way to every other reason; else the first stays. */
export function strongest(
  a: PinReason | undefined,
  b: PinReason | undefined,
): PinReason | undefined {
  return a === undefined || (a === 'set' && b !== undefined) ? b : a;
}

// ---- queries ----

function queryEffects(query: QueryFacts): StatementEffects {
  let cleanliness: Cleanliness = dependsOnCatalog(query) ? 'catalog_dependent' : 'clean';
  let pin: PinReason | undefined = query.setConfig === 'session' ? 'set_unparsable' : undefined;
  for (const name of query.functions) {
    switch (functionEffect(name)) {
      case 'reads':
      case 'transactional':
      case 'set_config':
        break;
      case 'advisory_lock':
        pin = strongest(pin, 'advisory_lock');
        cleanliness = 'dirty';
        break;
      case 'sequence':
      case 'unknown':
        cleanliness = 'dirty';
        break;
    }
  }
  if (query.setConfig === 'session') cleanliness = 'dirty';
  return { pin, cleanliness, settings: NO_SETTINGS };
}

const NO_SETTINGS: readonly SettingChange[] = Object.freeze([]);

/** What is written with the schema pg_catalog is the server's own. */
function dependsOnCatalog(query: QueryFacts): boolean {
  return query.types.length > 0 || query.relations.some((name) => name[0] !== 'pg_catalog');
}

/** The rule on the view pg_settings turns an UPDATE into set_config(). */
function writeEffects(query: QueryFacts): StatementEffects {
  const effects = atLeast('catalog_dependent', queryEffects(query));
  const setsParameters = query.relations.some((name) => name.at(-1) === 'pg_settings');
  return setsParameters ? pinned('set_unparsable', atLeast('dirty', effects)) : effects;
}

function sourceEffects(source: TableSource | 'nothing'): StatementEffects {
  if (source === 'nothing') return CLEAN;
  return source === 'execute' ? DIRTY : queryEffects(source);
}

/** Without ANALYZE only the planner runs, which evaluates immutable functions at most. */
function explainEffects(mode: 'plan' | 'execute', statement: Statement): StatementEffects {
  const effects = statementEffects(statement);
  return mode === 'execute' ? effects : { ...effects, pin: undefined };
}

// ---- settings ----

/** Not to be set to a value that was read back, or of no use to another session. */
const UNREPEATABLE: ReadonlySet<string> = new Set(['seed', 'transaction_snapshot']);

function settingEffects(statement: SettingStatement): StatementEffects {
  switch (statement.kind) {
    case 'set':
      return statement.scope === 'local' ? CLEAN : sessionSet(statement.settings);
    case 'set_unparsable':
      return statement.scope === 'local' ? CLEAN : pinned('set_unparsable', DIRTY);
    // The backend's own default may differ from what its client started with.
    case 'reset':
      return { ...DIRTY, settings: [{ kind: 'set', name: statement.name, value: undefined }] };
    case 'reset_all':
      return { ...DIRTY, settings: [{ kind: 'reset_all' }] };
    case 'discard':
      return statement.what === 'all' ? { ...DIRTY, settings: [{ kind: 'discard_all' }] } : CLEAN;
    case 'show':
      return CLEAN;
    default:
      return unreachable(statement);
  }
}

function sessionSet(settings: readonly Setting[]): StatementEffects {
  const changes = settings.map((setting) => ({ kind: 'set' as const, ...setting }));
  const pin = settings.map(pinOf).reduce(strongest, undefined);
  const resets = settings.some((setting) => setting.value === undefined);
  return { pin, cleanliness: resets ? 'dirty' : 'clean', settings: changes };
}

function pinOf({ name, value }: Setting): PinReason | undefined {
  if (value === undefined) return undefined;
  if (name === 'session_authorization') return name;
  if (UNREPEATABLE.has(name)) return 'set_unparsable';
  // With the temporary schema in front, whatever is created later is temporary.
  if (name === 'search_path' && namesTemporarySchema(value)) return 'temp_object';
  return 'set';
}

function namesTemporarySchema(path: string): boolean {
  return path
    .split(',')
    .some((item) => isTemporarySchema(item.trim().replaceAll('"', '').toLowerCase()));
}
