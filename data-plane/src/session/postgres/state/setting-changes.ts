/**
 * What SET, RESET and DISCARD ALL make of a session's parameters, as pure functions over vectors.
 * Source: PostgreSQL manual, "SET", "RESET", "DISCARD".
 */
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { parameterVector, withParameter } from '../../../upstream/parameter-vector.ts';
import type { ParameterVector } from '../../../upstream/parameter-vector.ts';
import { isAscii } from '../sql/characters.ts';
import type { SettingChange } from '../sql/effects.ts';

/** Parameters of one client that are carried from one server connection to another. */
export const SETTINGS_MAX = 100;
/** Names and values of them together, in characters. */
export const SETTINGS_LENGTH_MAX = 16_384;

export function isTooMuch(vector: ParameterVector): boolean {
  return vector.values.size > SETTINGS_MAX || vector.key.length > SETTINGS_LENGTH_MAX;
}

/** Values beyond ASCII may have been written in another encoding than the client has now. */
export function isUnrepeatable({ values }: ParameterVector): boolean {
  return values.has('client_encoding') && ![...values.values()].every(isAscii);
}

/**
 * The vector after `change`. @param base what a RESET goes back to: the parameters that the client
 * started with, or on a server connection none.
 */
export function changed(
  vector: ParameterVector,
  change: SettingChange,
  base: ParameterVector,
): ParameterVector {
  switch (change.kind) {
    case 'set':
      return withParameter(vector, change.name, change.value ?? afterReset(change.name, base));
    case 'reset_all': {
      const kept = [...vector.values].filter(([name]) => SURVIVES_RESET_ALL.has(name));
      return parameterVector([...resetValues(vector, base), ...kept]);
    }
    case 'discard_all':
      return parameterVector(resetValues(vector, base));
    default:
      return unreachable(change);
  }
}

const SURVIVES_RESET_ALL: ReadonlySet<string> = new Set(['role']);

function resetValues(
  vector: ParameterVector,
  base: ParameterVector,
): readonly (readonly [string, string])[] {
  const names = [...vector.values.keys(), ...base.values.keys()];
  return names.flatMap((name) => {
    const value = afterReset(name, base);
    return value === undefined ? [] : [[name, value] as const];
  });
}

/** A parameter of two parts that was ever set is empty after a RESET, but there. */
function afterReset(name: string, base: ParameterVector): string | undefined {
  return base.values.get(name) ?? (isCustom(name) ? '' : undefined);
}

/** Extensions' and users' own parameters have a dot in their name. */
export function isCustom(name: string): boolean {
  return name.includes('.');
}

/** Reported parameters that nobody sets by name, or that are no part of what is carried over. */
export const FOLLOWING: ReadonlySet<string> = new Set([
  'application_name',
  'in_hot_standby',
  'integer_datetimes',
  'is_superuser',
  'server_encoding',
  'server_version',
  'session_authorization',
]);
