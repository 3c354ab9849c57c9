/** Page cursors: where the next page goes on, opaque to clients. */
import { isProxyId, isTenantId } from '@dbbouncer/shared/kernel/ids.ts';
import type { Position } from '@dbbouncer/shared/kernel/ids.ts';
import { invalidField } from './api-errors.ts';

export function encodeCursor(next: string | undefined): string | null {
  return next === undefined ? null : Buffer.from(next, 'utf8').toString('base64url');
}

/** @throws VALIDATION_FAILED when it is not a cursor of an answer. */
export function decodeCursor(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const next = textOf(cursor);
  if (next !== undefined && isTenantId(next)) return next;
  throw notACursor();
}

/**
 * A cursor of numbers, and of a tenant where the page is one of tenants: `10 20 acme`.
 * @param count of the numbers.
 * @throws VALIDATION_FAILED when it is not a cursor of such an answer.
 */
export function decodePlace(
  cursor: string,
  count: number,
): { readonly numbers: readonly Position[]; readonly key: string } {
  const words = textOf(cursor)?.split(' ') ?? [];
  const numbers = words.slice(0, count);
  const [key = '', ...others] = words.slice(count);
  if (numbers.length < count || !numbers.every((word) => NUMBER.test(word))) throw notACursor();
  if (others.length > 0 || (key !== '' && !isTenantId(key))) throw notACursor();
  return { numbers: numbers.map(Number), key };
}

/** A cursor of a proxy and a number: `p1 20`. @throws VALIDATION_FAILED when it is none. */
export function decodeProxyPlace(cursor: string | undefined) {
  if (cursor === undefined) return undefined;
  const [proxy = '', number = '', ...others] = textOf(cursor)?.split(' ') ?? [];
  if (!isProxyId(proxy) || !NUMBER.test(number) || others.length > 0) throw notACursor();
  return { proxy, number: Number(number) };
}

const NUMBER = /^\d{1,15}$/;

function textOf(cursor: string): string | undefined {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  return encodeCursor(text) === cursor ? text : undefined;
}

function notACursor(): Error {
  return invalidField('cursor', 'must be the next_cursor of an answer');
}
