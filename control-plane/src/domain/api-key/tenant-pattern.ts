/**
 * Which tenants an API key reaches: a glob over ids in which `*` stands for any characters and `?`
 * for one. Case does not count, as in ids.
 */
import { tenantKey } from '@dbbouncer/shared/kernel/ids.ts';

export const TENANT_PATTERN = /^[a-zA-Z0-9_*?-]{1,63}$/;
export const TENANT_PATTERN_RULE =
  '1 to 63 letters, digits, "_" or "-", with "*" for any characters and "?" for one';

/** Whether a tenant is within reach; without a pattern every one is. */
export function reaches(pattern: string | null, tenantId: string): boolean {
  return pattern === null || matchesGlob(tenantKey(pattern), tenantKey(tenantId));
}

/**
 * Goes back to the last star alone, never to an earlier one: at most pattern times text steps,
 * whatever they are.
 */
function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let starAt = 0;
  let next = 0;
  while (at < text.length) {
    const wanted = pattern[next];
    if (wanted === '*') {
      star = next;
      starAt = at;
      next += 1;
    } else if (wanted === '?' || wanted === text[at]) {
      next += 1;
      at += 1;
    } else if (star !== -1) {
      starAt += 1;
      at = starAt;
      next = star + 1;
    } else {
      return false;
    }
  }
  while (pattern[next] === '*') next += 1;
  return next === pattern.length;
}
