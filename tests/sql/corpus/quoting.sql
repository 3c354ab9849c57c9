SELECT 'a;b', "c;d" FROM "t;u"; SELECT 2
-- #
SELECT 'it''s; fine'; SELECT ''''
-- #
SELECT '\'; SELECT 2
-- #
SELECT E'\'; still in'; SELECT 2
-- #
SELECT e'a''b\\'; SELECT 2
-- #
SELECT E'\\\'; x', E'\n\u00e9\U0001F600\x41\101'; COMMIT
-- #
SELECT $$;$$, $a$ $$ ; $b$ $a$; SELECT $q$it's$q$
-- #
SELECT $é$ ; $é$; SELECT 1
-- #
SELECT a$b$c, $1; SELECT 2
-- #
SELECT $tag$ $tag $tag$; SELECT 2
-- #
/* ; /* nested ; */ ; */ SELECT 1; -- ; end
-- #
SELECT 1 -- comment ; SELECT 2
; SELECT 3
-- #
SELECT 1--
+2; SELECT 1 /**/ ; SELECT /* ' */ 2 /* " */
-- #
SELECT E'a'
 'b\'c;' ; SELECT 2
-- #
SELECT b'0101', B'1'
'0', x'1F', X'ff'; SELECT n'x;', N'y'''
-- #
SELECT u&1, U & 2, u & 'x' FROM t
-- #
SELECT "a""b;", "weird name", "ünïcödé", ünïcödé, Ünïcödé FROM "SELECT"
-- #
SELECT 1+-1, 2*-3, 4<-5, a@-b, c?-d, e<>-f, g#-h, 1 - -1, 2+/* x */3, 4*/**/5 FROM t
-- #
SELECT a<=b, a>=b, a!=b, a<>b, f(a=>b, c:=d) FROM f(a => 1, b := 2)
-- #
SELECT a->b, a->>b, a#>b, a#>>b, a@>b, a<@b, a?b, a?|b, a?&b, a||b, a@@b, a~b, a!~*b, a~~b, |/4, @-5, !!c FROM t
-- #
SELECT a[1:2], b[:], c::int::text, d :: int FROM t
-- #
SELECT 1.5, .5, 5., 1e5, 1.e5, 1E-5, 0xDEAD_beef, 0o17, 0B01, 1_000_000, 1.5_5
-- #
SELECT a.*, b . c, d
. e FROM t
-- #
;;; SELECT 1 ;; SELECT 2 ;;;
-- #
;
-- #

-- #
/* only a comment */
-- #
-- only a line
-- #
SELECT 1;SELECT 2;SELECT 3
-- #
SELECT ';' AS ";", $$;$$ -- ;
, E';' /* ; */; ROLLBACK
-- #
select'a'from"t"where"b"='c'
-- #
SELECT 'tab	newline
in string'; SELECT 2
-- #
BEGIN; SET LOCAL a.b = 1; INSERT INTO t VALUES (1); COMMIT; DISCARD ALL
-- #
SELECT E'\1'''; SELECT E'''\''; SELECT ''
-- #
SELECT "identifier_that_is_longer_than_sixty_three_bytes_and_therefore_cut_by_the_server" FROM t
-- #
select pg_catalog . set_config ( 'a' , 'b' , /* no */ true )
-- #
SELECT(1)FROM"t"WHERE(a)IN(1)
-- #
SELECT - - 1, + + 2, ~ - 3, - -- x
1
-- #
SELECT U&'\0441\043b', U&'d!0061t!+000061' UESCAPE '!', U&"d\0061t;" , U&"d*0061ta" UESCAPE
 '*' FROM t; SELECT 1
-- #
SELECT 'one'
'two;'

	'three' ; SELECT 2
