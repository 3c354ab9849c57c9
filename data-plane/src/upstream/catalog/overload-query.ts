/**
 * Which operators and functions of users could be meant where a text says the name of one of the
 * server's. Extensions bring many of them, mostly for a type of their own: a value of such a
 * *private* type cannot be had by a text unless it names the type, or a column or function that
 * gives one, and these are refused by themselves.
 * Owns: the SQL, parts of one WITH RECURSIVE. Leaves: the rest of it to catalog-query.ts.
 * Source: PostgreSQL manual, "Type Conversion"; src/backend/parser/parse_func.c
 * (func_match_argtypes, func_select_candidate), parse_oper.c (oper_select_candidate).
 */

/** FirstNormalObjectId: what initdb made has smaller ones. */
export const USERS = 16_384;

/**
 * Base and range types, and lists of them, that nothing else becomes by itself. One that is
 * preferred among strings could be taken for what an untyped literal means.
 */
const PRIVATE_TYPES = `
own_type AS MATERIALIZED (
  SELECT oid, typispreferred FROM pg_type WHERE oid >= ${USERS}
    AND (typtype IN ('r', 'm') OR (typtype = 'b' AND typinput <> 'array_in'::regproc))
),
reached_type AS (
  SELECT casttarget AS oid FROM pg_cast
  WHERE castcontext = 'i' AND castsource NOT IN (SELECT oid FROM own_type)
  UNION SELECT c.casttarget FROM pg_cast c JOIN reached_type r ON r.oid = c.castsource
  WHERE c.castcontext = 'i'
),
private_type AS MATERIALIZED (
  SELECT oid FROM own_type
    WHERE NOT typispreferred AND oid NOT IN (SELECT oid FROM reached_type)
  UNION SELECT t.oid FROM pg_type t JOIN own_type o ON o.oid = t.typelem
    WHERE t.typinput = 'array_in'::regproc AND NOT o.typispreferred
      AND o.oid NOT IN (SELECT oid FROM reached_type)
      AND t.oid NOT IN (SELECT oid FROM reached_type)
)`;

const TEXT = "'text'::regtype";

/**
 * \`in_the_way\`: kinds and names. Not those that take a private value and can be told from one of
 * the server's of that name even where arguments are literals of no type yet, which are taken
 * - for texts, where it takes texts in all places of private values and is the same in others;
 * - for nothing (an error), where it takes values of another category than the private ones.
 */
const OVERLOADS = `
overload AS MATERIALIZED (
  SELECT 'operator' AS kind, oid, oprname AS name, CASE oprleft WHEN 0 THEN ARRAY[oprright]
    ELSE ARRAY[oprleft, oprright] END AS takes, false AS varies FROM pg_operator
  UNION ALL
  SELECT 'function', oid, proname, proargtypes::oid[], provariadic <> 0 OR pronargdefaults > 0
  FROM pg_proc WHERE oid >= ${USERS} OR pronamespace = 'pg_catalog'::regnamespace
),
in_the_way AS MATERIALIZED (
  SELECT DISTINCT o.kind, o.name FROM overload o WHERE o.oid >= ${USERS}
    AND (o.kind = 'operator' OR EXISTS (
      SELECT FROM overload b WHERE b.oid < ${USERS} AND b.kind = o.kind AND b.name = o.name))
    AND NOT (NOT o.varies
      AND EXISTS (SELECT FROM unnest(o.takes) AS t WHERE t IN (SELECT oid FROM private_type))
      AND EXISTS (
        SELECT FROM overload b
        WHERE b.oid < ${USERS} AND b.kind = o.kind AND b.name = o.name
          AND cardinality(b.takes) = cardinality(o.takes)
          AND (NOT EXISTS (
            SELECT FROM unnest(o.takes, b.takes) AS pair (own, other) WHERE other <> CASE
              WHEN own IN (SELECT oid FROM private_type) THEN ${TEXT} ELSE own END
          ) OR (
            NOT EXISTS (
              SELECT FROM unnest(o.takes) AS t WHERE t NOT IN (SELECT oid FROM private_type))
            AND EXISTS (
              SELECT FROM pg_type x, pg_type y WHERE x.oid = o.takes[1] AND y.oid = b.takes[1]
                AND x.typcategory <> 'S' AND y.typcategory NOT IN ('S', 'P', x.typcategory))
          ))))
)`;

export const OVERLOAD_PARTS = [PRIVATE_TYPES, OVERLOADS];

/** Whether a cast \`c\`, whose source is \`s\`, may be made though no text shows it. */
export const CAST_IN_THE_WAY = `c.oid >= ${USERS} AND (c.castmethod = 'f' OR s.typtype = 'c')
  AND c.castsource NOT IN (SELECT oid FROM private_type)
  AND c.casttarget NOT IN (SELECT oid FROM private_type)`;

/** What sorts, groups or compares values of other than private types. */
export const ORDER_IN_THE_WAY = `EXISTS (
  SELECT FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod
  WHERE c.oid >= ${USERS} AND m.amname IN ('btree', 'hash')
    AND c.opcintype NOT IN (SELECT oid FROM private_type)
) OR EXISTS (
  SELECT FROM pg_amop o JOIN pg_am m ON m.oid = o.amopmethod
  WHERE o.oid >= ${USERS} AND m.amname IN ('btree', 'hash')
    AND (o.amoplefttype NOT IN (SELECT oid FROM private_type)
      OR o.amoprighttype NOT IN (SELECT oid FROM private_type))
) OR EXISTS (
  SELECT FROM pg_amproc p JOIN pg_opfamily f ON f.oid = p.amprocfamily
  JOIN pg_am m ON m.oid = f.opfmethod
  WHERE p.oid >= ${USERS} AND m.amname IN ('btree', 'hash')
    AND (p.amproclefttype NOT IN (SELECT oid FROM private_type)
      OR p.amprocrighttype NOT IN (SELECT oid FROM private_type))
)`;
