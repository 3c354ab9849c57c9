/** What every event store must do for control planes beside each other. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { moved, registered } from './event-store.contract.ts';
import type { OpenedStore } from './event-store.contract.ts';
import type { EventStore } from './event-store.ts';
import { verifyChain } from './hash-chain.ts';
import type { KeptAnswer } from './kept-answers.ts';

const meta = { actor: 'tester', requestId: 'request-1' };
const place = { createdAt: 'life 1', firstSequence: 1, sequence: 7 };
const answer: KeptAnswer = {
  actor: 'tester',
  key: 'k',
  fingerprint: 'f',
  status: 201,
  headers: {},
  body: null,
  position: 1,
};

export function replicatedChangeContract(name: string, open: () => OpenedStore): void {
  describe(`changes of several control planes: ${name}`, () => {
    let leader: OpenedStore;
    let standby: OpenedStore;
    beforeEach(() => {
      leader = open();
      standby = open();
    });
    afterEach(() => {
      leader.dispose();
      standby.dispose();
    });

    it('tells what work would come to, and changes nothing', () => {
      const { store } = leader;
      const { result, events, answers } = store.rehearse((eventsSoFar) => {
        write(store, 'acme');
        const one = eventsSoFar();
        store.answers.keep(answer);
        write(store, 'other');
        return [one, eventsSoFar()];
      });
      assert.deepEqual(result, [1, 2]);
      assert.deepEqual(
        events.map(({ event }) => [event.position, event.stream]),
        [
          [1, 'tenant/acme'],
          [2, 'tenant/other'],
        ],
      );
      assert.deepEqual(answers, [answer]);
      assert.equal(store.head(), 0);
      assert.equal(store.getTenant('acme'), undefined);
      assert.equal(store.answers.find('tester', 'k'), undefined);
      assert.equal(store.streamVersion('tenant/acme'), 0);
    });

    it('forgets of a rehearsal what was undone within it', () => {
      const { store } = leader;
      const { events, answers } = store.rehearse(() => {
        write(store, 'acme');
        assert.throws(() =>
          store.atomically(() => {
            write(store, 'undone');
            store.answers.keep(answer);
            throw new Error('thrown by the test');
          }),
        );
        write(store, 'other');
      });
      assert.deepEqual(
        events.map(({ event }) => event.stream),
        ['tenant/acme', 'tenant/other'],
      );
      assert.deepEqual(answers, []);
    });

    it('keeps what another one decided on as it is: events, views, answers, place', () => {
      const change = leader.store.rehearse(() => {
        write(leader.store, 'acme');
        leader.store.append({
          stream: 'tenant/acme',
          events: [moved(6_000)],
          expectedVersion: 1,
          meta,
        });
        leader.store.answers.keep(answer);
      });
      let announced = 0;
      standby.store.subscribe(() => (announced += 1));
      for (const { store } of [leader, standby]) store.receive(change, place);
      assert.deepEqual([...standby.store.readAll(0)], [...leader.store.readAll(0)]);
      assert.deepEqual(standby.store.getTenant('acme'), leader.store.getTenant('acme'));
      assert.equal(standby.store.getTenant('acme')?.config.port, 6_000);
      assert.deepEqual(standby.store.answers.find('tester', 'k'), answer);
      assert.deepEqual(standby.store.streamPlace, place);
      assert.equal(verifyChain(standby.store).status, 'clean');
      assert.equal(announced, 1);
    });

    it('takes nothing that does not follow on its last event', () => {
      const { store } = leader;
      const first = store.rehearse(() => write(store, 'acme'));
      store.receive(first, place);
      const second = store.rehearse(() => write(store, 'other'));
      assert.throws(() => standby.store.receive(second, place));
      assert.equal(standby.store.head(), 0);
      assert.equal(standby.store.streamPlace, undefined);
      assert.throws(() => store.receive(first, place));
      assert.equal(store.head(), 1);
    });

    it('writes in the term that was begun, and knows that of what it receives', () => {
      const { store } = leader;
      store.beginTerm(4);
      const change = store.rehearse(() => write(store, 'acme'));
      assert.equal(change.events[0]?.event.epoch, 4);
      standby.store.receive(change, place);
      assert.equal(standby.store.epoch, 4);
      assert.throws(() => standby.store.beginTerm(4));
      standby.store.beginTerm(5);
      assert.equal(standby.store.epoch, 5);
    });

    it('forgets its place when it is told to', () => {
      leader.store.saveStreamPlace(place);
      leader.store.saveStreamPlace({ ...place, sequence: 8 });
      assert.equal(leader.store.streamPlace?.sequence, 8);
      leader.store.saveStreamPlace(undefined);
      assert.equal(leader.store.streamPlace, undefined);
    });
  });
}

function write(store: EventStore, id: string): void {
  store.append({
    stream: `tenant/${id}`,
    events: [registered(id)],
    expectedVersion: 'no-stream',
    meta,
  });
}
