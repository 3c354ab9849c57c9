/** What rules decide, case by case. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AccessRule } from '@dbbouncer/shared/contract/access-rules.ts';
import { judgeAccess } from './access-rules.ts';
import type { AccessRequest } from './access-rules.ts';
import { clientAddress, UNIX_CLIENT, UNKNOWN_CLIENT } from './client-address.ts';

const from = (address: string, changes: Partial<AccessRequest> = {}): AccessRequest => ({
  address: address === 'unix' ? UNIX_CLIENT : clientAddress(address),
  encryption: 'none',
  user: 'app',
  database: 'shop',
  ...changes,
});
const allow = (source: string, more: Partial<AccessRule> = {}): AccessRule => ({
  action: 'allow',
  from: source,
  ...more,
});
const deny = (source: string, more: Partial<AccessRule> = {}): AccessRule => ({
  action: 'deny',
  from: source,
  ...more,
});

describe('judgeAccess', () => {
  it('lets everybody in without rules, and with rules that only deny others', () => {
    assert.equal(judgeAccess(undefined, from('203.0.113.5')), 'allowed');
    assert.equal(judgeAccess([], from('203.0.113.5')), 'allowed');
    assert.equal(judgeAccess([deny('10.0.0.0/8')], from('203.0.113.5')), 'allowed');
    assert.equal(judgeAccess([deny('10.0.0.0/8')], from('10.1.1.1')), 'refused_by_rule');
  });

  it('refuses whom no rule names as soon as one rule allows', () => {
    const rules = [allow('10.0.0.0/8')];
    assert.equal(judgeAccess(rules, from('10.1.1.1')), 'allowed');
    assert.equal(judgeAccess(rules, from('11.1.1.1')), 'no_rule_allows');
    assert.equal(judgeAccess(rules, from('unix')), 'no_rule_allows');
  });

  it('stops at the first rule that matches', () => {
    const rules = [deny('10.0.0.5'), allow('10.0.0.0/24'), deny('10.0.0.6')];
    assert.equal(judgeAccess(rules, from('10.0.0.5')), 'refused_by_rule');
    assert.equal(judgeAccess(rules, from('10.0.0.6')), 'allowed');
  });

  it('takes an IPv4 client of a dual-stack socket for the IPv4 client it is', () => {
    assert.equal(judgeAccess([allow('10.0.0.0/8')], from('::ffff:10.0.0.1')), 'allowed');
    assert.equal(judgeAccess([allow('2001:db8::/32')], from('2001:db8::9')), 'allowed');
  });

  it('holds local sockets under unix and all, clients without an address under all alone', () => {
    assert.equal(judgeAccess([allow('unix')], from('unix')), 'allowed');
    assert.equal(judgeAccess([allow('unix')], from('127.0.0.1')), 'no_rule_allows');
    assert.equal(judgeAccess([deny('all')], from('unix')), 'refused_by_rule');
    const unknown = from('unix', { address: UNKNOWN_CLIENT });
    assert.equal(judgeAccess([allow('0.0.0.0/0'), allow('::/0')], unknown), 'no_rule_allows');
    assert.equal(judgeAccess([deny('all')], unknown), 'refused_by_rule');
  });

  it('matches only the users and databases that a rule names', () => {
    const rules = [deny('all', { users: ['root'] }), allow('all', { databases: ['shop'] })];
    assert.equal(judgeAccess(rules, from('10.0.0.1', { user: 'root' })), 'refused_by_rule');
    assert.equal(judgeAccess(rules, from('10.0.0.1')), 'allowed');
    const elsewhere = from('10.0.0.1', { database: 'reports' });
    assert.equal(judgeAccess(rules, elsewhere), 'no_rule_allows');
    const nowhere = from('10.0.0.1', { database: undefined });
    assert.equal(judgeAccess(rules, nowhere), 'no_rule_allows');
  });

  it('passes an unencrypted client on to the next rule where TLS is required', () => {
    const rules = [allow('all', { tls: 'required' }), allow('127.0.0.0/8')];
    assert.equal(judgeAccess(rules, from('10.0.0.1', { encryption: 'tls' })), 'allowed');
    assert.equal(judgeAccess(rules, from('10.0.0.1')), 'no_rule_allows');
    assert.equal(judgeAccess(rules, from('127.0.0.1')), 'allowed');
  });
});
