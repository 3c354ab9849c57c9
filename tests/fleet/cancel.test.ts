/**
 * Cancel requests that reach another proxy than that of their session, over real proxies and a real
 * nats-server: they arrive, and no secret but the right one does anything.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { encodeForwardedCancel } from '@dbbouncer/shared/contract/forwarded-cancel.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import type { ProxyId } from '@dbbouncer/shared/kernel/ids.ts';
import { untilRunning } from '../data-plane/running-statements.ts';
import { metric } from '../support/proxy-metrics.ts';
import { fields, firstColumns, query, RawClient } from '../support/raw-client.ts';
import type { CancelKey, RawMessage } from '../support/raw-client.ts';
import { TestFleet } from './test-fleet.ts';
import type { Member } from './test-fleet.ts';

/** Their ids make the same number, which short keys hold instead of an id. */
const [FIRST, TWIN] = ['proxy-77', 'proxy-195'];
let fleet: TestFleet;
let owner: Member;
let other: Member;
let count = 0;

before(async () => {
  fleet = await TestFleet.start({ proxies: [FIRST, 'proxy-1', TWIN], tenants: ['acme'] });
  [owner, other] = fleet.members as unknown as [Member, Member];
});
after(() => fleet.stop());

const codes = (messages: readonly RawMessage[]) =>
  messages.filter(({ type }) => type === 'E').map((message) => fields(message)['C']);

const outcomes = (member: Member, outcome: string) =>
  metric(member, 'dbbouncer_cancel_requests_total', { outcome });

/** A client of the first proxy, whose statement runs. */
async function sleeping(seconds: number, minor = 2) {
  const client = await fleet.login(owner, 'acme', minor);
  const statement = `SELECT pg_sleep(${seconds}), ${++count}`;
  client.send(query(statement));
  await untilRunning(fleet.cluster, statement);
  return client;
}

/** Resolves when the proxy has closed the connection: it has done what it will do. */
async function cancelAt(member: Member, key: CancelKey): Promise<void> {
  const canceller = await RawClient.connect(member);
  canceller.cancel(key);
  await canceller.closed();
}

describe('a cancel request at another proxy', () => {
  for (const [minor, form] of [
    [0, 'of 8 bytes, with a number'],
    [2, 'of protocol 3.2, with the id of the proxy'],
  ] as const) {
    it(`reaches the statement from another proxy by a key ${form}`, async () => {
      const client = await sleeping(60, minor);
      assert.equal(client.key().secretKey.length, minor === 0 ? 4 : 32 + FIRST.length);
      await cancelAt(other, client.key());
      assert.deepEqual(codes(await client.until('Z')), ['57014']);
      client.send(query('SELECT 1'));
      assert.deepEqual(firstColumns(await client.until('Z')), ['1']);
      client.end();
    });
  }

  it('is counted as forwarded there, once each', async () => {
    assert.equal(await outcomes(other, 'forwarded'), 2);
    assert.equal(await outcomes(owner, 'found'), 0);
  });

  it('finds the one of two proxies with the same number that has the session', async () => {
    const client = await sleeping(60, 0);
    const twin = fleet.members[2] as Member;
    await cancelAt(twin, client.key());
    assert.deepEqual(codes(await client.until('Z')), ['57014']);
    client.end();
  });

  it('does nothing with a secret of which any byte is wrong', async () => {
    for (const minor of [0, 2]) {
      const client = await sleeping(0.5, minor);
      const { processId, secretKey } = client.key();
      for (const at of [0, 3]) {
        const wrong = Buffer.from(secretKey);
        wrong.writeUInt8(wrong.readUInt8(at) ^ 1, at);
        await cancelAt(other, { processId, secretKey: wrong });
      }
      assert.deepEqual(codes(await client.until('Z')), []);
      client.end();
    }
    assert.equal(await outcomes(other, 'unknown_key'), 4);
  });

  it('of a proxy that is not there, or of nobody, ends without harm', async () => {
    const secret = Buffer.alloc(32, 7);
    const gone = { processId: 1, secretKey: Buffer.concat([secret, Buffer.from('gone')]) };
    await cancelAt(other, gone);
    await cancelAt(other, { processId: 1, secretKey: Buffer.alloc(4, 1) });
    await cancelAt(other, { processId: -1, secretKey: Buffer.alloc(256, 255) });
    assert.equal(await outcomes(other, 'unknown_key'), 7);
  });

  it('of whom says nothing sensible on the bus does nothing to the proxy', async () => {
    const subject = SUBJECTS.cancel(FIRST as ProxyId);
    const junk = [Buffer.from('junk'), Buffer.from('{}'), Buffer.alloc(100_000, 'x')];
    for (const bytes of junk) {
      const answer = await other.bus.request(subject, bytes, 5_000);
      assert.equal(Buffer.from(answer).toString(), 'unknown_key');
    }
    const client = await sleeping(0.3);
    const key = { processId: client.key().processId, secretKey: Buffer.alloc(0) };
    const empty = encodeForwardedCancel({ from: 'proxy-1' as ProxyId, ...key });
    assert.equal(
      Buffer.from(await other.bus.request(subject, empty, 5_000)).toString(),
      'unknown_key',
    );
    assert.deepEqual(codes(await client.until('Z')), []);
    client.end();
  });
});
