/**
 * Functions in FROM, and calls that look like columns of theirs: in
 * `SELECT g.pg_advisory_lock FROM generate_series(1, 9) AS g` the alias is the value of the
 * function, and what is no column of it is a function of that value. (Aliases of tables and
 * subqueries stand for rows; functions of rows are for the catalog to know.)
 * Owns: which attributes may be such calls; in doubt they are. Scopes are not told apart.
 * Source: PostgreSQL 18, src/backend/parser/parse_expr.c (transformColumnRef), parse_relation.c
 * (chooseScalarFunctionAlias), gram.y (func_table, func_alias_clause).
 */
import { KEYWORDS } from './keywords.ts';
import type { QualifiedName } from './names.ts';
import type { TokenWindow } from './token-window.ts';

/** Built-in functions with several columns: their values are rows. */
const ROW_FUNCTIONS: ReadonlySet<string> = new Set([
  'aclexplode',
  'json_each',
  'json_each_text',
  'jsonb_each',
  'jsonb_each_text',
]);
/** Those whose one column has a name of its own. */
const VALUE_FUNCTIONS: ReadonlySet<string> = new Set([
  'json_array_elements',
  'json_array_elements_text',
  'jsonb_array_elements',
  'jsonb_array_elements_text',
]);

export class FunctionItems {
  readonly #attributes: QualifiedName[] = [];
  /** The columns that every function of this alias has. */
  readonly #columns = new Map<string, Set<string>>();
  #aliases: 'known' | 'unknown' = 'known';

  /** A name with dots stands where a value is expected. */
  attribute(name: QualifiedName): void {
    this.#attributes.push(name);
  }

  /** What stands behind their last dots, each once. */
  get attributes(): readonly string[] {
    return [...new Set(this.#attributes.map((name) => name.at(-1) ?? ''))];
  }

  /** Something in FROM is computed, and what it is called is not known. */
  unknownAlias(): void {
    this.#aliases = 'unknown';
  }

  /** The window stands behind the closing parenthesis of a call of `callee`. */
  closed(window: TokenWindow, callee: string): void {
    if (ROW_FUNCTIONS.has(callee)) return;
    const ordinality = window.word() === 'with' && window.word(1) === 'ordinality';
    let ahead = ordinality ? 2 : 0;
    const as = window.word(ahead) === 'as';
    if (as) ahead += 1;
    const alias = isColumnName(window, ahead) ? window.token(ahead).text : callee;
    if (isColumnName(window, ahead)) ahead += 1;
    const columns = new Set(ordinality ? ['ordinality'] : []);
    if (window.sign(ahead) === '(') addColumns(window, ahead, columns);
    else columns.add(VALUE_FUNCTIONS.has(callee) ? 'value' : alias);
    const known = this.#columns.get(alias);
    this.#columns.set(alias, known === undefined ? columns : common(known, columns));
  }

  /** Names of functions that attributes may call. */
  get calls(): readonly QualifiedName[] {
    if (this.#aliases === 'known' && this.#columns.size === 0) return [];
    return this.#attributes.filter((name) => this.#mayCall(name)).map((name) => name.slice(-1));
  }

  /** Names of more parts are those of relations. */
  #mayCall([qualifier = '', name = '', ...more]: QualifiedName): boolean {
    if (more.length > 0) return false;
    return this.#aliases === 'unknown' || this.#columns.get(qualifier)?.has(name) === false;
  }
}

function common(a: Set<string>, b: Set<string>): Set<string> {
  return new Set([...a].filter((name) => b.has(name)));
}

/** ColId */
function isColumnName(window: TokenWindow, ahead: number): boolean {
  const token = window.token(ahead);
  if (token.kind === 'quoted') return true;
  const keyword = token.kind === 'word' ? KEYWORDS.get(token.text) : 'reserved';
  return keyword !== 'reserved' && keyword !== 'function_or_type';
}

function addColumns(window: TokenWindow, parenthesis: number, columns: Set<string>): void {
  let ahead = parenthesis;
  do {
    columns.add(window.token(ahead + 1).text);
    ahead += 2;
  } while (window.sign(ahead) === ',');
}
