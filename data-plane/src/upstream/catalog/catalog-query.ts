/**
 * The questions to a database's catalog: which relations may be read or written without running
 * anybody's code, and what in the database might run code where no text shows it.
 * Owns: the SQL. It changes nothing: search path and time limit are local to the Query's own
 * transaction, and every name in it is the server's, whatever a tenant has put in the way. Any role
 * may read what it reads.
 * Leaves: what follows from the rows to catalog-facts.ts.
 * Source: PostgreSQL manual 12 to 18, "System Catalogs"; src/backend/nodes/outfuncs.c (how stored
 * expressions are written); parse_func.c (ParseFuncOrColumn: `row.f` calls f(row)).
 */

import { CAST_IN_THE_WAY, ORDER_IN_THE_WAY, OVERLOAD_PARTS, USERS } from './overload-query.ts';

/** More relations than this are not looked at: nothing is known of the database then. */
export const RELATIONS_MAX = 10_000;
/** Rows of an answer: relations, their links, types and functions. */
export const ROWS_MAX = 4 * RELATIONS_MAX;
const TIMEOUT_MS = 5_000;

const RELKINDS = `'{r,p,m,v,f,S}'::"char"[]`;

/** What a stored expression may be made of; all of it evaluates in place, functions aside. */
const NODES = `ARRAY ARRAYCOERCEEXPR ARRAYEXPR ARRAYREF BOOLEANTEST BOOLEXPR CASE CASEEXPR
CASETESTEXPR CASEWHEN COALESCE COALESCEEXPR COERCEVIAIO COLLATE COLLATEEXPR CONST
DISTINCTEXPR FUNCEXPR MINMAX MINMAXEXPR NULLIFEXPR NULLTEST OPEXPR
RELABELTYPE SCALARARRAYOPEXPR SQLVALUEFUNCTION SUBSCRIPTINGREF VAR WHEN`;

/** Not immutable and yet without a trace in the session; those that defaults commonly call. */
const READS = `age clock_timestamp concat concat_ws current_database current_schema current_setting
current_user date date_part date_trunc extract format gen_random_uuid inet_client_addr now
pg_backend_pid pg_current_xact_id random session_user statement_timestamp text time timeofday
timestamp timestamptz timetz timezone to_char to_date to_timestamp transaction_timestamp
txid_current uuidv4 uuidv7`;

/** What the query of a view may have besides; no row locks, writes, samples, SQL/JSON or XML. */
const VIEW_NODES = `AGGREF ALIAS COMMONTABLEEXPR FROMEXPR GROUPINGFUNC GROUPINGSET JOINEXPR PARAM
QUERY RANGETBLENTRY RANGETBLFUNCTION RANGETBLREF ROW ROWEXPR RTE
RTEPERMISSIONINFO SETOPERATIONSTMT SORTGROUPCLAUSE SUBLINK TARGETENTRY WINDOWCLAUSE WINDOWFUNC`;

/** Not immutable; none tells of the session or process that runs it. */
export const VIEW_FUNCTIONS = `age array_agg array_to_json array_to_string clock_timestamp concat
concat_ws current_database current_schema current_user date date_part date_trunc extract format
gen_random_uuid generate_series has_schema_privilege has_table_privilege interval json_agg
json_build_array json_build_object json_object_agg jsonb_agg jsonb_build_array jsonb_build_object
jsonb_object_agg now numeric pg_get_userbyid random row_to_json session_user statement_timestamp
string_to_array text time timeofday timestamp timestamptz timetz timezone to_char to_date to_json
to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp`;

/** Characters of all the trees of views that are looked at: some 0.2 s of the server's time. */
const VIEW_CHARS_MAX = 2_000_000;

function arrayOf(words: string): string {
  return `'{${words.split(/\s+/).join(',')}}'::text[]`;
}

/** Holds for the Query it begins: a text of several statements is one transaction. */
const HARMLESSLY = `SET LOCAL search_path TO pg_catalog, pg_temp;
SET LOCAL statement_timeout TO ${TIMEOUT_MS};
SET LOCAL jit TO off;`;

/** One row, one column: how many relations there are, or some number above RELATIONS_MAX. */
export const COUNT_QUERY = `${HARMLESSLY}
SELECT count(*) FROM (
  SELECT FROM pg_class WHERE relkind = ANY (${RELKINDS}) AND oid >= ${USERS}
  LIMIT ${RELATIONS_MAX + 1}
) AS counted`;

/** A type is plain when its values are made and compared by the server's own code. */
const TYPES = `
plain_type AS (
  SELECT oid FROM pg_type WHERE oid < ${USERS} OR typtype = 'e'
  UNION
  SELECT t.oid FROM pg_type t
  JOIN plain_type p ON p.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END
  WHERE t.oid >= ${USERS} AND CASE t.typtype
    WHEN 'd' THEN t.typdefaultbin IS NULL
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c')
    WHEN 'b' THEN t.typinput = 'array_in'::regproc
    ELSE false
  END
),
special_type AS MATERIALIZED (
  SELECT oid, typname, typrelid FROM pg_type
  WHERE oid >= ${USERS} AND oid NOT IN (SELECT oid FROM plain_type)
)`;

/**
 * Stored expressions, and those of them that may run more than the server's own harmless
 * functions. `define`: they are evaluated when a row is written, and their constant parts already
 * when a query is planned; a virtual column's when it is read. `default`: when a row is inserted.
 */
const EXPRESSIONS = `
expression AS MATERIALIZED (
  SELECT adrelid AS relation, CASE a.attgenerated WHEN '' THEN 'default' ELSE 'define' END AS use,
         adbin::text AS tree
  FROM pg_attrdef JOIN pg_attribute a ON a.attrelid = adrelid AND a.attnum = adnum
  WHERE adrelid >= ${USERS}
  UNION ALL SELECT conrelid, 'define', conbin::text FROM pg_constraint
    WHERE contype = 'c' AND conrelid >= ${USERS}
  UNION ALL SELECT indrelid, 'define', indexprs::text FROM pg_index
    WHERE indexprs IS NOT NULL AND indrelid >= ${USERS}
  UNION ALL SELECT indrelid, 'define', indpred::text FROM pg_index
    WHERE indpred IS NOT NULL AND indrelid >= ${USERS}
  UNION ALL SELECT partrelid, 'define', partexprs::text FROM pg_partitioned_table
    WHERE partexprs IS NOT NULL
  -- A column since 14.
  UNION ALL SELECT stxrelid, 'define', to_jsonb(s) ->> 'stxexprs' FROM pg_statistic_ext AS s
    WHERE to_jsonb(s) ->> 'stxexprs' IS NOT NULL
),
harmless AS MATERIALIZED (
  SELECT p.oid::text FROM pg_proc p
  WHERE p.oid < ${USERS} AND p.pronamespace = 'pg_catalog'::regnamespace
    AND (p.provolatile = 'i' OR p.proname = ANY (${arrayOf(READS)}) OR (p.provolatile = 's'
      AND EXISTS (SELECT FROM pg_operator o WHERE o.oid < ${USERS} AND o.oprcode = p.oid)))
),
active_tree AS MATERIALIZED (
  SELECT DISTINCT part.tree FROM (
    SELECT tree, regexp_matches(
      tree, '\\{([A-Z]+)|:(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)', 'g'
    ) AS found
    FROM (SELECT DISTINCT tree FROM expression WHERE tree NOT LIKE '{CONST %') AS trees
  ) AS part
  WHERE found[1] <> ALL (${arrayOf(NODES)})
    OR (found[2] IS NOT NULL AND found[2] NOT IN (SELECT oid FROM harmless))
),
active AS MATERIALIZED (
  SELECT DISTINCT relation, use FROM expression JOIN active_tree USING (tree)
)`;

/**
 * What \`x.f\` could call of users for a row x: functions with one argument, and domains over rows.
 */
const ROW_FUNCTIONS = `
row_function AS MATERIALIZED (
  SELECT p.proname AS name, t.typrelid AS relation FROM pg_proc p
  JOIN pg_type t ON t.oid = CASE
    WHEN p.pronargs = 1 AND p.provariadic <> 0 THEN p.provariadic ELSE p.proargtypes[0] END
  WHERE p.oid >= ${USERS} AND p.pronargs - p.pronargdefaults <= 1
    AND (t.typcategory = 'C' OR (t.oid < ${USERS} AND t.typname IN (
      'record', 'any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray')))
  UNION SELECT d.typname, t.typrelid FROM pg_type d JOIN pg_type t ON t.oid = d.typbasetype
    WHERE d.oid >= ${USERS} AND d.typcategory = 'C'
)`;

/**
 * Views of users that only read, by what their queries are made of, and which of these do more. A
 * view's \`part\` is a node, a function or a relation; \`opaque\` ones have other than known parts.
 * The smallest trees are looked at first.
 */
const VIEWS = `
view AS MATERIALIZED (
  SELECT oid, rule, tree FROM (
    SELECT c.oid, r.oid AS rule, r.ev_action::text AS tree, sum(length(r.ev_action::text)) OVER (
      ORDER BY length(r.ev_action::text), c.oid) AS total
    FROM pg_class c JOIN pg_rewrite r ON r.ev_class = c.oid AND r.ev_type = '1'
    WHERE c.relkind = 'v' AND c.oid >= ${USERS}
  ) AS sized WHERE total <= ${VIEW_CHARS_MAX}
),
part AS MATERIALIZED (
  SELECT DISTINCT oid, regexp_matches(tree,
    '\\{([A-Z]+)|:(?:funcid|opfuncid|aggfnoid|winfnoid) (\\d+)|:relid (\\d+)', 'g') AS found
  FROM view
),
reading AS MATERIALIZED (
  SELECT p.oid::text FROM pg_proc p
  WHERE p.oid < ${USERS} AND p.pronamespace = 'pg_catalog'::regnamespace
    AND p.prorettype <> 'record'::regtype
    AND (p.provolatile = 'i' OR p.proname = ANY (${arrayOf(VIEW_FUNCTIONS)})
      OR (p.provolatile = 's'
        AND EXISTS (SELECT FROM pg_operator o WHERE o.oid < ${USERS} AND o.oprcode = p.oid)))
),
opaque AS MATERIALIZED (
  SELECT oid FROM part WHERE found[1] <> ALL (${arrayOf(`${NODES} ${VIEW_NODES}`)})
    OR (found[2] IS NOT NULL AND found[2] NOT IN (SELECT oid FROM reading))
  UNION SELECT v.oid FROM view v JOIN pg_depend d
    ON d.classid = 'pg_rewrite'::regclass AND d.objid = v.rule
    WHERE d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT oid FROM special_type)
)`;

/** In falling order of what forbids more. */
const RELATIONS = `
traced AS MATERIALIZED (
  SELECT tgrelid AS relation FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
  WHERE p.oid >= ${USERS}
    OR NOT (p.proname LIKE 'RI\\_FKey\\_%' OR p.proname = 'unique_key_recheck')
),
special AS MATERIALIZED (
  SELECT relation FROM active WHERE use = 'define'
  UNION SELECT relation FROM row_function
  UNION SELECT indrelid FROM pg_index
    WHERE EXISTS (SELECT FROM unnest(indclass::oid[]) AS c WHERE c >= ${USERS})
  UNION SELECT partrelid FROM pg_partitioned_table
    WHERE EXISTS (SELECT FROM unnest(partclass::oid[]) AS c WHERE c >= ${USERS})
  UNION SELECT attrelid FROM pg_attribute
    WHERE attnum > 0 AND NOT attisdropped AND atttypid >= ${USERS}
      AND atttypid NOT IN (SELECT oid FROM plain_type)
),
defaulting AS MATERIALIZED (
  SELECT relation FROM active WHERE use = 'default'
  UNION SELECT attrelid FROM pg_attribute WHERE attidentity <> ''
),
relation AS (
  SELECT c.oid, n.nspname, c.relname, CASE
    WHEN c.oid IN (SELECT relation FROM special) THEN 'nothing'
    WHEN c.oid < ${USERS} THEN CASE WHEN c.relkind IN ('r', 'v') THEN 'read' ELSE 'nothing' END
    WHEN c.relkind = 'v' THEN CASE
      WHEN c.oid IN (SELECT oid FROM view) AND c.oid NOT IN (SELECT oid FROM opaque) THEN 'read'
      ELSE 'nothing' END
    WHEN c.relkind NOT IN ('r', 'p', 'm') OR c.relrowsecurity OR c.relam >= ${USERS} THEN 'nothing'
    WHEN c.relhasrules AND c.relkind <> 'm' THEN 'nothing'
    WHEN c.relkind = 'm' OR c.oid IN (SELECT relation FROM traced) THEN 'read'
    WHEN c.oid IN (SELECT relation FROM defaulting) THEN 'update'
    ELSE 'insert'
  END AS allows, CASE
    WHEN c.relrowsecurity THEN 'row_level_security'
    WHEN c.relpersistence = 't' OR (c.relkind = 'v' AND c.oid < ${USERS}) THEN 'relation_not_plain'
    ELSE 'harmless'
  END AS sharing
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = ANY (${RELKINDS}) AND n.nspname <> 'pg_toast'
)`;

/** Whether a special type \`t\` is more than the rows of a plain relation. */
const RUNS_CODE = '(t.typrelid = 0 OR t.typrelid IN (SELECT relation FROM special))';

/** What the grammar makes of words, and looks for in pg_catalog alone; of some anywhere. */
const GRAMMAR_FUNCTIONS = `btrim date_part extract is_normalized like_escape ltrim normalize
overlaps overlay pg_collation_for position rtrim similar_to_escape substring timezone xmlexists`;

/** What makes every expression of every text doubtful: casts do not show. */
const DOUBTS = `
SELECT 'doubt', 'cast', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM pg_cast c JOIN pg_type s ON s.oid = c.castsource WHERE ${CAST_IN_THE_WAY})
UNION ALL SELECT 'doubt', 'operator_class', NULL, NULL, NULL, NULL WHERE ${ORDER_IN_THE_WAY}
UNION ALL SELECT 'doubt', 'type_name', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM special_type t JOIN pg_type b USING (typname)
  WHERE b.oid < ${USERS} AND b.typnamespace = 'pg_catalog'::regnamespace
    AND ${RUNS_CODE})
UNION ALL SELECT 'doubt', 'function_of_grammar', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM pg_proc WHERE oid >= ${USERS} AND proname = ANY (CASE pronamespace
    WHEN 'pg_catalog'::regnamespace THEN ${arrayOf(GRAMMAR_FUNCTIONS)}
    ELSE '{substring,overlay}' END))`;

/**
 * Rows of six texts, the first says what the others are:
 * - `relation`: oid, schema, name, what it allows by itself, whether many may read it at once
 * - `same`: two oids; they belong to one tree of inheritance and allow the same
 * - `reaches`: oid referenced, oid referencing, what the latter must allow for the former to be
 *   written; the checks of the foreign key read both
 * - `over`: oid of a relation that a view reads, oid of the view
 * - `type`: schema, name of a plain type of users, whose name no other has
 * - `function`, `operator`: a name by which a text may mean a user's instead of the server's, or a
 *   type
 * - `attribute`: the name of a function of rows; those of a subquery become any
 * - `doubt`: what it is about
 */
export const FACTS_QUERY = `${HARMLESSLY}
WITH RECURSIVE ${[TYPES, ...OVERLOAD_PARTS, EXPRESSIONS, ROW_FUNCTIONS, VIEWS, RELATIONS].join(',')}
SELECT * FROM (
SELECT 'relation' AS about, oid::text AS a, nspname::text AS b, relname::text AS c, allows AS d,
    sharing AS e
  FROM relation
UNION ALL SELECT 'same', inhparent::text, inhrelid::text, NULL, NULL, NULL
  FROM pg_inherits JOIN relation ON oid = inhrelid
UNION ALL SELECT DISTINCT 'reaches', confrelid::text, conrelid::text,
    CASE WHEN 'd' IN (confupdtype, confdeltype) THEN 'insert'
      WHEN confupdtype IN ('c', 'n') OR confdeltype IN ('c', 'n') THEN 'update'
      ELSE 'read' END, NULL, NULL
  FROM pg_constraint WHERE contype = 'f'
UNION ALL SELECT 'type', nspname::text, typname::text, NULL, NULL, NULL
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE t.oid >= ${USERS} AND t.typtype IN ('d', 'e') AND t.oid IN (SELECT oid FROM plain_type)
    AND t.typname NOT IN (SELECT typname FROM special_type)
UNION ALL SELECT DISTINCT kind, name::text, NULL, NULL, NULL, NULL FROM in_the_way
UNION ALL SELECT DISTINCT 'attribute', name::text, NULL, NULL, NULL, NULL
  FROM row_function
UNION ALL SELECT DISTINCT 'function', t.typname::text, NULL, NULL, NULL, NULL
  FROM special_type t JOIN pg_proc b ON b.proname = t.typname
  WHERE b.oid < ${USERS} AND ${RUNS_CODE}
UNION ALL SELECT DISTINCT 'over', found[3], oid::text, NULL, NULL, NULL
  FROM part WHERE found[3] NOT IN ('0', oid::text)
UNION ALL ${DOUBTS}
) AS facts LIMIT ${ROWS_MAX + 1}`;
