SELECT 1
-- #
select * from t
-- #
SELECT
-- #
VALUES (1, 'a'), (2, 'b')
-- #
TABLE t
-- #
TABLE ONLY s.t
-- #
(SELECT 1)
-- #
((SELECT 1) UNION ALL (SELECT 2)) ORDER BY 1
-- #
(TABLE t) UNION TABLE u
-- #
SELECT a, b AS c, t.*, s.t.d FROM s.t WHERE a = $1 AND b <> 'x' ORDER BY a DESC NULLS LAST LIMIT 10 OFFSET 5
-- #
SELECT count(*), sum(x) FILTER (WHERE x > 0), max(y) OVER (PARTITION BY z ORDER BY w) FROM t GROUP BY a HAVING count(*) > 1
-- #
SELECT * FROM a JOIN b USING (id) LEFT JOIN c ON c.id = b.id CROSS JOIN d NATURAL JOIN e, f
-- #
SELECT * FROM a JOIN (b JOIN c USING (x)) ON true
-- #
SELECT * FROM (a CROSS JOIN b) AS j (x, y), c
-- #
SELECT * FROM a LEFT JOIN (SELECT 1 AS x) s ON a.x = s.x
-- #
SELECT * FROM a, LATERAL (SELECT * FROM b WHERE b.x = a.x) l, c
-- #
SELECT * FROM generate_series(1, 10) AS g(i), unnest(ARRAY[1, 2]) WITH ORDINALITY AS u(v, n)
-- #
SELECT * FROM ROWS FROM (generate_series(1, 2), my_rows(3)) AS r(a, b)
-- #
SELECT * FROM my_function(1) f, my_schema.other('x') AS o
-- #
SELECT * FROM ONLY t, ONLY (u)
-- #
SELECT * FROM t TABLESAMPLE bernoulli (10) REPEATABLE (1)
-- #
SELECT * FROM t FOR UPDATE
-- #
SELECT * FROM t FOR NO KEY UPDATE OF t SKIP LOCKED
-- #
SELECT * FROM t FOR SHARE NOWAIT
-- #
SELECT * FROM t FOR KEY SHARE
-- #
SELECT * FROM (SELECT * FROM t FOR UPDATE) x
-- #
WITH a AS (SELECT 1) SELECT * FROM a
-- #
WITH a AS (SELECT * FROM a), b(x, y) AS MATERIALIZED (SELECT 1, 2), c AS NOT MATERIALIZED (TABLE a) SELECT * FROM a, b, c, d
-- #
WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 100) SELECT sum(n) FROM t
-- #
WITH recursive AS (SELECT 1) SELECT * FROM recursive
-- #
WITH RECURSIVE g AS (SELECT id, link FROM graph UNION ALL SELECT s.id, s.link FROM graph s, g WHERE s.id = g.link) SEARCH DEPTH FIRST BY id SET ord CYCLE id, link SET is_cycle TO true DEFAULT false USING path SELECT * FROM g
-- #
WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a
-- #
WITH a AS (SELECT 1), b AS (INSERT INTO t SELECT * FROM a RETURNING id) SELECT * FROM b
-- #
WITH a AS (WITH inner_one AS (SELECT 1) SELECT * FROM inner_one) SELECT * FROM a, inner_one
-- #
WITH a AS (SELECT 1) (SELECT * FROM a)
-- #
SELECT (WITH q AS (SELECT 1 AS x) SELECT x FROM q), q FROM q
-- #
SELECT 1 INTO x
-- #
SELECT a INTO TABLE s.x FROM t
-- #
SELECT a INTO TEMP x FROM t
-- #
SELECT a INTO TEMPORARY TABLE x FROM t
-- #
SELECT a INTO LOCAL TEMP x FROM t
-- #
SELECT a INTO UNLOGGED x FROM t
-- #
SELECT a INTO pg_temp.x FROM t
-- #
SELECT 1 AS into, 2 AS "from", t.into, 3 AS "for" FROM t
-- #
SELECT CASE WHEN a THEN b ELSE c END, CASE f(x) WHEN 1 THEN g(y) END FROM t
-- #
SELECT CAST(a AS integer), CAST(b AS my_domain), c::numeric(10, 2), d::my_schema.my_type, e::character varying(20)[], f::timestamp with time zone FROM t
-- #
SELECT date '2020-01-01', interval '1 day', my_domain 'x', timestamp with time zone '2020-01-01', double precision '1', bit '101'
-- #
SELECT extract(year FROM now()), substring('abc' FROM 2 FOR 1), trim(both 'x' from y), overlay('abc' placing 'x' from 2), position('a' in 'b') FROM t
-- #
SELECT extract(epoch FROM (SELECT max(d) FROM u)) FROM t
-- #
SELECT a IS DISTINCT FROM b, c IS NOT DISTINCT FROM f(d) FROM t
-- #
SELECT coalesce(a, f(b)), nullif(a, b), greatest(1, 2), least(a, g(1)), row(1, 2), (1, 2), ARRAY[1, h(2)], ARRAY(SELECT 1) FROM t
-- #
SELECT EXISTS (SELECT 1 FROM u), a IN (SELECT b FROM v), a = ANY (ARRAY[1]), a > ALL (SELECT 1), a BETWEEN f(1) AND f(2), a LIKE ('x'), a NOT ILIKE 'y' ESCAPE 'z' FROM t
-- #
SELECT DISTINCT ON (a) f(b), over(1) FROM t
-- #
SELECT DISTINCT ON (a) over(1) FROM t
-- #
SELECT 1 OPERATOR(pg_catalog.+) f(2), a OPERATOR(s.~~) b FROM t
-- #
SELECT left('abc', 1), right('abc', 1), "left"('abc', 1), replace('a', 'b', 'c'), by(1), "by"(2)
-- #
SELECT join(1), over(2), filter(3), set(4), conflict(5), insert(6), first(7), cube(8, 9), rollup(1)
-- #
SELECT a, count(*) FROM t GROUP BY ROLLUP (a, b), CUBE (c), GROUPING SETS ((a), (), ROLLUP (d)), cube_of(e)
-- #
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x), cube(1, 2) FROM t
-- #
SELECT pg_catalog.lower('A'), "pg_catalog"."upper"('a'), other.lower('B'), "Lower"('c'), U&"\006Cower"('d')
-- #
SELECT a.b.c(1), db.s.f(2)
-- #
SELECT x.y, (x).y, (f(x)).y.z, a[1].b, $1.c FROM x
-- #
SELECT set_config('a.b', 'c', true), current_setting('x')
-- #
SELECT set_config('a.b', 'c', false)
-- #
SELECT set_config('a.b', 'c', NOT false)
-- #
SELECT set_config(setting_name => 'a.b', new_value => 'c', is_local => true)
-- #
SELECT pg_advisory_lock(1), pg_advisory_xact_lock(2), pg_sleep(0)
-- #
SELECT nextval('s'), currval('s'), lastval()
-- #
SELECT json_object('a': 1, 'b': f(2)), json_build_object('a', g(1)), '{"a": 1}'::jsonb -> 'a' ->> 'b', '[]'::jsonb @> '[1]', j #>> '{a,b}', j ? 'x', j ?| array['a'] FROM t
-- #
SELECT xmlelement(name foo, xmlattributes(a AS b), f(c)), xmlparse(document '<x/>'), xmlserialize(content x AS my_text) FROM t
-- #
SELECT now() AT TIME ZONE 'UTC', ts AT TIME ZONE f(x), ts AT LOCAL FROM t
-- #
SELECT a COLLATE "C", collation for (b) FROM t ORDER BY a USING <, b
-- #
SELECT * FROM t WHERE (a, b) OVERLAPS (c, d) OR x SIMILAR TO 'y'
-- #
SELECT current_date, current_timestamp(3), localtime, current_user, session_user, current_schema, current_schema()
-- #
SELECT * FROM t FETCH FIRST 5 ROWS ONLY
-- #
SELECT * FROM t ORDER BY a FETCH FIRST (f(5)) ROWS WITH TIES
-- #
SELECT sum(a) OVER w, rank() OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WINDOW w AS (PARTITION BY (b), (c))
-- #
SELECT * FROM a JOIN b ON a.x = CASE WHEN b.y THEN 1 ELSE 2 END, c
-- #
SELECT * FROM a JOIN b ON a.x = current_date AND a.y IN (1, 2) AND b.z = user, c
-- #
SELECT * FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','p','') AND n.nspname !~ '^pg_toast' AND pg_catalog.pg_table_is_visible(c.oid)
-- #
SELECT a FROM t EXCEPT SELECT b FROM u INTERSECT SELECT c FROM v
-- #
SELECT $1::int + $2, $3
-- #
SELECT 0x1F, 0o17, 0b11, 1_000, 1.5e-3, .5, 5., 1e10
-- #
SELECT DISTINCT 1 FROM (a JOIN (WITH ordinality AS NOT MATERIALIZED (SELECT 1 FROM b) SELECT 1 FROM c) j ON true), f(1) WITH ordinality AS o (x)
-- #
WITH recursive (ca) AS (SELECT 1 FROM r), s AS (SELECT 2) SELECT * FROM recursive, s
-- #
SELECT a distinct FROM t
-- #
SELECT t.is distinct FROM u, v
-- #
SELECT 1 AS as FROM t
-- #
SELECT 1 AS join, my_type 'x' FROM t
-- #
SELECT 1 merge INTO x FROM t
-- #
TABLE values
-- #
SELECT a FROM t GROUP BY ARRAY[date '2020-01-01', rollup()]
-- #
SELECT DISTINCT ON (a) a FROM (b JOIN (c x (y) LEFT JOIN d ON e()) USING (y))
-- #
SELECT * FROM t values (a), u values (b) JOIN v ON true, w
-- #
SELECT like 'x', a LIKE 'y', (b) NOT LIKE 'z' FROM t WHERE like 'w' IS NULL
