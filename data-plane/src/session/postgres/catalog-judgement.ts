/**
 * Whether a text leaves its server connection clean, by the text and by the catalog of the
 * database it runs in.
 * Owns: what is asked of the catalog for each kind of statement, and remembering the answer.
 * Leaves: reading texts to sql/, the facts to upstream/catalog/.
 */
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import type { Catalog } from '../../upstream/catalog/catalog.ts';
import { isHarmless } from '../../upstream/catalog/catalog-facts.ts';
import type { Access, CatalogFacts } from '../../upstream/catalog/catalog-facts.ts';
import type { TextEffects } from './sql/effects.ts';
import type { QueryFacts } from './sql/mentions.ts';
import type { Statement, WriteVerb } from './sql/statement.ts';

/** One answer a text: facts are replaced by others for all texts at once. */
const judged = new WeakMap<
  TextEffects,
  { readonly facts: CatalogFacts; readonly clean: boolean }
>();

/**
 * Whether nothing stays behind in the session once `effects` have happened; without a catalog, or
 * while it knows nothing, only what runs no query. Asks the catalog to keep its facts fresh if they
 * matter.
 */
export function leavesClean(effects: TextEffects, catalog: Catalog | undefined): boolean {
  if (effects.cleanliness === 'dirty') return false;
  const [statement] = effects.statements;
  if (statement === undefined) return false;
  if (effects.cleanliness === 'clean' && accessOf(statement) === 'none') return true;
  catalog?.refreshSoon();
  const facts = catalog?.current;
  if (facts === undefined) return false;
  const known = judged.get(effects);
  if (known?.facts === facts) return known.clean;
  const clean = judge(effects, statement, facts);
  judged.set(effects, { facts, clean });
  return clean;
}

/** Whether other facts may hold after these effects: something was defined, or may have been. */
export function mayDefine(effects: TextEffects): boolean {
  if (effects.statements.length === 0) return true;
  return effects.statements.some(
    ({ kind }) => DEFINING.has(kind) || (kind !== 'read' && UNFORESEEABLE.has(kind)),
  );
}

/** Whether others meet what was defined as soon as its transaction is over. */
export function defines({ statements }: TextEffects): boolean {
  return statements.some(({ kind }) => kind === 'ddl');
}

const DEFINING: ReadonlySet<Statement['kind']> = new Set(['do', 'call', 'execute', 'unknown']);

function judge(effects: TextEffects, statement: Statement, facts: CatalogFacts): boolean {
  const access = accessOf(statement);
  if (access === 'none' || access === 'unforeseeable') return false;
  const { relations, functions, types, operators, attributes } = effects;
  return isHarmless(facts, { access, relations, functions, types, operators, attributes });
}

/** Statements that run queries; the others are as clean as their text says. */
type QueryStatement = Extract<
  Statement,
  { kind: 'read' | 'locking_read' | 'declare_cursor' | 'copy' | 'write' }
>;

/**
 * Definitions and maintenance evaluate expressions that no list of names here has, and what follows
 * in the same transaction runs in another catalog than the one that is known.
 */
const UNFORESEEABLE: ReadonlySet<Statement['kind']> = new Set([
  'create_table_as',
  'create_temp',
  'ddl',
  'maintenance',
]);

function accessOf(statement: Statement): Access | 'none' | 'unforeseeable' {
  if (statement.kind === 'explain') return accessOf(statement.statement);
  if (isQuery(statement)) return accessOfQuery(statement);
  if (statement.kind === 'maintenance' && statement.verb === 'checkpoint') return 'none';
  return UNFORESEEABLE.has(statement.kind) ? 'unforeseeable' : 'none';
}

function isQuery(statement: Statement): statement is QueryStatement {
  return 'query' in statement;
}

function accessOfQuery(statement: QueryStatement): Access | 'unforeseeable' {
  switch (statement.kind) {
    case 'read':
    case 'locking_read':
    case 'declare_cursor':
      return 'read';
    case 'copy':
      return statement.direction === 'in' || statement.query.effect === 'writes'
        ? 'insert'
        : 'read';
    case 'write':
      return accessOfWrite(statement.verb, statement.query);
    default:
      return unreachable(statement);
  }
}

/**
 * UPDATE … SET id = DEFAULT takes the next value of a sequence as an INSERT does. TRUNCATE may
 * cascade to tables it does not name.
 */
function accessOfWrite(verb: WriteVerb, query: QueryFacts): Access | 'unforeseeable' {
  if (verb === 'truncate') return 'unforeseeable';
  const keepsDefaults = query.defaults === 'untouched';
  return keepsDefaults && (verb === 'update' || verb === 'delete') ? 'update' : 'insert';
}
