/** Several databases of one tenant under one limit. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { settings } from '../../../tests/pool/scripted-upstream.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { SIBLING_PATIENCE_MS } from './limits.ts';
import { TenantCap } from './tenant-cap.ts';

/** Two databases of one tenant under one limit. */
function siblings(maxConnections: number, acquireTimeoutMs = 10_000) {
  const clock = new ManualClock();
  const cap = new TenantCap(maxConnections);
  const rig = (database: string) =>
    new PoolRig({
      clock,
      cap,
      identity: { database },
      settings: { maxConnections, acquireTimeoutMs },
    });
  return { clock, cap, shop: rig('shop'), audit: rig('audit') };
}

describe('TenantCap', () => {
  it('holds the limit over all pools of the tenant', async () => {
    const { cap, shop, audit } = siblings(3);
    await shop.lease(2);
    audit.wait();
    audit.wait();
    assert.equal(audit.upstream.dials.length, 1);
    assert.equal(cap.occupied, 3);
    assert.equal(cap.room, 0);
  });

  it('says how many slots other databases of the tenant hold when a wait times out', async () => {
    const { clock, shop, audit } = siblings(3, 1_000);
    await shop.lease(2);
    await audit.lease(1);
    const waiter = audit.wait();
    await clock.pass(1_000);
    assert.match(
      waiter.error?.message ?? '',
      /all 3 of max_connections are in use, 2 of them for other databases or users of the tenant$/,
    );
  });

  it('closes the longest idle slot of a sibling at once for a pool that has none', async () => {
    const { clock, shop, audit } = siblings(2);
    const [longest, other] = await shop.lease(2);
    assert.ok(longest && other);
    shop.pool.release(longest, 'clean');
    await clock.pass(1);
    shop.pool.release(other, 'clean');
    const waiter = audit.wait();
    assert.equal(longest.closeReason, 'evicted');
    assert.equal(other.closeReason, undefined);
    assert.equal(audit.upstream.dials.length, 0, 'the slot is occupied until the server closed');
    shop.upstream.followCloses();
    await audit.after(() => audit.upstream.acceptAll());
    assert.equal(waiter.backend?.id, 1);
  });

  it('moves a slot to a pool that has some only once its client has waited for 20 ms', async () => {
    const { clock, shop, audit } = siblings(2);
    const [backend] = await shop.lease(1);
    await audit.lease(1);
    assert.ok(backend);
    shop.pool.release(backend, 'clean');
    audit.wait();
    await clock.pass(SIBLING_PATIENCE_MS - 1);
    assert.equal(backend.closeReason, undefined);
    await clock.pass(1);
    assert.equal(backend.closeReason, 'evicted');
  });

  it('moves as many slots as clients need, one at once and the others after 20 ms', async () => {
    const { clock, shop, audit } = siblings(5);
    const backends = await shop.lease(5);
    for (const backend of backends) shop.pool.release(backend, 'clean');
    const evicted = () => backends.filter(({ closeReason }) => closeReason === 'evicted').length;
    for (let client = 0; client < 4; client += 1) audit.wait();
    assert.equal(evicted(), 1);
    await clock.pass(SIBLING_PATIENCE_MS);
    assert.equal(evicted(), 4);
    shop.upstream.followCloses();
    assert.equal(audit.upstream.dials.length, 4);
    await clock.pass(SIBLING_PATIENCE_MS * 3);
    assert.equal(shop.pool.stats().idle, 1);
  });

  it("gives a released slot to a sibling's waiter that came well before its own", async () => {
    const { clock, shop, audit } = siblings(1);
    const [backend] = await shop.lease(1);
    assert.ok(backend);
    const longest = audit.wait();
    await clock.pass(SIBLING_PATIENCE_MS + 1);
    const own = shop.wait();
    shop.pool.release(backend, 'clean');
    assert.equal(own.timesTold, 0);
    assert.equal(backend.closeReason, 'evicted');
    shop.upstream.followCloses();
    assert.deepEqual([shop.upstream.dials.length, audit.upstream.dials.length], [0, 1]);
    await audit.after(() => audit.upstream.acceptAll());
    assert.equal(longest.backend?.id, 1);
  });

  it('serves its own clients once enough slots are on their way to the sibling', async () => {
    const { clock, shop, audit } = siblings(2);
    const [first, second] = await shop.lease(2);
    assert.ok(first && second);
    audit.wait();
    await clock.pass(SIBLING_PATIENCE_MS + 1);
    const own = shop.wait();
    shop.pool.release(first, 'clean');
    assert.equal(first.closeReason, 'evicted');
    shop.pool.release(second, 'clean');
    assert.equal(own.backend, second);
  });

  it('does not trade slots between two busy databases whose clients wait alike', async () => {
    const { clock, shop, audit } = siblings(2);
    const [backend] = await shop.lease(1);
    await audit.lease(1);
    assert.ok(backend);
    audit.wait();
    await clock.pass(SIBLING_PATIENCE_MS - 1);
    const own = shop.wait();
    await clock.pass(500);
    shop.pool.release(backend, 'clean');
    assert.equal(own.backend, backend);
  });

  it('gives a slot that became free to the pool whose client waits longest', async () => {
    const { clock, shop, audit } = siblings(1);
    const [backend] = await shop.lease(1);
    assert.ok(backend);
    audit.wait();
    await clock.pass(1);
    shop.wait();
    shop.pool.discard(backend, 'client_gone');
    backend.serverCloses();
    assert.deepEqual([shop.upstream.dials.length, audit.upstream.dials.length], [0, 1]);
  });

  it('counts the slots of a drained pool until they are closed', async () => {
    const { cap, shop, audit } = siblings(2);
    const [first, second] = await shop.lease(2);
    assert.ok(first && second);
    void shop.pool.drain('pool_drained');
    const waiter = audit.wait();
    shop.pool.release(first, 'clean');
    assert.equal(audit.upstream.dials.length, 0);
    first.serverCloses();
    assert.equal(audit.upstream.dials.length, 1);
    assert.equal(cap.occupied, 2);
    await audit.after(() => audit.upstream.acceptAll());
    assert.ok(waiter.backend);
  });

  it('closes idle slots of every pool, longest idle first, when the limit is lowered', async () => {
    const { clock, shop, audit } = siblings(4);
    const [older] = await shop.lease(1);
    const [newer, leased] = await audit.lease(2);
    assert.ok(older && newer && leased);
    shop.pool.release(older, 'clean');
    await clock.pass(1);
    audit.pool.release(newer, 'clean');
    audit.pool.resize(settings({ maxConnections: 2 }));
    assert.equal(older.closeReason, 'over_limit');
    assert.equal(newer.closeReason, undefined);
    shop.pool.resize(settings({ maxConnections: 1 }));
    assert.equal(newer.closeReason, 'over_limit');
    audit.pool.release(leased, 'clean');
    assert.equal(audit.pool.take(), leased);
  });

  it('lets a pool whose server refuses leave the room to its sibling', async () => {
    const { shop, audit } = siblings(1);
    shop.wait();
    const waiter = audit.wait();
    await shop.after(() => shop.upstream.dials[0]?.fail());
    await audit.after(() => audit.upstream.acceptAll());
    assert.equal(waiter.backend?.id, 1);
  });
});
