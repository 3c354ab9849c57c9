\set id random(1, 100)
SELECT body FROM bench_large WHERE id = :id;
