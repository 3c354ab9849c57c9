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

/** More relations than this are not looked at: nothing is known of the database then. */
export const RELATIONS_MAX = 10_000;
/** Rows of an answer: relations, their links, types and functions. */
export const ROWS_MAX = 4 * RELATIONS_MAX;
const TIMEOUT_MS = 5_000;

/** FirstNormalObjectId: what initdb made has smaller ones. */
const USERS = 16_384;
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

/** Functions of users that \`x.f\` could call: with one argument, a row. */
const ROW_FUNCTIONS = `
row_function AS MATERIALIZED (
  SELECT t.oid AS type, t.typrelid AS relation FROM pg_proc p
  JOIN pg_type t ON t.oid = p.proargtypes[0]
  WHERE p.oid >= ${USERS} AND p.pronargs - p.pronargdefaults <= 1
    AND (t.typcategory = 'C' OR (t.oid < ${USERS} AND t.typname IN (
      'record', 'any', 'anyelement', 'anynonarray', 'anycompatible', 'anycompatiblenonarray')))
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
    WHEN c.relkind NOT IN ('r', 'p', 'm') OR c.relrowsecurity THEN 'nothing'
    WHEN c.relhasrules AND c.relkind <> 'm' THEN 'nothing'
    WHEN c.relkind = 'm' OR c.oid IN (SELECT relation FROM traced) THEN 'read'
    WHEN c.oid IN (SELECT relation FROM defaulting) THEN 'update'
    ELSE 'insert'
  END AS allows, CASE
    WHEN c.relrowsecurity THEN 'row_level_security'
    WHEN c.relkind NOT IN ('r', 'p', 'm') OR c.relpersistence = 't' THEN 'relation_not_plain'
    ELSE 'harmless'
  END AS sharing
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind = ANY (${RELKINDS}) AND n.nspname <> 'pg_toast'
)`;

/** What makes every expression of every text doubtful: operators and casts do not show. */
const DOUBTS = `
SELECT 'doubt', 'operator', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM pg_operator WHERE oid >= ${USERS})
UNION ALL SELECT 'doubt', 'cast', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM pg_cast WHERE oid >= ${USERS} AND castmethod = 'f')
UNION ALL SELECT 'doubt', 'operator_class', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM pg_opclass WHERE oid >= ${USERS})
UNION ALL SELECT 'doubt', 'function_of_rows', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM row_function WHERE relation = 0)
UNION ALL SELECT 'doubt', 'type_name', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM special_type t JOIN pg_type b USING (typname)
  WHERE b.oid < ${USERS} AND b.typnamespace = 'pg_catalog'::regnamespace
    AND (t.typrelid = 0 OR t.typrelid IN (SELECT relation FROM special)))
UNION ALL SELECT 'doubt', 'function_of_grammar', NULL, NULL, NULL, NULL WHERE EXISTS (
  SELECT FROM pg_proc WHERE oid >= ${USERS} AND proname IN ('substring', 'overlay'))`;

/**
 * Rows of six texts, the first says what the others are:
 * - `relation`: oid, schema, name, what it allows by itself, whether many may read it at once
 * - `same`: two oids; they belong to one tree of inheritance and allow the same
 * - `reaches`: oid referenced, oid referencing, what the latter must allow for the former to be
 *   written; the checks of the foreign key read both
 * - `type`: schema, name of a plain type of users, whose name no other has
 * - `shadow`: the name of a user's function that is also one of the server's
 * - `doubt`: what it is about
 */
export const FACTS_QUERY = `${HARMLESSLY}
WITH RECURSIVE ${[TYPES, EXPRESSIONS, ROW_FUNCTIONS, RELATIONS].join(',')}
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
UNION ALL SELECT DISTINCT 'shadow', p.proname::text, NULL, NULL, NULL, NULL
  FROM pg_proc p WHERE p.oid >= ${USERS} AND p.proname IN (
    SELECT proname FROM pg_proc b
    WHERE b.oid < ${USERS} AND b.pronamespace = 'pg_catalog'::regnamespace)
UNION ALL ${DOUBTS}
) AS facts LIMIT ${ROWS_MAX + 1}`;
