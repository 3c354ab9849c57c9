/**
 * Whether a query may run on a server connection where the queries of many clients run one behind
 * another: nothing of it stays there, nobody is made to wait by it but for its own time, and its
 * client reads what it would on a connection of its own.
 * Owns: the verdict, remembered for each text as long as the catalog's facts hold. Leaves: what a
 * text does to sql/, the facts to upstream/catalog/, settings and encodings to whoever asks.
 */
import type { Catalog } from '../../../upstream/catalog/catalog.ts';
import { readingRefusal } from '../../../upstream/catalog/catalog-facts.ts';
import type { CatalogFacts, FactsRefusal } from '../../../upstream/catalog/catalog-facts.ts';
import { isAscii } from '../sql/characters.ts';
import type { TextEffects, TextRefusal } from '../sql/effects.ts';

/** `catalog_unknown`: the catalog is not read yet, or somebody changes it. */
export type SharingRefusal = TextRefusal | FactsRefusal | 'catalog_unknown';

export type SharingVerdict = 'harmless' | SharingRefusal;

interface Judged {
  readonly facts: CatalogFacts;
  readonly verdict: SharingVerdict;
}

/** One verdict a text: facts are replaced by others for all texts at once. */
const judged = new WeakMap<TextEffects, Judged>();

/**
 * `harmless`, or the first reason found against it. Such a text also leaves its connection clean.
 * Asks the catalog to keep its facts fresh if they matter; allocates nothing for a text that was
 * judged by the same facts.
 * @param effects those of what is about to run: `parses` of the watch where there is a Parse
 */
export function sharingVerdict(effects: TextEffects, catalog: Catalog): SharingVerdict {
  if (effects.sharing !== 'candidate') return effects.sharing;
  catalog.refreshSoon();
  const facts = catalog.current;
  if (facts === undefined) return 'catalog_unknown';
  const known = judged.get(effects);
  if (known?.facts === facts) return known.verdict;
  const verdict = judge(effects, facts);
  judged.set(effects, { facts, verdict });
  return verdict;
}

/**
 * Two spellings of one name are one name only in ASCII, while the text's bytes may be decoded in
 * more than one way.
 */
function judge(effects: TextEffects, facts: CatalogFacts): SharingVerdict {
  const { relations, types } = effects;
  if (relations.some((name) => !name.every(isAscii))) return 'unknown_relation';
  if (types.some((name) => !name.every(isAscii))) return 'type_not_plain';
  return readingRefusal(facts, effects) ?? 'harmless';
}
