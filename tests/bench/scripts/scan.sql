SELECT count(*) FROM pgbench_accounts WHERE aid <= 600000 AND abalance > 1000000;
