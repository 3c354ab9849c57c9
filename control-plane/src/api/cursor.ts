/** Page cursors: where the next page goes on, opaque to clients. */
import { isTenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { invalidField } from './api-errors.ts';

export function encodeCursor(next: string | undefined): string | null {
  return next === undefined ? null : Buffer.from(next, 'utf8').toString('base64url');
}

/** @throws VALIDATION_FAILED when it is not a cursor of an answer. */
export function decodeCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const next = Buffer.from(cursor, 'base64url').toString('utf8');
  if (isTenantId(next) && encodeCursor(next) === cursor) return next;
  throw invalidField('cursor', 'must be the next_cursor of an answer');
}
