/**
 * What one client's statements define, as far as other clients' statements are concerned: what was
 * concluded from the catalog does not hold from then on until the transaction is over.
 * Owns: telling the catalog when. Leaves: which texts define to catalog-judgement.ts.
 */
import type { Catalog } from '../../upstream/catalog/catalog.ts';
import { defines, mayDefine } from './catalog-judgement.ts';
import type { TextEffects } from './sql/effects.ts';

export class Definitions {
  /** Of the lease. */
  #catalog: Catalog | undefined;
  #generation = 0;
  #underWay: 'none' | 'doubtful' | 'certain' = 'none';

  leaseBegan(catalog: Catalog): void {
    this.#catalog = catalog;
    this.#generation = catalog.generation;
  }

  /** A statement with these effects is about to be sent. */
  sent(effects: TextEffects): void {
    if (!mayDefine(effects)) return;
    if (this.#underWay !== 'certain' && defines(effects)) {
      this.#underWay = 'certain';
      this.#catalog?.defining();
      return;
    }
    if (this.#underWay === 'none') this.#underWay = 'doubtful';
    this.#catalog?.invalidate();
  }

  /** Between transactions, or at the end: others see what was defined. */
  transactionOver(): void {
    if (this.#underWay === 'certain') this.#catalog?.defined();
    else if (this.#underWay === 'doubtful') this.#catalog?.invalidate();
    this.#underWay = 'none';
  }

  /** Whether anybody has, since the lease began: its statements may have run what they did not. */
  get haveChanged(): boolean {
    return this.#catalog !== undefined && this.#catalog.generation !== this.#generation;
  }
}
