SET search_path = a
-- #
SET search_path TO "$user", public, "A b", 'c,d', select_me, "select"
-- #
SET search_path = 'a, b'
-- #
SET SCHEMA 'tenant_1'
-- #
SET work_mem = '64MB'
-- #
SET work_mem TO 65536
-- #
SET SESSION statement_timeout = 5000
-- #
SET LOCAL statement_timeout = '5s'
-- #
SET local TO 5
-- #
SET session = 'x'
-- #
SET seq_page_cost = 1.5
-- #
SET seq_page_cost = .5
-- #
SET geqo_seed = +0.25
-- #
SET extra_float_digits = -15
-- #
SET extra_float_digits = 003
-- #
SET vacuum_cost_page_hit = 4294967296
-- #
SET application_name = E'it\'s \u0041 \x41 \101 \t'
-- #
SET application_name = $$dollar 'quoted'$$
-- #
SET application_name = 'con'
  'tinued'
-- #
SET application_name = MixedCase
-- #
SET application_name = "MixedCase"
-- #
SET "Application_Name" = 'quoted name'
-- #
SET enable_seqscan = off
-- #
SET enable_seqscan = ON
-- #
SET enable_seqscan TO true
-- #
SET enable_seqscan TO FALSE
-- #
SET work_mem TO DEFAULT
-- #
SET DateStyle = ISO, MDY
-- #
SET datestyle TO 'SQL, DMY'
-- #
SET IntervalStyle TO postgres_verbose
-- #
SET TIME ZONE 'Europe/Berlin'
-- #
SET TIME ZONE "Europe/Berlin"
-- #
SET TIME ZONE utc
-- #
SET TIME ZONE -7
-- #
SET TIME ZONE 5.5
-- #
SET TIME ZONE LOCAL
-- #
SET TIME ZONE DEFAULT
-- #
SET SESSION TIME ZONE 'UTC'
-- #
SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE
-- #
SET timezone = 'UTC'
-- #
SET NAMES 'UTF8'
-- #
SET NAMES
-- #
SET NAMES DEFAULT
-- #
SET ROLE postgres
-- #
SET ROLE NONE
-- #
SET ROLE 'some role'
-- #
SET LOCAL ROLE "Admin"
-- #
SET SESSION ROLE x
-- #
SET role = 'y'
-- #
SET SESSION AUTHORIZATION postgres
-- #
SET SESSION AUTHORIZATION 'postgres'
-- #
SET SESSION AUTHORIZATION DEFAULT
-- #
SET LOCAL SESSION AUTHORIZATION postgres
-- #
SET SESSION SESSION AUTHORIZATION postgres
-- #
SET XML OPTION DOCUMENT
-- #
SET XML OPTION CONTENT
-- #
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
-- #
SET TRANSACTION READ ONLY, DEFERRABLE
-- #
SET LOCAL TRANSACTION READ WRITE
-- #
SET TRANSACTION SNAPSHOT '00000003-0000001B-1'
-- #
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY, NOT DEFERRABLE
-- #
SET SESSION SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
-- #
SET transaction_isolation = 'serializable'
-- #
SET transaction_read_only TO on
-- #
SET CONSTRAINTS ALL DEFERRED
-- #
SET CONSTRAINTS a, s.b IMMEDIATE
-- #
SET myapp.tenant = '42'
-- #
SET "MyApp".Tenant.Deep TO x
-- #
SET search_path FROM CURRENT
-- #
SET search_path = pg_temp, public
-- #
SET seed = 0.5
-- #
SET x.y = 1, 2, three, 'four''s', "Five"
-- #
SET x.y = U&'\0041'
-- #
RESET work_mem
-- #
RESET ALL
-- #
RESET TIME ZONE
-- #
RESET TRANSACTION ISOLATION LEVEL
-- #
RESET SESSION AUTHORIZATION
-- #
RESET ROLE
-- #
RESET myapp.tenant
-- #
SHOW work_mem
-- #
SHOW ALL
-- #
SHOW TIME ZONE
-- #
SHOW TRANSACTION ISOLATION LEVEL
-- #
SHOW SESSION AUTHORIZATION
-- #
SHOW myapp.tenant
-- #
DISCARD ALL
-- #
DISCARD TEMP
-- #
DISCARD TEMPORARY
-- #
DISCARD PLANS
-- #
DISCARD SEQUENCES
