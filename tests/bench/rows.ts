/** The rows of the comparison, in the order they are shown. */
import type { Row } from './row.ts';
import { CROWD_ROWS } from './rows/crowd-rows.ts';
import { LONE_ROWS } from './rows/lone-rows.ts';
import { MEMORY_ROWS } from './rows/memory-rows.ts';
import { MIXED_ROWS } from './rows/mixed-rows.ts';
import { PGBENCH_ROWS } from './rows/pgbench-rows.ts';

export const ROWS: readonly Row[] = Object.freeze([
  ...PGBENCH_ROWS,
  ...MEMORY_ROWS,
  ...CROWD_ROWS,
  ...MIXED_ROWS,
  ...LONE_ROWS,
]);
