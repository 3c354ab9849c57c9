/** Throttling by a clock that is turned by hand. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { AttemptThrottle } from './attempt-throttle.ts';
import type { Attempt } from './attempt-throttle.ts';
import { clientAddress } from './client-address.ts';

const SETTINGS = { failures: 4, perMs: 60_000, delayMs: 500, delayMsMax: 4_000 };

function rig(changes: Partial<typeof SETTINGS> = {}) {
  const clock = new ManualClock();
  return { clock, throttle: new AttemptThrottle({ ...SETTINGS, ...changes }, clock) };
}

const attempt = (address: string, tenant: string | undefined = 'acme'): Attempt => ({
  address: clientAddress(address),
  tenant,
});
function fail(throttle: AttemptThrottle, times: number, made: Attempt): void {
  for (let i = 0; i < times; i++) throttle.failed(made);
}

describe('AttemptThrottle', () => {
  it('lets 4 failures pass, then doubles the wait with each, up to the longest', () => {
    const { throttle } = rig();
    const guesser = attempt('192.0.2.1');
    fail(throttle, 3, guesser);
    assert.equal(throttle.judge(guesser), undefined);
    const waits = Array.from({ length: 6 }, () => {
      throttle.failed(guesser);
      return throttle.judge(guesser)?.delayMs;
    });
    assert.deepEqual(waits, [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
  });

  it('forgets 4 failures a minute, and a thousand within two', async () => {
    const { throttle, clock } = rig();
    const guesser = attempt('192.0.2.1');
    fail(throttle, 4, guesser);
    await clock.pass(15_000);
    assert.equal(throttle.judge(guesser), undefined);
    fail(throttle, 1_000, guesser);
    assert.equal(throttle.judge(guesser)?.delayMs, 4_000);
    await clock.pass(75_000);
    assert.equal(throttle.judge(guesser), undefined);
  });

  it('counts an address over all tenants, an IPv6 address with its /64', () => {
    const { throttle } = rig();
    for (const tenant of ['a', 'b', 'c', 'd']) throttle.failed(attempt('2001:db8:0:1::9', tenant));
    assert.equal(throttle.judge(attempt('2001:db8:0:1:ffff::1', 'e'))?.reason, 'address');
    assert.equal(throttle.judge(attempt('2001:db8:0:2::9', 'a')), undefined);
  });

  it('counts a tenant over all addresses, 40 failures of which are free', () => {
    const { throttle } = rig();
    for (let i = 0; i < 40; i++) throttle.failed(attempt(`192.0.2.${i}`));
    assert.deepEqual(throttle.judge(attempt('198.51.100.1')), { reason: 'tenant', delayMs: 500 });
    assert.equal(throttle.judge(attempt('198.51.100.1', 'other')), undefined);
  });

  it('slows nobody down who has logged in to the tenant before from the address', () => {
    const { throttle } = rig();
    const neighbour = attempt('192.0.2.1', 'acme');
    throttle.succeeded(neighbour);
    fail(throttle, 100, attempt('192.0.2.1', 'other'));
    for (let i = 0; i < 100; i++) throttle.failed(attempt(`198.51.100.${i}`));
    assert.equal(throttle.judge(neighbour), undefined);
    assert.equal(throttle.judge(attempt('192.0.2.1', 'third'))?.reason, 'address');
    fail(throttle, 4, neighbour);
    assert.deepEqual(throttle.judge(neighbour), { reason: 'known_client', delayMs: 500 });
  });

  it('holds 20 of an address at once and refuses the 21st with the number', async () => {
    const { throttle, clock } = rig();
    const verdict = { reason: 'address', delayMs: 500 } as const;
    const guesser = attempt('192.0.2.1');
    const held = Promise.all(Array.from({ length: 20 }, () => throttle.hold(guesser, verdict)));
    await assert.rejects(throttle.hold(guesser, verdict), {
      code: 'LOGIN_THROTTLED',
      message: 'too many logins have failed: 20 more wait from this address already',
    });
    const other = throttle.hold(attempt('192.0.2.2'), verdict);
    await clock.pass(500);
    await Promise.all([held, other]);
    const again = throttle.hold(guesser, verdict);
    await clock.pass(500);
    await again;
  });

  it('remembers 50,000 addresses at most, the latest', () => {
    const { throttle } = rig();
    for (let i = 0; i < 60_000; i++)
      throttle.failed(attempt(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
    assert.equal(throttle.remembered, 50_000 + 1);
  });

  it('does nothing with 0 failures', () => {
    const { throttle } = rig({ failures: 0 });
    fail(throttle, 100, attempt('192.0.2.1'));
    assert.equal(throttle.judge(attempt('192.0.2.1')), undefined);
    assert.equal(throttle.remembered, 0);
  });
});
