/**
 * Statements at random over a minefield: most are valid there, some step on a mine, openly or
 * through a view, a type, an attribute or an overload.
 */
import { generateText } from './grammar.ts';
import type { Grammar } from './grammar.ts';

/** Alternatives that need no quotes of their own. */
function wordsOf(list: string): readonly string[] {
  return list.split(/\|\s*/);
}

const RULES: Grammar['rules'] = {
  statement: [
    '{query}',
    '{query}',
    '{query}',
    '{query}',
    '{query}',
    '{query};',
    'WITH c AS ({query}) SELECT c.* FROM c, {item}',
    'WITH c (a) AS MATERIALIZED (SELECT {value}) SELECT {values} FROM c AS q',
    '({query}) UNION ALL ({query})',
    'TABLE {relation}',
    'VALUES ({constant}, {constant})',
    '{query} FOR {lock}',
    'SELECT q.a INTO TEMP made FROM {relation} q',
    'WITH w AS ({write}) SELECT * FROM w',
    '{write}',
    'EXPLAIN ANALYZE {query}',
    '{query}; {query}',
  ],
  lock: ['UPDATE', 'KEY SHARE', 'NO KEY UPDATE SKIP LOCKED'],
  write: [
    'INSERT INTO {written} VALUES ({value}) RETURNING a',
    'UPDATE {written} SET a = {value} RETURNING a',
    'DELETE FROM {written} WHERE a = {value} RETURNING a',
  ],
  written: ['log', 'ruled', 'triggered', 'defaulting'],

  query: [
    'SELECT {values} FROM {item}{where}{tail}',
    'SELECT {values} FROM {item}{where}{tail}',
    'SELECT {values} FROM {item}{where}{tail}',
    'SELECT count(*), {aggregate}({value}) FROM {item}{where}',
    'SELECT {aggregate}({value}) OVER (PARTITION BY {value}) FROM {item}',
    'SELECT {constant}, {constant_call}',
    'SELECT {constant}::{type}',
    'SELECT ({query_of_one}), {constant}',
    'SELECT * FROM {item}, LATERAL ({query_of_one}) AS l',
  ],
  query_of_one: ['SELECT max({value}) FROM {item}', 'SELECT {constant}', 'SELECT {constant_call}'],
  where: ['', '', ' WHERE {value} = {value}', ' WHERE q.a = 1', ' WHERE EXISTS ({query_of_one})'],
  tail: ['', '', ' ORDER BY {value}', ' LIMIT 3', ' ORDER BY 1 LIMIT {constant}'],
  values: ['{value}', '{value}, {value}', '{value} AS v, q.*', '*'],

  item: [
    '{relation} AS q',
    '{relation} AS q',
    '{relation} q',
    '{relation} AS q JOIN {relation} r ON r.a = q.a',
    '({relation} AS q LEFT JOIN {relation} AS r USING (a))',
    '({query_of_one}) AS q (a)',
    '(SELECT {value} AS a, q.* FROM {relation} q) AS q (a)',
    '{rows} AS q',
    '{rows} q',
    '{rows} AS q (a)',
    '{rows} WITH ORDINALITY AS q (a, b)',
    'ROWS FROM ({rows}, {rows}) AS q (a, b)',
    'ROWS FROM ({rows}) AS q',
    'CAST({constant} AS {type}) AS q',
    'json_each($${"a": 1}$$) AS q (a, b)',
  ],
  relation: wordsOf(
    `plain|plain|plain|other|typed|parted|kept|simple|layered|public.plain|pg_am|calling|
    over_calling|far_calling|filtering|sampling|locking|guarded|over_guarded|ruled|triggered|
    defaulting|indexed|counted|parent|child|over_indexed|held|rows|heirs|listed|checked_rows|
    folding|folding|sequencing|other_schema.odd_plain|trace|pg_settings|pg_locks`,
  ),
  rows: [
    'generate_series(1, 2)',
    'generate_series(1::bigint, 2)',
    "unnest('{a,b}'::text[])",
    'unnest(ARRAY[{constant}])',
    "regexp_split_to_table('a b', ' ')",
    'setting()',
  ],

  value: [
    'q.a',
    'q.a',
    'q.a',
    'q.b',
    'q.{attribute}',
    '(q).{attribute}',
    '({constant}).{attribute}',
    '{call}',
    '{call}',
    'q.a::{type}',
    'CAST(q.a AS {type})',
    '(q.a + {constant})',
    "(q.b || 'x')",
    '{value} {operator} {value}',
    '({constant} {operator} {constant})',
    '{constant} {operator} q.b',
    'CASE WHEN q.a = 1 THEN {value} ELSE {value} END',
    'coalesce(q.a, {constant})',
    '({query_of_one})',
    'ARRAY[{value}]',
    '(ARRAY[1, 2])[{constant}]',
    'ROW({value}, 1)',
    "q.b LIKE 'o%'",
    'q.a BETWEEN 0 AND {constant}',
    'q.a IN ({constant}, {value})',
    'q',
    'to_json(q)',
  ],
  operator: wordsOf(
    `=|<>|<|<=|+|-|*|~~|~|!~|LIKE|NOT ILIKE|<=>|%|<->|<#>|->|<~>|IS DISTINCT FROM|
    OPERATOR(public.=)|OPERATOR(pg_catalog.+)|@>`,
  ),
  attribute: wordsOf(
    `a|a|b|mine|mine_text|of_row|of_rows|checked_row|length|lower|upper|checked|
    pg_advisory_lock|pg_try_advisory_lock|btrim|text|lo_create|of_any|folded|to_json|
    pg_sleep|txid_current|nextval|fresh|ceil|sum|odd`,
  ),
  call: [
    '{function}(q.a)',
    '{function}(q.b)',
    '{function}({value})',
    '{function}({value}, {value})',
    'mine()',
    '{constant_call}',
  ],
  constant_call: [
    '{function}({constant})',
    '{function}({constant}::{type})',
    '{function}({constant}, {constant})',
    '{function}({constant}, {constant}, {constant})',
    'now()',
    'random()',
    'pg_backend_pid()',
    "set_config('mine.set', 'here', false)",
    "current_setting('work_mem')",
  ],
  function: wordsOf(
    `replace|split_part|trunc|max|avg|
    upper|lower|length|abs|sqrt|btrim|ceil|concat|to_json|round|pg_catalog.upper|
    pg_catalog.length|repeat|pg_typeof|text|date|int4|quote_literal|num_nulls|greatest|
    coalesce|mine|mine_text|fresh|s.upper|public.lower|pg_advisory_lock|
    pg_try_advisory_lock_shared|nextval|lo_create|checked|checked_text|array_append|md5|
    to_char|nullif`,
  ),
  aggregate: ['sum', 'max', 'avg', 'min', 'count', 'array_agg', 'json_agg', 'public.sum'],
  constant: wordsOf(
    `1|1|'1'|'a'|1.5|NULL|3000000000|date '2020-01-01'|'a'::text|1::smallint|5::bigint|
    'b'::varchar|'{1}'::int[]|true|0::oid|CURRENT_DATE|'trace'::regclass`,
  ),
  type: wordsOf(
    `folded|distance|folded[]|
    int|text|bigint|varchar(2)|numeric(9, 2)|json|mood|short|text[]|smallint|oid|date|
    checked|twice_checked|checked_text|pair|s.odd|length|checked[]|checked_row|regclass|
    public.short|float8`,
  ),
};

const LEAVES: Grammar['leaves'] = {
  query: 'SELECT 1 AS a',
  query_of_one: 'SELECT 1',
  value: 'q.a',
  call: 'upper(q.b)',
  constant_call: 'upper($$a$$)',
  item: 'plain AS q',
};

/** The same statement for the same seed. */
export function generateMineStatement(seed: number): string {
  return generateText({ rules: RULES, leaves: LEAVES, depthMax: 3 }, seed);
}
