/** Cancel keys: whose they are, what finds a session, and how often an address may try. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { ManualClock } from '../../../../tests/support/manual-clock.ts';
import { AttemptThrottle } from '../../access/attempt-throttle.ts';
import { UNIX_CLIENT } from '../../access/client-address.ts';
import type { CancelOutcome } from '../meter.ts';
import { cancelName, CancelRegistry, ownerOf, requestCancel } from './cancel.ts';
import type { CancelsElsewhere } from './cancel.ts';

const PROXY = 'proxy-1' as ProxyId;
let cancels: CancelRegistry;

beforeEach(() => {
  cancels = new CancelRegistry(PROXY);
});

function session(length: 'short' | 'long') {
  const key = cancels.newKey(length);
  const calls = { count: 0 };
  cancels.register(cancelName(key), { cancel: () => void (calls.count += 1) });
  return { key, calls };
}

describe('CancelRegistry', () => {
  it('finds the session of a key among 70,000, of which many share their process id', () => {
    const sessions = Array.from({ length: 70_000 }, () => session('short'));
    for (const { key } of sessions.slice(0, 500)) assert.equal(cancels.cancel(key), 'found');
    assert.equal(sessions.filter(({ calls }) => calls.count === 1).length, 500);
    for (const { key } of sessions) cancels.forget(cancelName(key));
    assert.ok(sessions.every(({ key }) => cancels.cancel(key) === 'unknown_key'));
  });

  it('finds nothing with a part of a secret, a longer one, or one byte of it changed', () => {
    const { key, calls } = session('long');
    const { processId, secretKey } = key;
    const wrong = Buffer.from(secretKey);
    wrong.writeUInt8(wrong.readUInt8(31) ^ 128, 31);
    const longer = Buffer.concat([secretKey, Buffer.from([0])]);
    for (const other of [secretKey.subarray(0, 31), Buffer.alloc(0), wrong, longer]) {
      assert.equal(cancels.cancel({ processId, secretKey: other }), 'unknown_key');
    }
    assert.equal(calls.count, 0);
  });

  it('makes keys that say whose they are: the id, or its number', () => {
    assert.deepEqual(ownerOf(cancels.newKey('long')), { kind: 'proxy', proxy: PROXY });
    const number = { kind: 'number', number: cancels.number };
    assert.deepEqual(ownerOf(cancels.newKey('short')), number);
    // Two ids of which the number is the same.
    const twins = ['proxy-77', 'proxy-195'].map((id) => new CancelRegistry(id as ProxyId).number);
    assert.equal(twins[0], twins[1]);
  });
});

describe('requestCancel', () => {
  const outcomes: CancelOutcome[] = [];
  let throttle: AttemptThrottle;

  beforeEach(() => {
    outcomes.length = 0;
    const limits = { failures: 3, perMs: 60_000, delayMs: 1_000, delayMsMax: 10_000 };
    throttle = new AttemptThrottle(limits, new ManualClock());
  });

  async function request(
    key: { readonly processId: number; readonly secretKey: Buffer },
    answer: Awaited<ReturnType<CancelsElsewhere['cancel']>>,
  ): Promise<void> {
    await requestCancel(key, UNIX_CLIENT, {
      cancels,
      cancelThrottle: throttle,
      elsewhere: { cancel: async () => answer },
      meter: { cancelRequested: (outcome) => void outcomes.push(outcome) },
    });
  }

  const foreign = { processId: 1, secretKey: Buffer.from('abcd') };

  it('asks nobody any more for an address that showed 3 keys which no proxy has', async () => {
    for (let n = 0; n < 5; n++) await request(foreign, 'unknown_key');
    const unknown = Array.from({ length: 3 }, () => 'unknown_key');
    assert.deepEqual(outcomes, [...unknown, 'throttled', 'throttled']);
  });

  it('counts nothing against whose sessions are at other proxies, or here', async () => {
    for (let n = 0; n < 20; n++) await request(foreign, 'found');
    await request(session('long').key, 'unknown_key');
    await request(foreign, 'busy');
    assert.deepEqual(new Set(outcomes), new Set(['forwarded', 'found', 'throttled']));
    await request(foreign, 'found');
    assert.equal(outcomes.at(-1), 'forwarded');
  });
});
