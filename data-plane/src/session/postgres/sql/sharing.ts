/**
 * Whether a text may be one of many clients' on one server connection, as far as the text tells.
 * Owns: the rule and the words for what speaks against it; logs and metrics use the same words.
 * Leaves: what functions do to functions.ts, what names mean in a tenant's catalog to
 * shared/harmless.ts.
 */
import { unreachable } from '@dbbouncer/shared/kernel/assert.ts';
import { functionEffect } from './functions.ts';
import type { QualifiedName } from './names.ts';
import type { Statement } from './statement.ts';
import type { LexFault } from './tokens.ts';

/**
 * - `unparsable`, `too_long`: the text is not understood, or longer than is read
 * - `several_statements`: or none
 * - `writes`, `locks_rows`, `into`: what a query does besides reading, in a WITH too
 * - `not_a_read`: a statement of another kind
 * - `effectful_function`: it calls a built-in function that changes something, or waits
 * - `session_function`: it calls one that tells of the very session or server process
 * - `unknown_function`: it calls any other that is not known to read only
 * - `parameter_type`: it has a parameter of a type of users
 */
export type TextRefusal =
  | 'unparsable'
  | 'too_long'
  | 'several_statements'
  | 'writes'
  | 'locks_rows'
  | 'into'
  | 'not_a_read'
  | 'effectful_function'
  | 'session_function'
  | 'unknown_function'
  | 'parameter_type';

/**
 * `candidate`: one statement that reads, and calls only built-in functions that neither change nor
 * wait for anything, and answer the same in every session. Whether it is harmless is then for the
 * catalog to say.
 */
export type Sharing = 'candidate' | TextRefusal;

export function sharingOf(statements: readonly Statement[]): Sharing {
  const [statement] = statements;
  if (statement === undefined || statements.length > 1) return 'several_statements';
  if (statement.kind === 'read') return sharingOfCalls(statement.query.functions);
  return REFUSED_KINDS.get(statement.kind) ?? 'not_a_read';
}

const REFUSED_KINDS: ReadonlyMap<Statement['kind'], TextRefusal> = new Map([
  ['locking_read', 'locks_rows'],
  ['write', 'writes'],
  ['create_table_as', 'into'],
  ['create_temp', 'into'],
  ['empty', 'several_statements'],
  ['unknown', 'unparsable'],
]);

export function sharingOfFault(fault: LexFault | 'unbalanced_parentheses'): TextRefusal {
  return fault === 'text_too_long' || fault === 'too_many_tokens' ? 'too_long' : 'unparsable';
}

/** Of the first call that speaks against it. */
function sharingOfCalls(functions: readonly QualifiedName[]): Sharing {
  for (const name of functions) {
    const effect = functionEffect(name);
    switch (effect) {
      case 'reads':
        break;
      case 'reads_session':
        return 'session_function';
      case 'transactional':
      case 'advisory_lock':
      case 'set_config':
      case 'sequence':
      case 'seed':
        return 'effectful_function';
      case 'unknown':
        return 'unknown_function';
      default:
        return unreachable(effect);
    }
  }
  return 'candidate';
}
