/**
 * Whether the rules of a tenant let a client in. Pure.
 * Owns: the order and meaning of rules. Leaves: their shapes to shared/contract/access-rules.ts,
 * what a refused client reads to its session.
 */
import type { AccessRule } from '@dbbouncer/shared/contract/access-rules.ts';
import { cidrContains, parseCidr } from '@dbbouncer/shared/kernel/ip-address.ts';
import type { Cidr } from '@dbbouncer/shared/kernel/ip-address.ts';
import type { ClientAddress } from './client-address.ts';

/** A login as rules see it. */
export interface AccessRequest {
  readonly address: ClientAddress;
  readonly encryption: 'tls' | 'none';
  /** As the client presented it, without the tenant. */
  readonly user: string;
  /** Nothing when the tenant does not list the one that was asked for. */
  readonly database: string | undefined;
}

export type AccessVerdict = 'allowed' | 'refused_by_rule' | 'no_rule_allows';

interface ReadyRule extends AccessRule {
  readonly holds: (address: ClientAddress) => boolean;
}

/** Parsed once for each list; a list never changes. */
const readyRules = new WeakMap<readonly AccessRule[], readonly ReadyRule[]>();

/**
 * The first rule that matches decides. Without a match a client is let in, unless a rule allows
 * anybody: who writes down who may come means that others may not.
 */
export function judgeAccess(
  rules: readonly AccessRule[] | undefined,
  request: AccessRequest,
): AccessVerdict {
  if (rules === undefined) return 'allowed';
  const match = ready(rules).find((rule) => matches(rule, request));
  if (match !== undefined) return match.action === 'allow' ? 'allowed' : 'refused_by_rule';
  return rules.some(({ action }) => action === 'allow') ? 'no_rule_allows' : 'allowed';
}

function matches(rule: ReadyRule, { address, encryption, user, database }: AccessRequest): boolean {
  if (rule.tls === 'required' && encryption !== 'tls') return false;
  if (rule.users?.includes(user) === false) return false;
  const { databases } = rule;
  if (databases !== undefined && (database === undefined || !databases.includes(database))) {
    return false;
  }
  return rule.holds(address);
}

function ready(rules: readonly AccessRule[]): readonly ReadyRule[] {
  let made = readyRules.get(rules);
  if (made === undefined) {
    made = rules.map((rule) => ({ ...rule, holds: holder(rule.from) }));
    readyRules.set(rules, made);
  }
  return made;
}

function holder(from: string): ReadyRule['holds'] {
  if (from === 'all') return () => true;
  if (from === 'unix') return ({ kind }) => kind === 'unix';
  const block = parseCidr(from);
  // Checked when the config was read; a block that is none holds nobody.
  return block === undefined ? () => false : (address) => inBlock(block, address);
}

function inBlock(block: Cidr, address: ClientAddress): boolean {
  return address.kind === 'ip' && cidrContains(block, address.ip);
}
