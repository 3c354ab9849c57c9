/**
 * What clients read alike that are greeted under the same parameters: made once, and shared by all
 * of them for as long as they are there.
 * Leaves: which parameters those are to greeting.ts.
 */
import { EMPTY_VECTOR, parameterVector } from '../../upstream/parameter-vector.ts';
import type { ParameterVector } from '../../upstream/parameter-vector.ts';
import { reportedParameters } from '../../upstream/reported-parameters.ts';
import type { ReportedParameters } from '../../upstream/reported-parameters.ts';
import { encodeAuthenticationOk } from '../../wire/postgres/authentication-messages.ts';
import { encodeParameterStatus } from '../../wire/postgres/backend-messages.ts';

export interface Welcome {
  /** What the clients have asked for. */
  readonly vector: ParameterVector;
  /** What the server says of itself then. */
  readonly reported: ReportedParameters;
  /** AuthenticationOk and ParameterStatus of all but application_name, which each has its own. */
  readonly messages: Buffer;
}

const welcomes = new WeakMap<ReadonlyMap<string, string>, Welcome>();

/** @param reported never changes, and is of `vector` alone */
export function welcomeUnder(
  reported: ReadonlyMap<string, string>,
  vector: ParameterVector,
): Welcome {
  let welcome = welcomes.get(reported);
  if (welcome === undefined) {
    const shared = [...reported].filter(([name]) => name !== 'application_name');
    const statuses = shared.map(([name, value]) => encodeParameterStatus(name, value));
    welcome = Object.freeze({
      vector,
      reported: reportedParameters(reported),
      messages: Buffer.concat([encodeAuthenticationOk(), ...statuses]),
    });
    welcomes.set(reported, welcome);
  }
  return welcome;
}

/** Drops what the server does anyway: most drivers ask for the encoding that it has. */
export function withoutDefaults(
  vector: ParameterVector,
  known: ReadonlyMap<string, string>,
): ParameterVector {
  if (vector.values.size === 0) return EMPTY_VECTOR;
  const defaults = byLowerName(known);
  const differing = [...vector.values].filter(
    ([name, value]) => !sameValue(defaults.get(name), value),
  );
  return differing.length === vector.values.size ? vector : parameterVector(differing);
}

const lowerNames = new WeakMap<ReadonlyMap<string, string>, ReadonlyMap<string, string>>();

function byLowerName(known: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  let lower = lowerNames.get(known);
  if (lower === undefined) {
    lower = new Map([...known].map(([name, value]) => [name.toLowerCase(), value]));
    lowerNames.set(known, lower);
  }
  return lower;
}

/** Encodings are written in several ways; the server reports the one it uses. */
function sameValue(reported: string | undefined, asked: string): boolean {
  if (reported === undefined) return false;
  if (reported === asked) return true;
  const plain = (text: string) => text.toLowerCase().replaceAll(/[-_'" ]/g, '');
  return plain(asked) === 'utf8' && plain(reported) === 'utf8';
}
