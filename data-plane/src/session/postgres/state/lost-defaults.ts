/**
 * What RESETs have taken from a server connection that its client had asked for at its start: for
 * the client these are the defaults, for the server they are values like any other.
 * Owns: which parameters have to be set again. Leaves: doing it to settling.ts.
 */
import type { ParameterVector } from '../../../upstream/parameter-vector.ts';
import type { SettingChange } from '../sql/effects.ts';
import type { SettingScope } from '../sql/statement.ts';

export class LostDefaults {
  readonly #startup: ParameterVector;
  /** Made with the first of them: most clients lose none. */
  #names: Map<string, SettingScope> | undefined;

  constructor(startup: ParameterVector) {
    this.#startup = startup;
  }

  get isEmpty(): boolean {
    return this.#names === undefined || this.#names.size === 0;
  }

  has(name: string): boolean {
    return this.#names?.has(name) === true;
  }

  /** With the values to set. */
  entries(scope: SettingScope): readonly (readonly [string, string])[] {
    return [...this.#startup.values].filter(([name]) => this.#names?.get(name) === scope);
  }

  changed(change: SettingChange): void {
    if (change.kind !== 'set') {
      for (const name of this.#startup.values.keys()) this.#lose(name, 'session');
    } else if (change.value === undefined && this.#startup.values.has(change.name)) {
      this.#lose(change.name, 'session');
    }
  }

  /** SET LOCAL … TO DEFAULT */
  changedLocally(name: string): void {
    if (this.#startup.values.has(name)) this.#lose(name, 'local');
  }

  /** Parameters were set to something else. */
  overridden(names: readonly string[] | 'any'): void {
    if (names === 'any') this.clear();
    else for (const name of names) this.#names?.delete(name);
  }

  clear(): void {
    this.#names?.clear();
  }

  #lose(name: string, scope: SettingScope): void {
    this.#names ??= new Map();
    this.#names.set(name, scope);
  }
}
