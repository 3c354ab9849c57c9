/** Places of clients, counted for tenants and users. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ClientLimits } from './client-limits.ts';
import type { ProvenClient } from './client-limits.ts';

const client = (changes: Partial<ProvenClient> = {}): ProvenClient => ({
  tenant: 'acme',
  user: 'app',
  tenantMax: 0,
  userMax: undefined,
  ...changes,
});

describe('ClientLimits', () => {
  it('refuses the 3rd client of a user who may have 2, and no other user', () => {
    const limits = new ClientLimits(10);
    const [first] = [1, 2].map(() => limits.admit(client({ userMax: 2 })));
    assert.throws(() => limits.admit(client({ userMax: 2 })), {
      code: 'CLIENT_LIMIT',
      message:
        'too many clients: user "app" of tenant "acme" has 2, and its max_client_connections is 2',
    });
    limits.admit(client({ user: 'other', userMax: 2 }));
    first?.release();
    limits.admit(client({ userMax: 2 }));
    assert.deepEqual([...limits.refused], [['user', 1]]);
  });

  it('frees a place once, however often it is released', () => {
    const limits = new ClientLimits(10);
    const first = limits.admit(client({ tenantMax: 2 }));
    const second = limits.admit(client({ tenantMax: 2 }));
    first.release();
    first.release();
    limits.admit(client({ tenantMax: 2 }));
    assert.throws(() => limits.admit(client({ tenantMax: 2 })), { code: 'CLIENT_LIMIT' });
    second.release();
    assert.deepEqual(
      Array.from(limits.tenants, ({ tenant, count }) => [tenant, count]),
      [['acme', 1]],
    );
  });

  it('counts a tenant by its id in any case, and forgets it with its last client', () => {
    const limits = new ClientLimits(10);
    const places = ['acme', 'ACME'].map((tenant) => limits.admit(client({ tenant, tenantMax: 2 })));
    assert.throws(() => limits.admit(client({ tenant: 'Acme', tenantMax: 2 })));
    for (const place of places) place.release();
    assert.deepEqual([...limits.tenants], []);
  });

  it('refuses beyond the limit of the proxy when it comes to telling it', () => {
    const limits = new ClientLimits(2);
    assert.equal(limits.refusalBeyond(1), undefined);
    assert.match(limits.refusalBeyond(2)?.().message ?? '', /this proxy has 2, .* is 2/);
  });
});
