/**
 * ETag, If-Match and force: the version of a stream, as HTTP says it.
 * Source: RFC 9110, "If-Match" (strong comparison: a weak tag never matches).
 */
import type { TenantView } from '../store/read-models.ts';
import { controlErrors } from '../errors.ts';

const STRONG_TAG = /^"(\d{1,15})"$/;

/** What a request says about the version it writes on. */
export interface Precondition {
  readonly ifMatch: string | undefined;
  /** `forced`: whatever version is there, whatever If-Match says. */
  readonly version: 'checked' | 'forced';
}

export function etagOf(version: number): string {
  return `"${version}"`;
}

/**
 * The version a command must find, or nothing when any will do.
 * @throws VERSION_CONFLICT when `view` is none of those that If-Match names.
 */
export function expectedVersion(given: Precondition, view: TenantView): number | undefined {
  return expectedVersionOf(given, { what: `Tenant "${view.config.id}"`, version: view.version });
}

/** The same for whatever has a version. */
export function expectedVersionOf(
  { ifMatch, version: care }: Precondition,
  { what, version }: { readonly what: string; readonly version: number },
): number | undefined {
  // The one place where a write that names no version is let through.
  if (care === 'forced' || ifMatch === undefined) return undefined;
  if (ifMatch.trim() === '*') return undefined;
  const named = ifMatch.split(',').map((tag) => STRONG_TAG.exec(tag.trim())?.[1]);
  if (named.includes(String(version))) return version;
  throw controlErrors.fail(
    'VERSION_CONFLICT',
    `${what} is at version ${version}, not ${ifMatch.slice(0, 60)}.`,
    { hint: 'Read it again and repeat the change on what is there now.' },
  );
}
