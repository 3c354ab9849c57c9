/**
 * What one statement does to its session.
 * Owns: reasons to pin, what is clean, which settings change. Leaves: whole texts to effects.ts.
 */
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { isAscii } from './characters.ts';
import { functionEffect } from './functions.ts';
import type { QueryFacts } from './mentions.ts';
import { isTemporarySchema } from './names.ts';
import type {
  Setting,
  SettingScope,
  SettingStatement,
  Statement,
  TableSource,
} from './statement.ts';

/**
 * Why a client keeps its server connection from then on; logs and metrics use the same words.
 * - `unparsable`: the text is not understood, or longer than is read
 * - `session_authorization`: the session acts as another user
 * - `set_unparsable`: a parameter was set, but which is not certain
 * - `temp_object`, `hold_cursor`, `advisory_lock`, `sql_prepare`, `listen`, `load`: what the
 *   session now holds
 * - `random_seed`: the session's random numbers follow from a seed of its own
 * - `set`: more parameters are set than are carried from one server connection to the next; never
 *   from a text
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
  | 'random_seed'
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
  /** Parameters with values that the text does not tell, in lower case: the server knows them. */
  readonly unsure: readonly string[];
  /** Parameters that it sets, be it for the transaction only; `any` when some are not certain. */
  readonly touches: readonly string[] | 'any';
  /** Parameters that have their defaults until the transaction ends. */
  readonly localDefaults: readonly string[];
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
    case 'listen':
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

const NOTHING: readonly never[] = Object.freeze([]);
const NO_SETTINGS = Object.freeze({
  settings: NOTHING,
  unsure: NOTHING,
  touches: NOTHING,
  localDefaults: NOTHING,
});
const CLEAN = effects('clean');
const CATALOG_DEPENDENT = effects('catalog_dependent');
const DIRTY = effects('dirty');

function effects(cleanliness: Cleanliness): StatementEffects {
  return Object.freeze({ ...NO_SETTINGS, pin: undefined, cleanliness });
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

/** The first stays, but `set` gives way to every other. */
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
      case 'reads_session':
      case 'transactional':
      case 'set_config':
        break;
      case 'advisory_lock':
        pin = strongest(pin, 'advisory_lock');
        cleanliness = 'dirty';
        break;
      case 'seed':
        pin = strongest(pin, 'random_seed');
        cleanliness = 'dirty';
        break;
      case 'sequence':
      case 'unknown':
        cleanliness = 'dirty';
        break;
    }
  }
  const { setConfig, configures, mayConfigure } = query;
  const effects = { ...NO_SETTINGS, pin, cleanliness, touches: mayConfigure };
  if (setConfig === 'session') return { ...effects, cleanliness: 'dirty' };
  return setConfig === 'named' ? unsureOf(configures, effects) : effects;
}

/** Their values are asked of the server, but for those that no value brings back. */
function unsureOf(names: readonly string[], effects: StatementEffects): StatementEffects {
  const pin = names.map(pinOfName).reduce(strongest, effects.pin);
  const unsure = [...effects.unsure, ...names.filter((name) => pinOfName(name) === undefined)];
  return { ...effects, pin, unsure };
}

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
  return mode === 'execute' ? effects : { ...effects, ...NO_SETTINGS, pin: undefined };
}

// ---- settings ----

/** What no value brings back in another session. */
function pinOfName(name: string): PinReason | undefined {
  if (name === 'session_authorization') return name;
  return name === 'seed' ? 'random_seed' : undefined;
}

function settingEffects(statement: SettingStatement): StatementEffects {
  switch (statement.kind) {
    case 'set':
      return setEffects(statement.scope, statement.settings);
    case 'set_unparsable':
      return unparsableSet(statement);
    case 'reset':
      return settingOnly({ kind: 'set', name: statement.name, value: undefined }, [statement.name]);
    case 'reset_all':
      return settingOnly({ kind: 'reset_all' }, 'any');
    case 'discard':
      return statement.what === 'all' ? settingOnly({ kind: 'discard_all' }, 'any') : CLEAN;
    case 'show':
      return CLEAN;
    default:
      return unreachable(statement);
  }
}

function settingOnly(change: SettingChange, touches: readonly string[] | 'any'): StatementEffects {
  return { ...CLEAN, settings: [change], touches };
}

function setEffects(scope: SettingScope, settings: readonly Setting[]): StatementEffects {
  const touches = settings.map(({ name }) => name);
  if (scope === 'local') {
    const defaults = settings.filter(({ value }) => value === undefined);
    return { ...CLEAN, touches, localDefaults: defaults.map(({ name }) => name) };
  }
  // How the server stores characters beyond ASCII is for the server to say.
  const isUnsure = settings.some(({ value }) => value !== undefined && !isAscii(value));
  if (isUnsure) return unsureOf(touches, { ...CLEAN, touches });
  const changes = settings.map((setting) => ({ kind: 'set' as const, ...setting }));
  const pin = settings.map(pinOfSetting).reduce(strongest, undefined);
  return { ...CLEAN, pin, settings: changes, touches };
}

function unparsableSet({
  scope,
  name,
}: Extract<SettingStatement, { kind: 'set_unparsable' }>): StatementEffects {
  if (name === undefined) {
    const effects = { ...DIRTY, touches: 'any' as const };
    return scope === 'local' ? { ...CLEAN, touches: 'any' } : pinned('set_unparsable', effects);
  }
  const effects = { ...CLEAN, touches: [name] };
  return scope === 'local' ? effects : unsureOf([name], effects);
}

function pinOfSetting({ name, value }: Setting): PinReason | undefined {
  if (value === undefined) return undefined;
  // With the temporary schema in front, whatever is created later is temporary.
  if (name === 'search_path' && namesTemporarySchema(value)) return 'temp_object';
  return pinOfName(name);
}

/** Whether a search_path lets temporary objects be made without the word. */
export function namesTemporarySchema(path: string): boolean {
  return path
    .split(',')
    .some((item) => isTemporarySchema(item.trim().replaceAll('"', '').toLowerCase()));
}
