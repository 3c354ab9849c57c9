/** The measurements of the scale, in the order they are made. */
import { BUDGET_ROWS } from './rows/budget-rows.ts';
import { FLEET_ROWS } from './rows/fleet-rows.ts';
import { LOG_ROWS } from './rows/log-rows.ts';
import { PLANE_ROWS } from './rows/plane-rows.ts';
import { PROXY_ROWS } from './rows/proxy-rows.ts';
import type { ScaleRow } from './scale-row.ts';

export const SCALE_ROWS: readonly ScaleRow[] = [
  ...LOG_ROWS,
  ...PLANE_ROWS,
  ...PROXY_ROWS,
  ...FLEET_ROWS,
  ...BUDGET_ROWS,
];
