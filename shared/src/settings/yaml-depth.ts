/**
 * How deep a YAML text is nested, told before it is composed: the package does that by recursion,
 * and would end in the middle of a deep one with whatever fails there first.
 * Owns: the limit, the place. Leaves: everything else about the text to yaml-source.ts.
 */
import { CST, Parser } from 'yaml';

/** A config file needs six. */
export const YAML_DEEP_MAX = 100;

/** Where in `text` the first list or map begins that is more than `YAML_DEEP_MAX` deep. */
export function tooDeepAt(text: string): number | undefined {
  if (!mayBeDeep(text)) return undefined;
  for (const token of new Parser().parse(text)) {
    const offset = token.type === 'document' ? deepIn(token.value) : undefined;
    if (offset !== undefined) return offset;
  }
  return undefined;
}

/** Each level of a block takes a column, each of a flow a bracket. */
const FAR_IN = new RegExp(`^[\\t ?:-]{${YAML_DEEP_MAX}}`, 'm');

/** `no` is certain: so the text of nearly every file is parsed once only. */
function mayBeDeep(text: string): boolean {
  if (FAR_IN.test(text)) return true;
  let open = 0;
  for (const [sign] of text.matchAll(/[[\]{}]/g)) {
    open = sign === '[' || sign === '{' ? open + 1 : Math.max(0, open - 1);
    if (open >= YAML_DEEP_MAX) return true;
  }
  return false;
}

/** Without recursion. */
function deepIn(root: CST.Token | undefined): number | undefined {
  const open: { readonly token: CST.Token | null | undefined; readonly depth: number }[] = [
    { token: root, depth: 1 },
  ];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    if (!CST.isCollection(token)) continue;
    if (depth > YAML_DEEP_MAX) return token.offset;
    // The first is looked at first.
    for (const { key, value } of token.items.toReversed()) {
      open.push({ token: value, depth: depth + 1 }, { token: key, depth: depth + 1 });
    }
  }
  return undefined;
}
