/**
 * Whether a text leaves its server connection clean, by the text and by the catalog of the database it runs in.
 * Owns: what is asked of the catalog for each kind of statement, and remembering the answer. Leaves: reading texts to
 * sql/, the facts to upstream/catalog/.
 */
import type { Catalog } from '../../upstream/catalog/catalog.ts';
import { isHarmless } from '../../upstream/catalog/catalog-facts.ts';
import type { Access, CatalogFacts } from '../../upstream/catalog/catalog-facts.ts';
import type { TextEffects } from './sql/effects.ts';
import type { QueryFacts } from './sql/mentions.ts';
import type { Statement } from './sql/statement.ts';

/** One answer a text: facts are replaced by others for all texts at once. */
const judged = new WeakMap<
  TextEffects,
  { readonly facts: CatalogFacts; readonly clean: boolean }
>();

/**
 * Whether nothing stays behind in the session once `effects` have happened; without a catalog, or while it knows
 * nothing, only what is clean in any database. Asks the catalog to keep its facts fresh if they matter.
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

function judge(effects: TextEffects, statement: Statement, facts: CatalogFacts): boolean {
  const access = accessOf(statement);
  if (access === 'none' || access === 'unforeseeable') return false;
  const { relations, functions, types } = effects;
  return isHarmless(facts, { access, relations, functions, types });
}

/**
 * What a statement does to the relations it mentions; `none` when it runs no query.
 * Definitions and maintenance are unforeseeable: they evaluate expressions that no list here names, and what follows in
 * the same transaction runs in another catalog than the one that is known. So is TRUNCATE, which may cascade.
 */
function accessOf(statement: Statement): Access | 'none' | 'unforeseeable' {
  switch (statement.kind) {
    case 'read':
    case 'locking_read':
    case 'declare_cursor':
      return 'read';
    case 'copy':
      return statement.direction === 'in' ? 'insert' : accessOfQuery(statement.query);
    case 'write':
      if (statement.verb === 'truncate') return 'unforeseeable';
      return statement.verb === 'update' || statement.verb === 'delete'
        ? accessOfWrite(statement.query)
        : 'insert';
    case 'explain':
      return accessOf(statement.statement);
    case 'create_table_as':
    case 'create_temp':
    case 'ddl':
      return 'unforeseeable';
    case 'maintenance':
      return statement.verb === 'checkpoint' ? 'none' : 'unforeseeable';
    default:
      return 'none';
  }
}

function accessOfQuery(query: QueryFacts): Access {
  return query.effect === 'writes' ? 'insert' : 'read';
}

/** UPDATE … SET id = DEFAULT takes the next value of a sequence as an INSERT does. */
function accessOfWrite(query: QueryFacts): Access {
  return query.defaults === 'asked' ? 'insert' : 'update';
}
