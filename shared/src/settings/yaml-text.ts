/** Plain values as YAML text, for people to read and for config files. */
import { stringify } from 'yaml';

/** Lines are not folded: what is searched for is found in one. */
export function toYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0 });
}
