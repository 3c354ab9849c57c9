/** Recognising keys: what it costs, what is remembered, and that changes hold at once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import type { ApiKey } from '../domain/api-key/events.ts';
import { apiKeyStream } from '../domain/api-key/events.ts';
import { projectViews } from '../projections/tenant-views.ts';
import { createMemoryEventStore } from '../store/memory-event-store.ts';
import { KeyGuard } from './key-guard.ts';
import type { Recognition } from './key-guard.ts';
import { proofOf } from './key-hash.ts';
import { generateKey, prefixOf } from './key-text.ts';
import { KeyUses } from './key-uses.ts';

const BUILT_IN = { key: 'the-key-of-the-settings', id: '01234567' };
const ID = '0123456789ab';
const meta = { actor: 'tester', requestId: 'r' };

function setUp() {
  const clock = new ManualClock();
  const store = createMemoryEventStore({ clock, project: projectViews });
  const uses = new KeyUses({ store: store.apiKeys, clock, log: silentLogger });
  const keys = store.apiKeys;
  const guard = new KeyGuard({ builtIn: BUILT_IN, keys, uses, clock });
  const create = async (text: string, fields: Partial<ApiKey> = {}) => {
    const key: ApiKey = {
      id: ID,
      name: 'deploy',
      scope: 'viewer',
      tenants: null,
      expiresAt: null,
      prefix: prefixOf(text),
      proof: await proofOf(text),
      ...fields,
    };
    const events = [{ type: 'ApiKeyCreated', data: { key } }] as const;
    store.append({ stream: apiKeyStream(key.id), expectedVersion: 'any', events, meta });
  };
  const revoke = () =>
    store.append({
      stream: apiKeyStream(ID),
      expectedVersion: 'any',
      events: [{ type: 'ApiKeyRevoked', data: {} }],
      meta,
    });
  return { clock, store, uses, guard, create, revoke };
}

function outcome(recognition: Recognition): string {
  return recognition.outcome === 'refused' ? recognition.reason : recognition.outcome;
}

describe('KeyGuard', () => {
  it('knows the key of the settings at once, as an admin', () => {
    const { guard } = setUp();
    const seen = guard.glance(`bearer ${BUILT_IN.key}`);
    assert.ok(seen.outcome === 'holder');
    assert.deepEqual(seen.holder, {
      id: BUILT_IN.id,
      name: 'bootstrap',
      actor: 'api:01234567',
      keeper: 'api:bootstrap',
      scope: 'admin',
      tenants: null,
    });
  });

  it('needs the slow hash for the first use of a key alone', async () => {
    const { guard, create } = setUp();
    const key = generateKey();
    await create(key, { scope: 'operator', tenants: 'acme-*' });
    assert.equal(guard.glance(`Bearer ${key}`).outcome, 'unchecked');
    const seen = await guard.recognise(`Bearer ${key}`);
    assert.ok(seen.outcome === 'holder');
    assert.deepEqual(
      [seen.holder.actor, seen.holder.scope, seen.holder.tenants],
      [`api:${ID}`, 'operator', 'acme-*'],
    );
    assert.deepEqual(guard.glance(`Bearer ${key}`), seen);
  });

  it('refuses at once what no key begins like, and what was found to be none', async () => {
    const { guard, create } = setUp();
    await create('chosen-by-somebody');
    assert.equal(outcome(guard.glance('Bearer other-by-somebody')), 'unknown_key');
    const wrong = 'Bearer chosen-by-nobody--';
    assert.equal(guard.glance(wrong).outcome, 'unchecked');
    assert.equal(outcome(await guard.recognise(wrong)), 'unknown_key');
    assert.equal(outcome(guard.glance(wrong)), 'unknown_key');
  });

  it('looks again at what was no key when one is created that begins alike', async () => {
    const { guard, create } = setUp();
    await create('same-beginning-1st');
    const second = 'Bearer same-beginning-2nd';
    assert.equal(outcome(await guard.recognise(second)), 'unknown_key');
    await create('same-beginning-2nd', { id: 'ba9876543210', name: 'second' });
    const seen = await guard.recognise(second);
    assert.ok(seen.outcome === 'holder');
    assert.equal(seen.holder.name, 'second');
  });

  it('refuses a key from the moment it is revoked, and says whose it was', async () => {
    const { guard, create, revoke } = setUp();
    const key = generateKey();
    await create(key);
    await guard.recognise(`Bearer ${key}`);
    revoke();
    const seen = guard.glance(`Bearer ${key}`);
    assert.ok(seen.outcome === 'refused');
    assert.deepEqual([seen.reason, seen.holder?.name], ['revoked', 'deploy']);
  });

  it('knows a revoked key that this process never saw as revoked, not as unknown', async () => {
    const { guard, create, revoke } = setUp();
    const key = generateKey();
    await create(key);
    revoke();
    assert.equal(outcome(await guard.recognise(`Bearer ${key}`)), 'revoked');
  });

  it('refuses a key from the millisecond of its expiry on', async () => {
    const { guard, create, clock } = setUp();
    const key = generateKey();
    await create(key, { expiresAt: '2026-01-01T00:00:01.000Z' });
    await clock.pass(999);
    assert.equal(outcome(await guard.recognise(`Bearer ${key}`)), 'holder');
    await clock.pass(1);
    assert.equal(outcome(guard.glance(`Bearer ${key}`)), 'expired');
  });

  it('tells no key from a malformed one', async () => {
    const { guard } = setUp();
    assert.equal(outcome(guard.glance(undefined)), 'no_key');
    for (const header of ['', 'Basic x', `Bearer ${'x'.repeat(513)}`, 'Bearer ü', BUILT_IN.key]) {
      assert.equal(outcome(guard.glance(header)), 'malformed', header);
      assert.equal(outcome(await guard.recognise(header)), 'malformed', header);
      const seen = guard.glance(header);
      assert.ok(seen.outcome === 'refused');
      assert.match(seen.message, /^The header Authorization is not "Bearer"/);
    }
  });

  it('notes a use, writes it a minute later, and reads it at the next start', async () => {
    const { guard, create, clock, store, uses } = setUp();
    const key = generateKey();
    await create(key);
    await guard.recognise(`Bearer ${key}`);
    const at = clock.timestamp();
    assert.equal(uses.lastOf(ID), at);
    assert.equal(store.apiKeys.lastUses().get(ID), undefined);
    await clock.pass(60_000);
    assert.equal(store.apiKeys.lastUses().get(ID), at);
    const next = new KeyUses({ store: store.apiKeys, clock, log: silentLogger });
    assert.equal(next.lastOf(ID), at);
  });
});
