/**
 * Words of a query that are said or not: `?force`, `?force=true`, `?force=false`.
 */
import { z } from 'zod';

export type QueryFlag = 'true' | 'false' | '';

/** Schema of one; the name alone says yes. */
export function queryFlag(description: string) {
  return z.enum(['true', 'false', '']).optional().meta({ description });
}

export function isSaid(flag: QueryFlag | undefined): boolean {
  return flag === 'true' || flag === '';
}
