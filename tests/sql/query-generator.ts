/**
 * Random queries in which any word may be a name that the grammar allows there: functions called
 * "over", columns called "join", CTEs called "recursive". Most are valid; the parser that they are
 * held against tells which.
 */
import { KEYWORDS } from '@dbbouncer/data-plane/session/postgres/sql/keywords.ts';
import type { KeywordClass } from '@dbbouncer/data-plane/session/postgres/sql/keywords.ts';
import { generateText } from './grammar.ts';

/** Expressions and queries inside of each other; deeper ones are leaves. */
const DEPTH_MAX = 4;

function words(...classes: readonly KeywordClass[]): string[] {
  return [...KEYWORDS].filter(([, type]) => classes.includes(type)).map(([word]) => word);
}

/** An empty alternative repeated is one that comes more often. */
const GRAMMAR: Readonly<Record<string, readonly string[]>> = {
  statement: ['{top_select}', '{top_select}', '{top_select}', '{write}', '{with}{statement}'],
  top_select: [
    'SELECT{distinct} {targets}{into}{from}{where}{group}{order}{lock}',
    '{select}',
    '{select}',
  ],

  any_column: words('unreserved', 'column_name'),
  any_function: words('unreserved', 'function_or_type'),
  any_label: words('unreserved', 'column_name', 'function_or_type', 'reserved'),
  column: ['{any_column}', 'c1', 'c2', '"quoted"', 't.{any_label}'],
  alias: ['{any_column}', 'x1', 'x2', '"Al"'],
  function: ['{any_function}', '{any_function}', 'f1', 'f2', '"{any_function}"', 's.{any_label}'],
  relation: ['r1', 'r2', 'r3', 's.r1', 's.r2', '{any_column}', '"{any_label}"'],
  type: [
    'int',
    'numeric(10, 2)',
    'text[]',
    'my_type',
    's.my_type',
    '"Domain"',
    'character varying(3)',
    'timestamp with time zone',
  ],

  expression: [
    '{column}',
    '{call}',
    '{call}',
    '{primary} {operator} {primary}',
    '({select})',
    'CASE WHEN {expression} THEN {expression} ELSE {call} END',
    'CAST({expression} AS {type})',
    '{primary}::{type}',
    "{literal_type} 'lit;eral'",
    'EXTRACT(year FROM {expression})',
    'SUBSTRING({expression} FROM 1 FOR 2)',
    "TRIM(BOTH 'x' FROM {expression})",
    'COALESCE({expressions})',
    "interval '1' day",
    'EXISTS ({query})',
    '{primary} IN ({query})',
    'ARRAY[{expressions}]',
    'ROW({expression}, 1)',
    '{primary} AT TIME ZONE {primary}',
  ],
  expressions: ['{expression}', '{expression}, {expression}'],
  primary: ['{column}', '{call}', '({expression})', '$1', "'text'", '1.5'],
  operator: [
    '+',
    '=',
    '<>',
    '||',
    '->>',
    'AND',
    'OR',
    'LIKE',
    'IS DISTINCT FROM',
    '::text =',
    'OPERATOR(s.+)',
    'OPERATOR(+)',
  ],
  literal_type: ['my_type', 'date', 's.d'],
  call: ['{function}({arguments}){within}{filter}{over}'],
  arguments: ['', '*', '{expressions}', '{expressions}', 'DISTINCT {expression}'],
  within: ['', '', '', '', '', '', ' WITHIN GROUP (ORDER BY {expression})'],
  filter: ['', '', '', '', ' FILTER (WHERE {expression})'],
  over: ['', '', '', ' OVER (ORDER BY {expression})', ' OVER (PARTITION BY ({expression}))'],

  query: [
    '{select}',
    '{select}',
    'VALUES ({expressions})',
    'TABLE {relation}',
    '({query}) UNION ALL ({query})',
    '{with}{select}',
  ],
  select: ['SELECT{distinct} {targets}{from}{where}{group}{order}{lock}'],
  distinct: ['', '', ' DISTINCT', ' DISTINCT ON ({column})'],
  targets: ['{target}', '{target}, {target}', '{target}, {target}, {target}'],
  target: ['{expression}', '{expression} AS {any_label}', '{expression} {any_label}'],
  into: [' INTO new', ' INTO TEMP new', ' INTO TEMPORARY TABLE new', ' INTO UNLOGGED s.new'],
  from: ['', ' FROM {item}', ' FROM {item}, {item}', ' FROM {item}, {item}, {item}'],
  where: ['', ' WHERE {expression}'],
  group: ['', '', '', '', '', ' GROUP BY {grouping}', ' GROUP BY {grouping}, {grouping}'],
  grouping: ['{expression}', 'ROLLUP (ca, {expression})', 'GROUPING SETS ((ca), CUBE (cb))'],
  order: ['', '', '', '', ' ORDER BY {expressions}'],
  lock: ['', '', '', '', '', '', '', '', '', '', ' FOR UPDATE', ' FOR NO KEY UPDATE', ' FOR SHARE'],

  item: [
    '{table}',
    '{table} {join}',
    '({table} {join}) {join}',
    '({query}) sub (ca)',
    '({query}) AS {alias}',
    '({query}) AS {alias} (ca, cb)',
    'LATERAL {call} AS {alias}(ca)',
    '{function}(1) fa (ca)',
    '{function}(1) {any_column} (ca)',
    '{function}(1) WITH ORDINALITY fa (ca)',
    'ROWS FROM ({function}(1), {function}(2)) AS rf',
  ],
  table: [
    '{relation}',
    '{relation} AS {alias}',
    '{relation} {any_column}',
    '{relation} {any_column} (ca)',
    'ONLY {relation} tb (ca)',
  ],
  join: ['{join_type} {joined} USING (ca, cb)', '{join_type} {joined} ON {expression}'],
  join_type: ['JOIN', 'LEFT JOIN', 'INNER JOIN', 'FULL OUTER JOIN'],
  joined: ['{table}', '({query}) jq', '({table} {join})', '{function}(1) jf'],

  with: ['WITH {cte} ', 'WITH {cte}, {cte} ', 'WITH RECURSIVE {cte}, {cte} '],
  cte: ['{cte_name}{columns} AS{materialized} ({cte_query}){cycle}'],
  cte_name: ['r1', 'r2', '{any_column}'],
  columns: ['', '', ' (ca, cb)'],
  materialized: ['', ' MATERIALIZED', ' NOT MATERIALIZED'],
  cte_query: ['{query}', '{query}', '{query}', '{query}', '{query}', '{query}', '{write}'],
  cycle: ['', '', '', '', '', ' CYCLE ca, cb SET cyc USING pth'],

  write: [
    'INSERT INTO {relation} (ca, cb) {query}{conflict}{returning}',
    'UPDATE {relation} SET ca = {expression}, (cb, cc) = (1, {call}){from}{where}{returning}',
    'UPDATE {relation} SET (ca, cb) = ({expression}, {call}){from}{where}{returning}',
    'DELETE FROM {relation} AS d{using}{where}{returning}',
    'MERGE INTO {relation} m USING {table} ON {expression} WHEN MATCHED AND {expression} ' +
      'THEN UPDATE SET ca = {call} WHEN NOT MATCHED THEN INSERT (ca) VALUES ({expression})',
  ],
  conflict: ['', '', ' ON CONFLICT (ca) DO UPDATE SET (ca, cb) = ({expression}, 1){where}'],
  using: ['', ' USING {item}', ' USING {item}, {item}'],
  returning: ['', '', ' RETURNING {expressions}'],
};

/** What stands for a rule that would go too deep. */
const LEAVES: Readonly<Record<string, string>> = {
  expression: '{column}',
  call: '{function}()',
  query: 'SELECT 1',
  select: 'SELECT 1',
  item: '{table}',
  join: 'CROSS JOIN r0',
};

/** The same query for the same seed. */
export function generateQuery(seed: number): string {
  return generateText({ rules: GRAMMAR, leaves: LEAVES, depthMax: DEPTH_MAX }, seed);
}
