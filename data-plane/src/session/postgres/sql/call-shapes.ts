/**
 * Whether `name (` is a function call, by the words around it: SQL also has lists of columns,
 * window clauses and constructs of its own grammar there. In doubt it is a call.
 * Source: PostgreSQL 18, src/backend/parser/gram.y (func_expr, func_expr_common_subexpr,
 * alias_clause).
 */
import { KEYWORDS } from './keywords.ts';
import type { TokenWindow } from './token-window.ts';

/**
 * Keywords that cannot name a function unquoted, of which the construct leaves the session as it
 * is.
 */
export const CONSTRUCTS: ReadonlySet<string> = new Set(
  `between bigint bit boolean char character coalesce dec decimal exists extract float greatest
  grouping int integer interval least national nchar normalize nullif numeric overlay position
  precision real row smallint substring time timestamp trim values varchar xmlattributes xmlconcat
  xmlelement xmlexists xmlforest xmlnamespaces xmlparse xmlpi xmlroot xmlserialize`.split(/\s+/),
);

/** What is known where the name in question stands, which is the window's place. */
export interface Surroundings {
  readonly window: TokenWindow;
  /** An ON here is that of ON CONFLICT. */
  readonly inConflictClause: boolean;
  /** A THEN here is that of MERGE. */
  readonly inMergeAction: boolean;
  /** Inside of GROUP BY, or of its GROUPING SETS. */
  readonly inGrouping: boolean;
  /** DISTINCT ON (…) and OPERATOR(…) may be followed by a call, other closing parentheses not. */
  readonly callsAfterParenthesis: boolean;
}

/** @param word the name when it is one unquoted word, else empty. */
export function isCallShaped(at: Surroundings, word: string): boolean {
  if (word !== '' && isClause(at, word)) return false;
  const before = at.window.token(-1);
  if (before.kind === 'quoted') return false;
  if (before.kind === 'word') return KEYWORDS.has(before.text) && !isBehindOrdinality(at);
  if (before.kind === 'symbol' && before.text === ')') return at.callsAfterParenthesis;
  return true;
}

/** `f() WITH ORDINALITY alias (columns)` */
function isBehindOrdinality({ window }: Surroundings): boolean {
  return window.word(-1) === 'ordinality' && window.word(-2) === 'with' && window.sign(-3) === ')';
}

/** Words that begin a clause here and could name a function elsewhere. */
function isClause(at: Surroundings, word: string): boolean {
  const before = at.window.word(-1);
  switch (word) {
    case 'by':
      return before === 'order' || before === 'group' || before === 'partition';
    case 'filter':
      return at.window.word(2) === 'where';
    case 'join':
      return JOIN_TYPES.has(before);
    case 'rollup':
    case 'cube':
      return at.inGrouping && beginsGroupingElement(at);
    case 'set':
      return before === 'update';
    case 'conflict':
      return before === 'on' && at.inConflictClause;
    case 'insert':
      return before === 'then' && at.inMergeAction;
    case 'zone':
      return before === 'time';
    case 'first':
    case 'next':
      return before === 'fetch';
    case 'varying':
      return CHARACTER_TYPES.has(before);
    case 'operator':
      return isOperatorName(at);
    default:
      return false;
  }
}

/** An element of GROUP BY, not a part of an expression there. */
function beginsGroupingElement(at: Surroundings): boolean {
  return (
    ['by', 'all', 'distinct'].includes(at.window.word(-1)) ||
    [',', '('].includes(at.window.sign(-1))
  );
}

const JOIN_TYPES: ReadonlySet<string> = new Set(
  'cross full inner left natural outer right'.split(' '),
);
const CHARACTER_TYPES: ReadonlySet<string> = new Set(['bit', 'char', 'character', 'nchar']);

/** OPERATOR(schema.+); `operator(*)` may be a call. */
function isOperatorName(at: Surroundings): boolean {
  let ahead = 2;
  while (at.window.sign(ahead + 1) === '.') ahead += 2;
  const named = at.window.token(ahead).kind === 'operator' && at.window.sign(ahead + 1) === ')';
  return named && !(ahead === 2 && at.window.sign(ahead) === '*');
}

const BEFORE_OPERANDS: ReadonlySet<string> = new Set(
  `all and by case distinct else having limit offset on or returning select then when
  where`.split(/\s+/),
);

/** Whether an operand begins here rather than an operator: behind a sign, or a word such as AND. */
export function isOperandPlace(at: Surroundings): boolean {
  const before = at.window.token(-1);
  if (before.kind === 'operator') return true;
  if (before.kind === 'word') return BEFORE_OPERANDS.has(before.text);
  if (before.text === ')') return at.callsAfterParenthesis;
  return before.kind === 'symbol' && before.text !== ']';
}

/**
 * Whether the FROM that was just read is that of `a IS [NOT] DISTINCT FROM b`; "distinct" may also
 * be the label of a column in front of FROM.
 */
export function isComparison(window: TokenWindow): boolean {
  if (window.word(-2) !== 'distinct') return false;
  const is = window.word(-3) === 'not' ? -4 : -3;
  return window.word(is) === 'is' && window.sign(is - 1) !== '.';
}
