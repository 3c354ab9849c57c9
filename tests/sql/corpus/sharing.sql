SELECT g.pg_advisory_lock FROM generate_series(1::bigint, 9) AS g
-- #
SELECT "G".mine FROM unnest(ARRAY[1]) "G"
-- #
SELECT unnest.mine FROM unnest(ARRAY[1])
-- #
SELECT t.a FROM t JOIN LATERAL unnest(t.list) g ON g.mine = t.a
-- #
SELECT u.id, u.n FROM unnest($1::int[]) WITH ORDINALITY AS u (id, n)
-- #
SELECT u.id, u.ordinality, u.mine FROM unnest($1::int[]) WITH ORDINALITY u (id)
-- #
SELECT e.key, e.value, x.value FROM json_each(a) e, jsonb_array_elements(e.value) AS x
-- #
SELECT x.mine FROM jsonb_array_elements_text($1) x
-- #
SELECT g.i, (SELECT g.j FROM s AS g) FROM generate_series(1, 2) g (i)
-- #
SELECT (g).mine, ((g)).pg_sleep, (ARRAY[g])[1].lo_create, $1.nextval FROM g
-- #
SELECT upper(a) FROM t FOR READ ONLY
-- #
SELECT a FROM t FOR NO KEY UPDATE OF t NOWAIT
-- #
(SELECT a FROM t FOR SHARE) UNION ALL SELECT 1
-- #
SELECT (SELECT a FROM t LIMIT 1 FOR UPDATE)
-- #
SELECT 1 AS for, 2 AS update, t.into, t.for FROM t
-- #
SELECT a "into", b "for" FROM "insert" AS "delete"
-- #
WITH "insert" AS (SELECT 1), update (a) AS (VALUES (2)) SELECT * FROM "insert", update
-- #
WITH a AS (SELECT 1), b AS NOT MATERIALIZED (INSERT INTO t VALUES (1) RETURNING *) TABLE b
-- #
SELECT * FROM (WITH x AS (DELETE FROM t RETURNING a) SELECT 1) AS s
-- #
SELECT 'DELETE FROM t' AS "INTO x", $$; DROP TABLE t$$, E'\'; DELETE' /* ; /* FOR */ UPDATE */ -- INTO
-- #
SELECT 1;;
-- #
;SELECT 1
-- #
SELECT 1; SELECT 2
-- #
SELECT a FROM ONLY (t), LATERAL f(t.a) WITH ORDINALITY
-- #
SELECT a::pg_catalog.int4, b::public.int4, int4 '1', pg_catalog.int4 '1', my.type '1', CAST(a AS my_type[])
-- #
SELECT pg_catalog.lower(a), public.lower(a), "lower"(a), "Lower"(a), lower (a) FROM t
-- #
SELECT a OPERATOR(pg_catalog.+) b, a OPERATOR(my.+) b FROM t ORDER BY a USING OPERATOR(my.<)
-- #
SELECT a COLLATE "C", a AT TIME ZONE 'UTC', a IS NORMALIZED, EXTRACT(year FROM a), POSITION('a' IN b), TRIM(a) FROM t
-- #
SELECT * FROM t TABLESAMPLE my_method(10) REPEATABLE (1), u TABLESAMPLE bernoulli(1)
-- #
SELECT GROUPING(a), count(*) FROM t GROUP BY GROUPING SETS ((a), ()), ROLLUP (a), CUBE (b)
-- #
WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SEARCH DEPTH FIRST BY n SET o CYCLE n SET c USING p TABLE r
-- #
SELECT sum(a) OVER w, lag(a, 1) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t WINDOW w AS (ORDER BY b)
-- #
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FILTER (WHERE b > 0) FROM t HAVING bool_and(c)
-- #
EXPLAIN (ANALYZE) SELECT 1
-- #
COPY (SELECT 1) TO STDOUT
-- #
PREPARE p AS SELECT 1
-- #
DECLARE c CURSOR FOR SELECT 1
-- #
SHOW transaction_read_only
-- #
SELECT query_to_xml('DELETE FROM t', true, true, '')
-- #
SELECT current_setting('a'), pg_backend_pid(), txid_current(), pg_sleep(1), nextval('s'), set_config('a', 'b', true)
