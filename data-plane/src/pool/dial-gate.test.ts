/** Dials of many pools side by side: how many, whose turn, and what a hanging server holds up. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PoolRig } from '../../../tests/pool/pool-rig.ts';
import { followPromises, ManualClock } from '../../../tests/support/manual-clock.ts';
import { DialGate } from './dial-gate.ts';
import { DIAL_PLACE_MS } from './limits.ts';

interface Proxy {
  readonly clock: ManualClock;
  readonly gate: DialGate;
  /** One pool a tenant. */
  readonly rigs: readonly PoolRig[];
}

function proxyWith(tenants: number, dialsMax: number, minConnections: number): Proxy {
  const clock = new ManualClock();
  const gate = new DialGate({ clock, dialsMax });
  const rigs = Array.from({ length: tenants }, (_, index) => {
    const identity = { tenant: `tenant-${index}` };
    return new PoolRig({ clock, gate, identity, settings: { minConnections } });
  });
  return { clock, gate, rigs };
}

const dialing = ({ rigs }: Proxy): number[] => rigs.map(({ upstream }) => upstream.dials.length);
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

describe('DialGate', () => {
  it('runs 4 dials at once when 50 tenants warm up 3 connections each, all of them', async () => {
    const proxy = proxyWith(50, 4, 3);
    for (const { pool } of proxy.rigs) pool.warm();
    let most = 0;
    for (let left = dialing(proxy); sum(left) > 0; left = dialing(proxy)) {
      most = Math.max(most, sum(left));
      proxy.rigs.find(({ upstream }) => upstream.dials.length > 0)?.upstream.dials[0]?.succeed();
      await followPromises();
    }
    assert.equal(most, 4);
    for (const { pool } of proxy.rigs) assert.equal(pool.stats().idle, 3);
    assert.equal(proxy.gate.taken, 0);
  });

  it('deals one dial to each pool in turn, so that no tenant has all of its first', async () => {
    const proxy = proxyWith(3, 1, 5);
    for (const { pool } of proxy.rigs) pool.warm();
    const order: number[] = [];
    for (let turn = 0; turn < 6; turn += 1) {
      const tenant = dialing(proxy).findIndex((count) => count > 0);
      order.push(tenant);
      proxy.rigs[tenant]?.upstream.dials[0]?.succeed();
      await followPromises();
    }
    assert.deepEqual(order, [0, 0, 1, 2, 0, 1]);
  });

  it('begins the first dial for a waiting client at once, though all places are taken', () => {
    const proxy = proxyWith(3, 2, 2);
    const [busy, other, asked] = proxy.rigs;
    busy?.pool.warm();
    other?.pool.warm();
    assert.deepEqual(dialing(proxy), [2, 0, 0]);
    asked?.wait();
    asked?.wait();
    assert.deepEqual(dialing(proxy), [2, 0, 1], 'one, and the other waits for a place');
  });

  it('lets clients go before the minimum of others when a place is free', async () => {
    const proxy = proxyWith(3, 2, 2);
    const [busy, minimum, asked] = proxy.rigs;
    busy?.pool.warm();
    minimum?.pool.warm();
    asked?.wait();
    asked?.wait();
    await busy?.after(() => busy.upstream.dials[0]?.succeed());
    await busy?.after(() => busy.upstream.dials[0]?.succeed());
    assert.deepEqual(dialing(proxy), [0, 0, 2]);
    await asked?.after(() => asked.upstream.acceptAll());
    assert.deepEqual(dialing(proxy), [0, 2, 0]);
  });

  it(`frees the place of a dial that hangs after ${DIAL_PLACE_MS} ms`, async () => {
    const proxy = proxyWith(2, 1, 1);
    const [hanging, other] = proxy.rigs;
    hanging?.pool.warm();
    other?.pool.warm();
    await proxy.clock.pass(DIAL_PLACE_MS - 1);
    assert.deepEqual(dialing(proxy), [1, 0]);
    await proxy.clock.pass(1);
    assert.deepEqual(dialing(proxy), [1, 1]);
    await hanging?.after(() => hanging.upstream.acceptAll());
    assert.equal(proxy.gate.taken, 1, 'its place is given back once');
  });

  it('gives the turn of a pool that has ended to the next one', async () => {
    const proxy = proxyWith(3, 1, 1);
    const [first, ended, last] = proxy.rigs;
    for (const { pool } of proxy.rigs) pool.warm();
    void ended?.pool.drain('pool_drained');
    await first?.after(() => first.upstream.acceptAll());
    assert.deepEqual(dialing(proxy), [0, 0, 1]);
    await last?.after(() => last.upstream.acceptAll());
    assert.equal(proxy.gate.taken, 0);
  });
});
