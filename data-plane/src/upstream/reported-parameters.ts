/**
 * What follows from the parameters that a server reports by itself (ParameterStatus).
 * Source: PostgreSQL manual, "Asynchronous Operations" in Message Flow, "Character Set Support"
 * (encodings in which a byte of a longer character may be ASCII).
 */

/** A server's reports at one time. */
export interface ReportedParameters {
  /** Equal for equal reports; a connection's name is not part of it. */
  readonly key: string;
  /** The same without what connections for reads alone have set otherwise. */
  readonly sharedKey: string;
  /** How a server that reports this reads texts. */
  readonly reading: TextReading;
  readonly values: ReadonlyMap<string, string>;
}

/** What keeps a connection that is meant for reads from writing. Reported since version 14. */
export const READ_ONLY = 'default_transaction_read_only';

export function reportedParameters(parameters: ReadonlyMap<string, string>): ReportedParameters {
  const values = new Map(parameters);
  const compared = [...values].filter(([name]) => name !== 'application_name');
  compared.sort(([a], [b]) => (a < b ? -1 : 1));
  const shared = compared.filter(([name]) => name !== READ_ONLY);
  return Object.freeze({
    key: JSON.stringify(compared),
    sharedKey: JSON.stringify(shared),
    reading: textReading(values),
    values,
  });
}

/**
 * - `standard`: as the SQL standard says
 * - `escapes`: backslashes in plain strings are escapes
 * - `opaque`: a byte that looks like a quote may be part of a character
 */
export type TextReading = 'standard' | 'escapes' | 'opaque';

const OPAQUE_ENCODINGS: ReadonlySet<string> = new Set(
  'BIG5 GB18030 GBK JOHAB SHIFT_JIS_2004 SJIS UHC'.split(' '),
);

export function textReading(parameters: ReadonlyMap<string, string>): TextReading {
  if (OPAQUE_ENCODINGS.has(parameters.get('client_encoding') ?? '')) return 'opaque';
  return parameters.get('standard_conforming_strings') === 'off' ? 'escapes' : 'standard';
}
