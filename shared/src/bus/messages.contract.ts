/**
 * What every bus does with plain messages and requests, as tests; part of bus.contract.ts.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { BUS_LIMITS } from './bus.ts';
import type { Bus } from './bus.ts';
import { bytes, Collector, rejectsWith, text, uniqueName } from './support.contract.ts';

export function subjectsContract(bus: () => Bus): void {
  it('delivers to every subscriber of the subject, in order, with the subject', async () => {
    const subject = uniqueName();
    const [one, two] = [new Collector<string>(), new Collector<string>()];
    bus().subscribe(subject, (data, actual) => one.add(`${text(data)} on ${actual}`));
    bus().subscribe(subject, (data) => two.add(text(data)));
    for (const word of ['a', 'b', 'c']) bus().publish(subject, bytes(word));
    assert.deepEqual(
      await one.first(3),
      ['a', 'b', 'c'].map((word) => `${word} on ${subject}`),
    );
    assert.deepEqual(await two.first(3), ['a', 'b', 'c']);
  });

  it('matches * with one token and > with one or more', async () => {
    const root = uniqueName();
    const [star, rest] = [new Collector<string>(), new Collector<string>()];
    bus().subscribe(`${root}.*`, (_data, subject) => star.add(subject));
    bus().subscribe(`${root}.>`, (_data, subject) => rest.add(subject));
    const subjects = [root, `${root}.a`, `${root}.a.b`, `${root}.z`];
    for (const subject of subjects) bus().publish(subject, bytes('x'));
    assert.deepEqual(await rest.first(3), [`${root}.a`, `${root}.a.b`, `${root}.z`]);
    assert.deepEqual(await star.first(2), [`${root}.a`, `${root}.z`]);
  });

  it('calls no handler before publish returns, nor after its subscription closed', async () => {
    const subject = uniqueName();
    let order = '';
    const closed = bus().subscribe(subject, () => (order += 'closed one called '));
    const got = new Collector<string>();
    bus().subscribe(subject, (data) => {
      order += 'delivered';
      got.add(text(data));
    });
    bus().publish(subject, bytes('x'));
    closed.close();
    order += 'returned ';
    await got.first(1);
    assert.equal(order, 'returned delivered');
  });

  it('goes on after a handler that throws', async () => {
    const subject = uniqueName();
    const got = new Collector<string>();
    bus().subscribe(subject, (data) => {
      got.add(text(data));
      throw new Error('thrown by the test');
    });
    bus().publish(subject, bytes('a'));
    bus().publish(subject, bytes('b'));
    assert.deepEqual(await got.first(2), ['a', 'b']);
  });

  it('drops a message above messageBytesMax and goes on', async () => {
    const subject = uniqueName();
    const got = new Collector<number>();
    bus().subscribe(subject, (data) => got.add(data.byteLength));
    bus().publish(subject, new Uint8Array(BUS_LIMITS.messageBytesMax + 1));
    bus().publish(subject, new Uint8Array(BUS_LIMITS.messageBytesMax));
    assert.deepEqual(await got.first(1), [BUS_LIMITS.messageBytesMax]);
  });
}

export function requestsContract(bus: () => Bus): void {
  it('brings the answer of the responder', async () => {
    const subject = uniqueName();
    bus().respond(subject, async (data) => bytes(`${text(data)}, answered`));
    assert.equal(text(await bus().request(subject, bytes('asked'), 5_000)), 'asked, answered');
  });

  it('matches concurrent answers with their requests, whichever is first', async () => {
    const subject = uniqueName();
    const release = new Map<string, () => void>();
    const asked = new Collector<string>();
    bus().respond(subject, async (data) => {
      const held = new Promise<void>((resolve) => release.set(text(data), resolve));
      asked.add(text(data));
      await held;
      return data;
    });
    const answers = ['a', 'b'].map((word) => bus().request(subject, bytes(word), 5_000));
    await asked.first(2);
    release.get('b')?.();
    assert.equal(text(await (answers[1] as Promise<Uint8Array>)), 'b');
    release.get('a')?.();
    assert.equal(text(await (answers[0] as Promise<Uint8Array>)), 'a');
  });

  it('fails at once when nobody answers on the subject', async () => {
    const startedAt = performance.now();
    await rejectsWith('BUS_UNAVAILABLE', bus().request(uniqueName(), bytes('x'), 20_000));
    assert.ok(performance.now() - startedAt < 5_000);
  });

  it('fails after timeoutMs when the responder rejects or is silent', async () => {
    const [failing, silent] = [uniqueName(), uniqueName()];
    bus().respond(failing, () => Promise.reject(new Error('rejected by the test')));
    bus().respond(silent, () => new Promise(() => {}));
    await Promise.all([
      rejectsWith('BUS_UNAVAILABLE', bus().request(failing, bytes('x'), 100)),
      rejectsWith('BUS_UNAVAILABLE', bus().request(silent, bytes('x'), 100)),
    ]);
  });

  it('does not call a responder for what is merely published', async () => {
    const subject = uniqueName();
    const called = new Collector<string>();
    bus().respond(subject, async (data) => {
      called.add(text(data));
      return data;
    });
    bus().publish(subject, bytes('published'));
    await bus().request(subject, bytes('requested'), 5_000);
    assert.deepEqual(called.items, ['requested']);
  });

  it('fails once the only responder has closed', async () => {
    const subject = uniqueName();
    const responding = bus().respond(subject, async (data) => data);
    await bus().request(subject, bytes('x'), 5_000);
    responding.close();
    await rejectsWith('BUS_UNAVAILABLE', bus().request(subject, bytes('x'), 5_000));
  });
}
