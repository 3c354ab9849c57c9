/** What goes into one message of the event stream. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BUS_LIMITS } from '@dbbouncer/shared/bus/bus.ts';
import { decodeEventMessage } from '../publish/event-message.ts';
import type { StoredEvent } from '../store/event.ts';
import { hashEvent } from '../store/hash-chain.ts';
import type { KeptAnswer } from '../store/kept-answers.ts';
import type { PreparedEvent } from '../store/prepare-event.ts';
import { packed } from './packing.ts';

function prepared(position: number, requestId: string, bytes = 10): PreparedEvent {
  const record: Omit<StoredEvent, 'hash'> = {
    position,
    stream: 'tenant/acme',
    streamVersion: position,
    type: 'TenantUpdated',
    data: { text: 'x'.repeat(bytes) },
    actor: 'tester',
    reason: null,
    requestId,
    occurredAt: '2026-01-01T00:00:00.000Z',
    epoch: 1,
    prevHash: '0'.repeat(64),
  };
  const dataText = JSON.stringify(record.data);
  return { event: { ...record, hash: hashEvent(record) }, dataText };
}

function answer(position: number, bytes = 10): KeptAnswer {
  const body = JSON.stringify('x'.repeat(bytes));
  const asked = { actor: 'tester', key: `key-${position}`, fingerprint: 'f' };
  return { ...asked, status: 201, headers: {}, body, position };
}

function sizes(events: readonly PreparedEvent[]): readonly number[] {
  return packed({ events, answers: [] }).map((message) => message.events.length);
}

describe('packed', () => {
  it('puts what fits into one message, which is named by the hash of its last event', () => {
    const events = [prepared(1, 'a'), prepared(2, 'a'), prepared(3, 'b')];
    const [message, ...others] = packed({ events, answers: [] });
    assert.equal(others.length, 0);
    assert.equal(message?.id, events[2]?.event.hash);
    const decoded = decodeEventMessage(message?.data ?? new Uint8Array(0));
    assert.deepEqual(
      decoded.events,
      events.map(({ event }) => event),
    );
  });

  it('leaves a single event as it is, for readers of before', () => {
    const [message] = packed({ events: [prepared(1, 'a')], answers: [] });
    const content = JSON.parse(Buffer.from(message?.data ?? []).toString()) as StoredEvent;
    assert.equal(content.position, 1);
  });

  it('divides between requests, and a request only when it is too large for a message', () => {
    const kilobytes = (position: number, requestId: string) =>
      prepared(position, requestId, 100_000);
    const two = [1, 2, 3, 4, 5].map((n) => kilobytes(n, 'a'));
    const more = [6, 7, 8, 9, 10].map((n) => kilobytes(n, 'b'));
    assert.deepEqual(sizes([...two, ...more]), [5, 5]);
    const large = Array.from({ length: 20 }, (_, n) => kilobytes(n + 1, 'a'));
    assert.deepEqual(sizes(large), [8, 8, 4]);
    for (const { data } of packed({ events: large, answers: [] })) {
      assert.ok(data.byteLength <= BUS_LIMITS.messageBytesMax);
    }
  });

  it('sends answers along with the events they are about, as far as there is room', () => {
    const events = [prepared(1, 'a'), prepared(2, 'b')];
    const answers = [answer(0), answer(1), answer(2, 2_000_000), answer(3)];
    const [message] = packed({ events, answers });
    assert.deepEqual(message?.answers, [answers[1]]);
    assert.deepEqual(decodeEventMessage(message?.data ?? new Uint8Array(0)).answers, [answers[1]]);
  });
});
