/**
 * Texts at random from a grammar: rules by name, each with alternatives in which `{rule}` stands
 * for another one. An alternative that is repeated comes more often.
 */

import { SeededRandom } from '../support/seeded-random.ts';

export interface Grammar {
  readonly rules: Readonly<Record<string, readonly string[]>>;
  /** What stands for a rule that would go too deep; only these count as deeper. */
  readonly leaves: Readonly<Record<string, string>>;
  readonly depthMax: number;
}

/** The same text for the same seed. */
export function generateText({ rules, leaves, depthMax }: Grammar, seed: number): string {
  const random = new SeededRandom(seed);
  const expand = (rule: string, depth: number): string => {
    const leaf = leaves[rule];
    const alternatives = rules[rule] ?? [];
    const isDeep = leaf !== undefined && depth >= depthMax;
    const text = isDeep ? leaf : alternatives[random.between(0, alternatives.length - 1)];
    const inner = leaf === undefined ? depth : depth + 1;
    return (text as string).replace(/\{([a-z_]+)\}/g, (_, name: string) => expand(name, inner));
  };
  return expand('statement', 0);
}
