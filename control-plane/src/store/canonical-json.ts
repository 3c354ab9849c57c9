/**
 * The one JSON text of a value: what the hash chain hashes and the event log stores. Members sorted
 * by the UTF-16 units of their names, no white space, strings and numbers as ECMAScript writes
 * them, members that are undefined left out. Source: RFC 8785 (JSON Canonicalization Scheme), §3.2.
 */

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [name: string]: JsonValue | undefined;
}

/** @throws TypeError for what JSON cannot say: a number that is not finite, a lone surrogate. */
export function canonicalJson(value: JsonValue): string {
  if (Array.isArray(value)) {
    return `[${value.map((item: JsonValue) => canonicalJson(item)).join(',')}]`;
  }
  if (value !== null && typeof value === 'object') return canonicalObject(value as JsonObject);
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new TypeError(`${value} is not a JSON number`);
  }
  if (typeof value === 'string') return canonicalString(value);
  return JSON.stringify(value);
}

function canonicalObject(object: JsonObject): string {
  const members: string[] = [];
  for (const name of Object.keys(object).sort()) {
    const value = object[name];
    if (value !== undefined) members.push(`${canonicalString(name)}:${canonicalJson(value)}`);
  }
  return `{${members.join(',')}}`;
}

function canonicalString(text: string): string {
  if (!text.isWellFormed()) throw new TypeError('a string with a lone surrogate has no JSON text');
  return JSON.stringify(text);
}
