/**
 * What is known of a query from its text.
 */
import type { QualifiedName } from './names.ts';
import type { SetConfig } from './set-config.ts';

export interface QueryFacts {
  /** As written, in order, with repetitions; not those that name a CTE. */
  readonly relations: readonly QualifiedName[];
  /** Called with parentheses, or maybe by an attribute. */
  readonly functions: readonly QualifiedName[];
  /** Cast to, or written before a literal, and not built in: a domain's checks call functions. */
  readonly types: readonly QualifiedName[];
  /** Those that the text shows or that a word stands for, but for the comparing ones. */
  readonly operators: readonly string[];
  /** What stands behind the dot of `a.b`; it may call a function of a row. */
  readonly attributes: readonly string[];
  readonly effect: 'reads' | 'locks_rows' | 'writes';
  /** Where SELECT … INTO makes a table. */
  readonly into: 'nothing' | 'permanent' | 'temporary';
  readonly setConfig: SetConfig;
  /** Parameters that set_config() gives values beyond the transaction, where it is `named`. */
  readonly configures: readonly string[];
  /** Those and the ones it sets for the transaction. */
  readonly mayConfigure: readonly string[] | 'any';
  /** Whether the word DEFAULT stands for the default of a column. */
  readonly defaults: 'untouched' | 'asked';
}
