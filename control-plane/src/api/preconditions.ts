/**
 * ETag, If-Match and force: the version of a stream, as HTTP says it, and who has to name one.
 * Source: RFC 9110 §13.1.1 "If-Match" (strong comparison: a weak tag never matches; `*` is whatever
 * is there), RFC 6585 §3 "428 Precondition Required".
 */
import type { FastifyRequest } from 'fastify';
import type { TenantView } from '../store/read-models.ts';
import { WrongVersion } from './api-errors.ts';
import { isSaid } from './writes/query-flag.ts';
import type { QueryFlag } from './writes/query-flag.ts';

const STRONG_TAG = /^"(\d{1,15})"$/;

/** Methods that write over something: who uses them must say on which version of it. */
const REPLACES: ReadonlySet<string> = new Set(['PUT', 'PATCH', 'DELETE']);

/** What a request says about the version it writes on. */
export interface Precondition {
  readonly ifMatch: string | undefined;
  /**
   * `required`: a version must be named, and be that. `optional`: when one is named, it must be
   * that. `forced`: whatever version is there, whatever If-Match says.
   */
  readonly version: 'required' | 'optional' | 'forced';
  /** Where the version is named, in the words of the request. */
  readonly field: 'If-Match' | 'if_match';
  /** Is given the refusal of a change that names no version: a rehearsal goes on, and tells it. */
  readonly onMissing: (refusal: WrongVersion) => void;
}

/** What has a version, with a name to tell of it. */
interface Versioned {
  readonly what: string;
  readonly version: number;
}

export function etagOf(version: number): string {
  return `"${version}"`;
}

/** What the header and the query of a write say. */
export function preconditionOf(
  request: FastifyRequest,
  onMissing: Precondition['onMissing'],
): Precondition {
  const { force } = request.query as { readonly force?: QueryFlag };
  const required = REPLACES.has(request.method) ? 'required' : 'optional';
  return {
    ifMatch: request.headers['if-match'],
    version: isSaid(force) ? 'forced' : required,
    field: 'If-Match',
    onMissing,
  };
}

/**
 * The version a command must find, or nothing when any will do.
 * @throws VERSION_CONFLICT when `view` is none of those that are named; PRECONDITION_REQUIRED when
 * none is named and one must be.
 */
export function expectedVersion(given: Precondition, view: TenantView): number | undefined {
  return expectedVersionOf(given, { what: `Tenant "${view.config.id}"`, version: view.version });
}

/** The same for whatever has a version. */
export function expectedVersionOf(
  given: Precondition,
  { what, version }: Versioned,
): number | undefined {
  const { ifMatch, version: care } = given;
  if (care === 'forced') return undefined;
  if (ifMatch === undefined) {
    if (care === 'required') given.onMissing(versionMissing(given, { what, version }));
    return undefined;
  }
  if (ifMatch.trim() === '*') return undefined;
  const named = ifMatch.split(',').map((tag) => STRONG_TAG.exec(tag.trim())?.[1]);
  if (named.includes(String(version))) return version;
  throw new WrongVersion(
    'VERSION_CONFLICT',
    etagOf(version),
    `${what} is at version ${version}, not ${ifMatch.slice(0, 60)}.`,
    'Read it again and repeat the change on what is there now.',
  );
}

function versionMissing({ field }: Precondition, { what, version }: Versioned): WrongVersion {
  const current = etagOf(version);
  return new WrongVersion(
    'PRECONDITION_REQUIRED',
    current,
    `${what} is at version ${version}; the request does not say which one it changes.`,
    `Send ${field}: ${current} to change what is there now, or ?force=true to write over whatever` +
      ' is there.',
  );
}
