/**
 * Names of parameters of two parts (`app.user`) that any text has mentioned in a call or statement
 * that sets or reads them: the server does not list them, so they are asked for by name.
 * Source: PostgreSQL manual, "Customized Options".
 */

/** Names that are remembered; further ones are not looked for. */
export const CUSTOM_NAMES_MAX = 1_000;

/** Also inside the bodies of functions that a text defines. */
const NAME = String.raw`"?[\w$]+"?(?:\.[\w$]+|\."[\w$]+")+`;
const CALL = String.raw`(?:set_config|current_setting)\s*\(\s*'+`;
const SET = String.raw`set\s+(?:session\s+|local\s+)?`;
const MENTIONS = new RegExp(String.raw`\b(?:${CALL}|${SET})(${NAME})`, 'gi');

export class CustomNames {
  readonly #names = new Set<string>();
  readonly #namesMax: number;

  constructor(namesMax = CUSTOM_NAMES_MAX) {
    this.#namesMax = namesMax;
  }

  /** In lower case. */
  get all(): ReadonlySet<string> {
    return this.#names;
  }

  add(name: string): void {
    if (name.includes('.') && this.#names.size < this.#namesMax) this.#names.add(name);
  }

  readText(sql: string): void {
    if (!sql.includes('.')) return;
    for (const [, name = ''] of sql.matchAll(MENTIONS)) {
      this.add(name.replaceAll('"', '').toLowerCase());
    }
  }
}
