/** Pools of several users of one tenant, each user with a limit of its own. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import type { ScriptedBackend } from '../../../tests/pool/scripted-upstream.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { SIBLING_PATIENCE_MS } from './limits.ts';
import { TenantCap } from './tenant-cap.ts';
import { UserCap } from './user-cap.ts';

/** Two databases of the user `report`, who may have `userMax`, and one of another user. */
function pools(tenantMax: number, userMax: number, acquireTimeoutMs = 10_000) {
  const clock = new ManualClock();
  const tenant = new TenantCap(tenantMax);
  const user = new TenantCap(userMax);
  const unlimited = new TenantCap(Infinity);
  const rig = (database: string, name: string, own: TenantCap) => {
    const cap = new UserCap(tenant, own, name);
    const options = { maxConnections: tenantMax, acquireTimeoutMs };
    return { cap, ...wrap(new PoolRig({ clock, cap, identity: { database }, settings: options })) };
  };
  return {
    clock,
    tenant,
    user,
    shop: rig('shop', 'report', user),
    audit: rig('audit', 'report', user),
    web: rig('shop', 'web', unlimited),
  };
}

const wrap = (rig: PoolRig) => ({ rig, pool: rig.pool, upstream: rig.upstream });

describe('UserCap', () => {
  it('holds the limit of the user over its pools, and leaves the rest to other users', async () => {
    const { shop, audit, web, tenant, user } = pools(5, 2);
    await shop.rig.lease(1);
    audit.rig.wait();
    audit.rig.wait();
    assert.equal(audit.upstream.dials.length, 1);
    assert.equal(user.occupied, 2);
    await web.rig.lease(3);
    assert.equal(tenant.occupied, 5);
  });

  it('names the limit and the user when a wait times out', async () => {
    const { clock, shop } = pools(5, 2, 1_000);
    await shop.rig.lease(2);
    const waiter = shop.rig.wait();
    await clock.pass(1_000);
    const message = waiter.error?.message ?? '';
    assert.match(message, /all 2 of max_connections of user "report" are in use$/);
  });

  it('closes an idle slot of the same user for its other pool, none of another user', async () => {
    const { clock, shop, audit, web } = pools(3, 1);
    const [idle] = await shop.rig.lease(1);
    const [other] = await web.rig.lease(1);
    assert.ok(idle && other);
    web.pool.release(other, 'clean');
    await clock.pass(1);
    shop.pool.release(idle, 'clean');
    const waiter = audit.rig.wait();
    assert.equal(idle.closeReason, 'evicted');
    assert.equal(other.closeReason, undefined);
    idle.serverCloses();
    await audit.rig.after(() => audit.upstream.acceptAll());
    assert.ok(waiter.backend);
  });

  it("gives a slot that comes back to the user's longer waiter in another pool", async () => {
    const { clock, shop, audit } = pools(3, 1);
    const [held] = await shop.rig.lease(1);
    assert.ok(held);
    const first = audit.rig.wait();
    await clock.pass(SIBLING_PATIENCE_MS + 1);
    shop.rig.wait();
    shop.pool.release(held, 'clean');
    assert.equal(held.closeReason, 'evicted');
    held.serverCloses();
    await audit.rig.after(() => audit.upstream.acceptAll());
    assert.ok(first.backend);
  });

  it('opens what a raised limit has room for, and closes what a lowered one has not', async () => {
    const { clock, shop, user } = pools(5, 1);
    const [held] = await shop.rig.lease(1);
    const waiter = shop.rig.wait();
    assert.equal(shop.upstream.dials.length, 0);
    shop.cap.resizeUser(2, clock.nowMs());
    await shop.rig.after(() => shop.upstream.acceptAll());
    assert.ok(held && waiter.backend);
    shop.pool.release(waiter.backend, 'clean');
    shop.cap.resizeUser(1, clock.nowMs());
    assert.equal(waiter.backend.closeReason, 'over_limit');
    waiter.backend.serverCloses();
    assert.equal(user.occupied, 1);
  });

  it('never passes either limit and leaves nobody waiting, in random histories', async () => {
    const step = fc.tuple(fc.constantFrom('wait', 'release', 'accept', 'close'), fc.nat(2));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const { clock, tenant, user, shop, audit, web } = pools(3, 2);
        const rigs = [shop, audit, web];
        const held: { pool: number; backend: ScriptedBackend }[] = [];
        const count = { waits: 0, served: 0 };
        const act = async (what: string, pool: number) => {
          const { rig, upstream } = rigs[pool] ?? shop;
          if (what === 'wait') {
            count.waits += 1;
            rig.wait((backend) => {
              count.served += 1;
              held.push({ pool, backend });
            });
          } else if (what === 'release') {
            const mine = held.findIndex((each) => each.pool === pool);
            const [given] = mine < 0 ? [] : held.splice(mine, 1);
            if (given !== undefined) rig.pool.release(given.backend, 'clean');
          } else if (what === 'accept') upstream.acceptAll();
          else upstream.followCloses();
          await clock.pass(SIBLING_PATIENCE_MS + 1);
          assert.ok(tenant.occupied <= 3 && user.occupied <= 2);
        };
        for (const [what, pool] of steps) await act(what, pool);
        const roundsMax = 4 * count.waits + 8;
        for (let round = 0; count.served < count.waits && round < roundsMax; round += 1) {
          for (const what of ['release', 'close', 'accept']) {
            for (const pool of [0, 1, 2]) await act(what, pool);
          }
        }
        assert.equal(count.served, count.waits);
      }),
      { numRuns: 60 },
    );
  });
});
