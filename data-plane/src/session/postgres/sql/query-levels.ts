/**
 * The parentheses and brackets a reader of a query is inside of, what is expected in each, and the
 * CTEs visible there.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (with_clause), and manual, "WITH Queries"
 * (visibility).
 */
import type { TokenWindow } from './token-window.ts';

/** What a pair of parentheses is for, as far as it matters inside. */
export type Opener = 'plain' | 'call' | 'from_syntax' | 'cte_body' | 'grouping_sets' | 'brackets';

/** Whether the parentheses, with what stands before them, are a whole item of FROM. */
export type Place = 'item' | 'part';

/** How far the list of a WITH is read; `after` a body another CTE may follow, or the query. */
type WithState = 'none' | 'name' | 'as' | 'body' | 'after';

export interface Level {
  readonly opener: Opener;
  /** The function or construct that the parentheses belong to; empty when there is none. */
  readonly callee: string;
  readonly place: Place;
  /** Commas of a FROM list bring another relation; in GROUP BY "cube" is no function. */
  clause: 'none' | 'from' | 'group';
  /**
   * The next name is a relation, or the target of a write, which parentheses do not make a call.
   */
  expects: 'nothing' | 'relation' | 'target';
  /** Joins whose condition has not come yet. */
  joins: number;
  /** The last ON was that of a join. */
  joinCondition: boolean;
  /** CASE expressions not yet ended. */
  cases: number;
  /** The write that this level is: insert, update, delete or merge; empty for none. */
  verb: string;
  withState: WithState;
  withRecursive: boolean;
  /** The CTE that is being read. */
  cte: string;
  /** Those declared here that can be seen from here on. */
  ctes: string[] | undefined;
  /**
   * How many of them come before the verb of a write: an INSERT's own clauses do not see those of
   * its query.
   */
  ctesBeforeVerb: number;
}

const QUERY_WORDS: ReadonlySet<string> = new Set(['select', 'table', 'values']);

export class QueryLevels {
  readonly #outer: Level[] = [];
  /** How many CTEs of each name can be seen from here. */
  readonly #visible = new Map<string, number>();
  #current: Level = levelOf('plain', '', 'part');

  get current(): Level {
    return this.#current;
  }

  enter(opener: Opener, callee: string, place: Place = 'part'): void {
    const outer = this.#current;
    const level = levelOf(outer.withState === 'body' ? 'cte_body' : opener, callee, place);
    if (outer.expects === 'relation' && level.opener === 'plain') {
      level.clause = 'from';
      level.expects = 'relation';
    }
    if (outer.withState === 'after' && opener !== 'brackets') outer.withState = 'none';
    outer.expects = 'nothing';
    this.#outer.push(outer);
    this.#current = level;
  }

  /**
   * The level that was left. Beyond the outermost one there is none: the split has seen that
   * parentheses match.
   */
  leave(): Level {
    const closed = this.#current;
    const outer = this.#outer.pop();
    if (outer === undefined) return closed;
    this.#hide(closed, 0);
    this.#current = outer;
    if (closed.opener === 'cte_body') {
      if (!outer.withRecursive) this.#declare(outer.cte);
      outer.withState = 'after';
    }
    return closed;
  }

  /** At the verb of a write. */
  beginWrite(verb: string): void {
    const level = this.#current;
    level.verb = verb;
    level.ctesBeforeVerb = level.ctes?.length ?? 0;
    level.withState = 'none';
    level.expects = verb === 'delete' ? 'nothing' : 'target';
  }

  /** At ON CONFLICT or RETURNING: behind the query of an INSERT. */
  endQueryOfInsert(): void {
    const level = this.#current;
    if (level.verb === 'insert') this.#hide(level, level.ctesBeforeVerb);
  }

  isCte(name: string): boolean {
    return (this.#visible.get(name) ?? 0) > 0;
  }

  #declare(name: string): void {
    const level = this.#current;
    level.ctes ??= [];
    level.ctes.push(name);
    this.#visible.set(name, (this.#visible.get(name) ?? 0) + 1);
  }

  /** Ends the sight of a level's CTEs from the one at `from` on. */
  #hide(level: Level, from: number): void {
    if (level.ctes === undefined) return;
    for (const name of level.ctes.splice(from)) {
      this.#visible.set(name, (this.#visible.get(name) ?? 1) - 1);
    }
  }

  /** Reads on behind the word WITH, which also has other uses. */
  beginWith(window: TokenWindow): void {
    // A CTE may be called "recursive".
    const recursive = window.word() === 'recursive' && window.isName(1);
    const name = recursive ? 1 : 0;
    const isList =
      window.isName(name) && (window.word(name + 1) === 'as' || window.sign(name + 1) === '(');
    // Of a function in FROM; a query in parentheses there may have a CTE of that name.
    const behindFunction = this.#current.clause === 'from' && window.sign(-2) === ')';
    const isOrdinality = window.word() === 'ordinality' && behindFunction;
    if (!isList || isOrdinality) return;
    this.#current.withRecursive = recursive;
    this.#current.withState = 'name';
    window.skip(name);
  }

  /** Reads a word of a WITH list; false when it is to be read as anywhere else. */
  withWord(window: TokenWindow): boolean {
    const level = this.#current;
    switch (level.withState) {
      case 'name':
        level.cte = window.token().text;
        level.withState = 'as';
        if (level.withRecursive) this.#declare(level.cte);
        break;
      case 'as':
        if (window.word() === 'as') level.withState = 'body';
        break;
      case 'body':
        break;
      case 'after':
        if (QUERY_WORDS.has(window.word())) level.withState = 'none';
        return false;
      case 'none':
        return false;
    }
    window.skip();
    return true;
  }

  /** Behind a comma: another CTE, another relation, or just another expression. */
  comma(window: TokenWindow): void {
    const level = this.#current;
    if (level.withState === 'after') {
      // SEARCH and CYCLE lists have commas too.
      const another = window.word(1) === 'as' || window.sign(1) === '(';
      if (another && window.isName()) level.withState = 'name';
    } else if (level.clause === 'from') {
      level.expects = 'relation';
    }
  }
}

function levelOf(opener: Opener, callee: string, place: Place): Level {
  return {
    opener,
    callee,
    place,
    clause: 'none',
    expects: 'nothing',
    joins: 0,
    joinCondition: false,
    cases: 0,
    verb: '',
    withState: 'none',
    withRecursive: false,
    cte: '',
    ctes: undefined,
    ctesBeforeVerb: 0,
  };
}
