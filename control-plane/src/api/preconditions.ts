/**
 * ETag and If-Match: the version of a stream, as HTTP says it.
 * Source: RFC 9110, "If-Match" (strong comparison: a weak tag never matches).
 */
import type { TenantView } from '../store/read-models.ts';
import { controlErrors } from '../errors.ts';

const STRONG_TAG = /^"(\d{1,15})"$/;

export function etagOf(version: number): string {
  return `"${version}"`;
}

/**
 * The version a command must find, or nothing when the request does not say.
 * @throws VERSION_CONFLICT when `view` is none of those that If-Match names.
 */
export function expectedVersion(ifMatch: string | undefined, view: TenantView): number | undefined {
  return expectedVersionOf(ifMatch, { what: `Tenant "${view.config.id}"`, version: view.version });
}

/** The same for whatever has a version. */
export function expectedVersionOf(
  ifMatch: string | undefined,
  { what, version }: { readonly what: string; readonly version: number },
): number | undefined {
  if (ifMatch === undefined || ifMatch.trim() === '*') return undefined;
  const named = ifMatch.split(',').map((tag) => STRONG_TAG.exec(tag.trim())?.[1]);
  if (named.includes(String(version))) return version;
  throw controlErrors.fail(
    'VERSION_CONFLICT',
    `${what} is at version ${version}, not ${ifMatch.slice(0, 60)}.`,
    { hint: 'Read it again and repeat the change on what is there now.' },
  );
}
