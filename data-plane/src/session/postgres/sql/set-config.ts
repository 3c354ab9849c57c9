/**
 * Calls of set_config() in a query: which parameters they set, and for how long.
 * Owns: reading the first and the last argument of a call. Leaves: where calls begin and end to
 * mentions.ts.
 * Source: PostgreSQL manual, "Configuration Settings Functions".
 */
import { stringValue } from './literals.ts';
import type { TokenWindow } from './token-window.ts';
import type { Source } from './tokens.ts';

/**
 * - `local`: each says `true` for is_local
 * - `named`: those that do not, name their parameter by a literal
 * - `session`: any parameter
 */
export type SetConfig = 'none' | 'local' | 'named' | 'session';

export class SetConfigCalls {
  readonly #source: Source;
  /** The parameters of calls that have not ended; undefined where the text does not tell. */
  readonly #open: (string | undefined)[] = [];
  readonly #names: string[] = [];
  readonly #all: string[] = [];
  #allAreNamed = true;
  #kind: SetConfig = 'none';

  constructor(source: Source) {
    this.#source = source;
  }

  get kind(): SetConfig {
    return this.#kind;
  }

  /** The parameters of `named` calls, in lower case. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** The parameters of all calls, `local` ones too. */
  get all(): readonly string[] | 'any' {
    return this.#allAreNamed ? this.#all : 'any';
  }

  /** The window stands behind the opening parenthesis. */
  opened(window: TokenWindow): void {
    const { sql, options } = this.#source;
    const isLiteral = window.token().kind === 'string' && window.sign(1) === ',';
    const name = isLiteral ? stringValue(sql, window.token(), options) : undefined;
    this.#open.push(name?.replace(/[A-Z]+/g, (capitals) => capitals.toLowerCase()));
  }

  /** The window stands behind the closing one. is_local is the last, by position or by name. */
  closed(window: TokenWindow): void {
    const name = this.#open.pop();
    if (name === undefined) this.#allAreNamed = false;
    else this.#all.push(name);
    const separator = window.sign(-3);
    const isLocal = window.word(-2) === 'true' && (separator === ',' || separator === '=>');
    if (isLocal) {
      if (this.#kind === 'none') this.#kind = 'local';
    } else if (name === undefined) this.#kind = 'session';
    else {
      this.#names.push(name);
      if (this.#kind !== 'session') this.#kind = 'named';
    }
  }
}
