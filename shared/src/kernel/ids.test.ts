/** Which ids are ids. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { isProxyId, isTenantId, tenantKey } from './ids.ts';

describe('isTenantId', () => {
  it('takes 1 to 63 letters, digits, "_" and "-"', () => {
    for (const id of ['a', '7', 'Acme', 'acme-eu_1', 'a_', 'a-', 'x'.repeat(63)]) {
      assert.ok(isTenantId(id), id);
    }
  });

  it('refuses an empty id and one of 64 characters', () => {
    assert.ok(!isTenantId(''));
    assert.ok(!isTenantId('x'.repeat(64)));
  });

  it('refuses "__" wherever it stands, since it parts tenant and user', () => {
    for (const id of ['a__b', 'a__', 'a___b', `${'x'.repeat(61)}__`]) {
      assert.ok(!isTenantId(id), id);
    }
  });

  it('refuses a first character that is no letter or digit, and any other character', () => {
    for (const id of ['_a', '-a', 'a b', 'a.b', 'a\n', '\na', 'ä', 'a/b', "a'b", 'a\0', 'İ']) {
      assert.ok(!isTenantId(id), JSON.stringify(id));
    }
  });

  it('agrees with the rule spelled out, for any text', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '_', '-', '.'), maxLength: 70 });
    fc.assert(
      fc.property(text, (id) => {
        const isAllowed =
          id.length >= 1 &&
          id.length <= 63 &&
          !id.startsWith('_') &&
          !id.startsWith('-') &&
          !id.includes('__') &&
          !id.includes('.');
        assert.equal(isTenantId(id), isAllowed);
      }),
    );
  });
});

describe('tenantKey', () => {
  it('is one for ids that differ in case only, and an id itself', () => {
    assert.equal(tenantKey('Acme-EU'), tenantKey('aCME-eu'));
    assert.notEqual(tenantKey('acme'), tenantKey('acme1'));
    assert.ok(isTenantId(tenantKey('Acme-EU')));
  });
});

describe('isProxyId', () => {
  it('takes 1 to 32 characters that are safe as one token of a subject', () => {
    for (const id of ['p', 'proxy-1', 'Pod_7', 'x'.repeat(32)]) assert.ok(isProxyId(id), id);
    for (const id of ['', '-p', '_p', 'p.1', 'p*', 'p>', 'p 1', 'x'.repeat(33), 'p\n']) {
      assert.ok(!isProxyId(id), JSON.stringify(id));
    }
  });
});
