/**
 * What a query mentions: relations, functions, types, and whether it reads, locks rows, writes or
 * makes a table. One pass over the tokens that builds no tree. In doubt a name is a function call
 * or a relation: one name too many costs a needless reset or look-up, a missed one would hide an
 * effect. Casts and what relations hold (views, triggers, defaults, policies) cannot be seen in a
 * text, and of operators and attributes of tables (`t.f` for f(t)) the names alone.
 * Owns: what names are used as. Leaves: nesting and WITH to query-levels.ts, what is a call to
 * call-shapes.ts, what a function does to functions.ts, set_config() to set-config.ts.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (SelectStmt, table_ref, func_name, GenericType).
 */
import { CONSTRUCTS, isCallShaped, isComparison, isOperandPlace } from './call-shapes.ts';
import type { Surroundings } from './call-shapes.ts';
import { FunctionItems } from './function-items.ts';
import { KEYWORDS } from './keywords.ts';
import { isTemporarySchema } from './names.ts';
import type { QualifiedName } from './names.ts';
import { operatorElsewhere, OperatorNames } from './operators.ts';
import type { QueryFacts } from './query-facts.ts';
import { QueryLevels } from './query-levels.ts';
import type { Level, Opener, Place } from './query-levels.ts';
import { SetConfigCalls } from './set-config.ts';
import { isWordOrQuoted, TokenWindow } from './token-window.ts';
import type { Source, TokenRange } from './tokens.ts';
import { isBuiltInType } from './types.ts';

export type { QueryFacts } from './query-facts.ts';

/** Reads the query in `range`, whose first token begins it. */
export function mentionsOf(source: Source, range: TokenRange): QueryFacts {
  return new MentionReader(source, range).read();
}

/** Functions with FROM between their arguments, where it names no relation. */
const FROM_SYNTAX = wordSet('extract overlay position substring trim');
const TYPE_AFTER_AS = wordSet('cast treat xmlserialize');
/** Unreserved words that stand before a string without being its type. */
const BEFORE_STRINGS = wordSet('content document escape zone');
const LOCK_STRENGTHS = wordSet('key no share update');
const QUERY_WORDS = wordSet('select table values with');
const ENDS_CLAUSE = wordSet(
  'except fetch having intersect limit offset order select union where window',
);
const MODIFIES_INTO = wordSet('global local temp temporary unlogged');

function placeIn(level: Level): Place {
  return level.expects === 'relation' ? 'item' : 'part';
}

function wordSet(words: string): ReadonlySet<string> {
  return new Set(words.split(' '));
}

class MentionReader {
  readonly #window: TokenWindow;
  readonly #levels = new QueryLevels();
  readonly #relations: QualifiedName[] = [];
  readonly #functions: QualifiedName[] = [];
  readonly #types: QualifiedName[] = [];
  #effect: QueryFacts['effect'] = 'reads';
  #into: QueryFacts['into'] = 'nothing';
  #defaults: QueryFacts['defaults'] = 'untouched';
  #callsAfterParenthesis = false;
  readonly #items = new FunctionItems();
  readonly #operators = new OperatorNames();
  readonly #setConfig: SetConfigCalls;

  constructor(source: Source, range: TokenRange) {
    this.#window = new TokenWindow(source.tokens, range);
    this.#setConfig = new SetConfigCalls(source);
  }

  read(): QueryFacts {
    const window = this.#window;
    while (!window.atEnd) {
      const token = window.token();
      this.#operators.token(token);
      if (token.kind === 'word') this.#word(token.text);
      else if (token.kind === 'quoted') this.#quoted();
      else if (token.kind === 'symbol') this.#symbol(token.text);
      else window.skip();
    }
    return {
      relations: this.#relations,
      functions: [...this.#functions, ...this.#items.calls],
      types: this.#types,
      operators: this.#operators.names,
      attributes: this.#items.attributes,
      effect: this.#effect,
      into: this.#into,
      setConfig: this.#setConfig.kind,
      configures: this.#setConfig.names,
      mayConfigure: this.#setConfig.all,
      defaults: this.#defaults,
    };
  }

  // ---- signs ----

  #symbol(text: string): void {
    const window = this.#window;
    window.skip();
    if (text === '(') this.#levels.enter('plain', '');
    else if (text === ')') this.#close();
    else if (text === '[') this.#levels.enter('brackets', '');
    else if (text === ']') this.#levels.leave();
    else if (text === ',') this.#levels.comma(window);
    else if (text === '::') this.#type();
    else if (text === '.') this.#attribute();
  }

  #close(): void {
    const { callee, place } = this.#levels.leave();
    if (callee === 'set_config') this.#setConfig.closed(this.#window);
    if (place === 'item') this.#items.closed(this.#window, callee);
  }

  /**
   * Behind a dot that does not join two names: an attribute, or `(x).f` for f(x), whatever the type
   * of x is.
   */
  #attribute(): void {
    const token = this.#window.token();
    if (!isWordOrQuoted(token)) return;
    this.#functions.push([token.text]);
    this.#window.skip();
  }

  // ---- words ----

  #word(word: string): void {
    if (this.#levels.withWord(this.#window)) return;
    const keyword = KEYWORDS.get(word);
    if (keyword === 'reserved') this.#reserved(word);
    else if (keyword !== undefined && this.#isUsedAsKeyword(word)) this.#window.skip();
    else this.#name();
  }

  #quoted(): void {
    if (!this.#levels.withWord(this.#window)) this.#name();
  }

  #reserved(word: string): void {
    const level = this.#levels.current;
    const before = this.#window.word(-1);
    this.#window.skip();
    switch (word) {
      case 'from':
        if (level.opener !== 'from_syntax' && !isComparison(this.#window)) this.#expectRelations();
        return;
      case 'using':
        return this.#using();
      case 'into':
        return this.#intoClause();
      case 'with':
        return this.#levels.beginWith(this.#window);
      case 'cast':
        return this.#openConstruct('cast', placeIn(level));
      case 'as':
        return this.#alias();
      case 'table':
        if (level.expects === 'nothing') level.expects = 'relation';
        return;
      case 'lateral':
      case 'only':
        return;
      default:
        // Such as CURRENT_DATE, unless it is the query in parentheses.
        if (level.expects === 'relation' && !QUERY_WORDS.has(word)) this.#items.unknownAlias();
        level.expects = 'nothing';
        return this.#clause(word, before);
    }
  }

  #clause(word: string, before: string): void {
    const level = this.#levels.current;
    const next = this.#window.word();
    switch (word) {
      case 'on':
        if (before === 'distinct') this.#callsAfterParenthesis = true;
        level.joinCondition = level.joins > 0;
        if (level.joins > 0) level.joins--;
        else if (next === 'conflict') this.#levels.endQueryOfInsert();
        return;
      case 'case':
        level.cases++;
        return;
      case 'default':
        this.#defaults = 'asked';
        return;
      case 'end':
        // It may also be the label of a column.
        level.cases = Math.max(0, level.cases - 1);
        return;
      case 'when':
        // Of MERGE, unless it belongs to a CASE in its condition.
        if (level.cases === 0) level.clause = 'none';
        return;
      case 'group':
        // WITHIN GROUP has no BY.
        if (next === 'by') level.clause = 'group';
        return;
      case 'returning':
        // The clause of a write, or the type of what a JSON function returns.
        if (level.opener === 'call') return this.#type();
        level.clause = 'none';
        return this.#levels.endQueryOfInsert();
      case 'for':
        if (LOCK_STRENGTHS.has(next) && this.#effect === 'reads') this.#effect = 'locks_rows';
        return;
      default:
        if (ENDS_CLAUSE.has(word)) level.clause = 'none';
    }
  }

  /** Behind AS: a type, or a label, which may be any keyword and has no meaning here. */
  #alias(): void {
    if (TYPE_AFTER_AS.has(this.#levels.current.callee)) return this.#type();
    if (isWordOrQuoted(this.#window.token())) this.#window.skip();
  }

  #expectRelations(): void {
    this.#levels.current.clause = 'from';
    this.#levels.current.expects = 'relation';
  }

  /**
   * JOIN … USING (columns), DELETE … USING relations, MERGE … USING relation, ORDER BY … USING
   * operator.
   */
  #using(): void {
    const level = this.#levels.current;
    if (this.#window.token().kind === 'operator' || level.withState === 'after') return;
    if (level.joins === 0 || this.#window.sign() !== '(') return this.#expectRelations();
    level.joins--;
  }

  /** INTO of INSERT and MERGE, whose target is expected already, or that of SELECT. */
  #intoClause(): void {
    const level = this.#levels.current;
    const window = this.#window;
    level.clause = 'none';
    if (level.expects === 'target') return;
    let temporary = false;
    while (MODIFIES_INTO.has(window.word()) && window.token(1).kind !== 'symbol') {
      temporary ||= window.word().startsWith('temp');
      window.skip();
    }
    if (window.word() === 'table') window.skip();
    const length = window.nameLength();
    const inTemporarySchema = length > 1 && isTemporarySchema(window.token().text);
    this.#into = temporary || inTemporarySchema ? 'temporary' : 'permanent';
    window.skip(length);
  }

  /** Whether a keyword that may be a name is none here; notes what it means then. */
  #isUsedAsKeyword(word: string): boolean {
    const level = this.#levels.current;
    switch (word) {
      case 'join':
        if (level.clause !== 'from') return false;
        if (this.#mayCallJoin()) this.#functions.push(['join']);
        level.joins++;
        level.expects = 'relation';
        return true;
      case 'values':
        if (this.#window.sign(1) !== '(' || level.expects === 'target') return false;
        // Behind an item of FROM it is an alias.
        if (level.clause === 'from' && level.expects === 'nothing') return false;
        level.expects = 'nothing';
        level.clause = 'none';
        return true;
      case 'rows':
        if (level.expects !== 'relation' || this.#window.word(1) !== 'from') return false;
        this.#items.unknownAlias();
        return true;
      case 'insert':
      case 'update':
      case 'delete':
      case 'merge':
        if (!this.#beginsWrite()) return false;
        this.#levels.beginWrite(word);
        this.#effect = 'writes';
        return true;
      default:
        return false;
    }
  }

  /** A function may be named "join", but what joins a query in parentheses is no function. */
  #mayCallJoin(): boolean {
    if (this.#window.sign(1) !== '(' || QUERY_WORDS.has(this.#window.word(2))) return false;
    return isCallShaped(this.#surroundings(), 'join');
  }

  /** Only at the beginning of the query or of a CTE, or behind the list of CTEs. */
  #beginsWrite(): boolean {
    const level = this.#levels.current;
    const window = this.#window;
    const first = window.atStart || (level.opener === 'cte_body' && window.sign(-1) === '(');
    if (!first && level.withState !== 'after') return false;
    return isWordOrQuoted(window.token(1));
  }

  // ---- names ----

  /** A name, with dots and all, and what it is by what stands around it. */
  #name(): void {
    const level = this.#levels.current;
    const window = this.#window;
    const length = window.nameLength();
    const { expects } = level;
    const place = placeIn(level);
    level.expects = 'nothing';
    if (window.sign(length) === '(' && expects !== 'target') {
      return this.#parenthesised(length, place);
    }
    if (expects !== 'nothing') this.#relation(length);
    else if (length > 1) this.#items.attribute(window.name(length));
    if (window.token(length).kind === 'string') this.#literalType(length);
    window.skip(length);
  }

  #relation(length: number): void {
    const name = this.#window.name(length);
    if (length > 1 || !this.#levels.isCte(name[0] as string)) this.#relations.push(name);
  }

  /** `name (`: a call, a construct of the grammar, or a list of columns. */
  #parenthesised(length: number, place: Place): void {
    const window = this.#window;
    const word = length === 1 ? window.word() : '';
    if (word !== '' && CONSTRUCTS.has(word)) {
      window.skip();
      return this.#openConstruct(word, place);
    }
    if (word === 'sets' && window.word(-1) === 'grouping') return this.#open('grouping_sets', 1);
    if (word === 'operator') {
      this.#callsAfterParenthesis = true;
      const elsewhere = operatorElsewhere(window);
      if (elsewhere !== undefined) this.#functions.push(elsewhere);
    }
    if (!isCallShaped(this.#surroundings(), word)) return window.skip(length);
    const name = window.name(length);
    this.#functions.push(name);
    this.#open('call', length, name.at(-1), place);
  }

  /** At the parenthesis of a construct such as CAST or EXTRACT. */
  #openConstruct(word: string, place: Place): void {
    if (this.#window.sign() !== '(') return;
    if (place === 'item') this.#items.unknownAlias();
    this.#open(FROM_SYNTAX.has(word) ? 'from_syntax' : 'plain', 0, word);
  }

  #open(opener: Opener, nameLength: number, callee = '', place: Place = 'part'): void {
    this.#window.skip(nameLength + 1);
    this.#levels.enter(opener, callee, place);
    if (callee === 'set_config') this.#setConfig.opened(this.#window);
  }

  #surroundings(): Surroundings {
    const { cases, clause, joinCondition, opener, verb } = this.#levels.current;
    return {
      window: this.#window,
      inConflictClause: verb === 'insert' && !joinCondition,
      inMergeAction: verb === 'merge' && cases === 0,
      inGrouping: clause === 'group' || opener === 'grouping_sets',
      callsAfterParenthesis: this.#callsAfterParenthesis,
    };
  }

  // ---- types ----

  /** Reads the name of a type, if one is here. */
  #type(): void {
    const window = this.#window;
    if (window.word() === 'setof') window.skip();
    if (!window.isName()) return;
    const length = window.nameLength();
    this.#typeNamed(length);
    window.skip(length);
  }

  /** type '…' */
  #literalType(length: number): void {
    const word = length === 1 ? this.#window.word() : '';
    const keyword = KEYWORDS.get(word);
    if (keyword === 'column_name' || BEFORE_STRINGS.has(word)) return;
    // `a LIKE 'b'`: between two operands it is an operator.
    if (keyword === 'function_or_type' && !isOperandPlace(this.#surroundings())) return;
    this.#typeNamed(length);
  }

  #typeNamed(length: number): void {
    const word = length === 1 ? this.#window.word() : '';
    const spelledByGrammar = KEYWORDS.get(word) === 'column_name' || word === 'double';
    const name = this.#window.name(length);
    if (!spelledByGrammar && !isBuiltInType(name)) this.#types.push(name);
  }
}
