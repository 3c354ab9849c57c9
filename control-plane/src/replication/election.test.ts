/** Who leads, over leases that are renewed, given back, cut off or lost. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import type { Bus, BusKeys } from '@dbbouncer/shared/bus/bus.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { ManualClock } from '../../../tests/support/manual-clock.ts';
import { Election } from './election.ts';
import { leaseMarks } from './lease-record.ts';

const LEASE_MS = 5_000;
const MARKS = leaseMarks([Buffer.from('same')]);

/** A candidate whose link to the bus can be cut. */
class Runner {
  readonly election: Election;
  readonly told: string[] = [];
  link: 'up' | 'cut' = 'up';
  isReady = true;

  constructor(bus: Bus, clock: ManualClock, holder: string, process = `${holder}-1`) {
    const candidate = { holder, process, apiUrl: `http://${holder}`, marks: MARKS };
    this.election = new Election(
      { ...candidate, leaseMs: LEASE_MS },
      {
        mayLead: () => this.isReady,
        termFloor: () => 0,
        onElected: (term) => this.told.push(`elected ${term}`),
        onDeposed: () => this.told.push('deposed'),
      },
      { keys: this.#keys(bus), clock, log: silentLogger },
    );
  }

  #keys(bus: Bus): BusKeys {
    const keys = bus.keys({ bucket: SUBJECTS.leaderBucket });
    const reach = () => {
      if (this.link === 'cut') throw sharedErrors.fail('BUS_UNAVAILABLE', 'Cut.');
      return keys;
    };
    return {
      get: async (key) => await reach().get(key),
      put: async (key, value) => await reach().put(key, value),
      create: async (key, value) => await reach().create(key, value),
      update: async (key, value, revision) => await reach().update(key, value, revision),
      delete: async (key, revision) => await reach().delete(key, revision),
      watch: (key, handler) =>
        keys.watch(key, async (change) => {
          if (this.link === 'up') await handler(change);
        }),
    };
  }
}

describe('Election', () => {
  let clock: ManualClock;
  let bus: Bus;
  let a: Runner;
  let b: Runner;
  beforeEach(async () => {
    clock = new ManualClock();
    bus = createMemoryBus({ clock });
    a = new Runner(bus, clock, 'a');
    b = new Runner(bus, clock, 'b');
    a.election.start();
    await clock.pass(100);
    b.election.start();
    await clock.pass(100);
  });

  it('makes the first one leader of term 1 and keeps it that as long as it renews', async () => {
    await clock.pass(20 * LEASE_MS);
    assert.deepEqual([a.told, b.told], [['elected 1'], []]);
    assert.ok(a.election.holds() && !b.election.holds());
    assert.equal(b.election.lease?.holder, 'a');
  });

  it('lets the other lead a lease after the last renewal, and never two at once', async () => {
    a.link = 'cut';
    let bothLead = 0;
    let nobodyMs = 0;
    for (let ms = 0; ms < 3 * LEASE_MS; ms += 100) {
      await clock.pass(100);
      const leading = [a, b].filter(({ election }) => election.holds()).length;
      if (leading === 2) bothLead += 1;
      if (leading === 0) nobodyMs += 100;
    }
    assert.equal(bothLead, 0);
    assert.deepEqual([a.told, b.told], [['elected 1', 'deposed'], ['elected 2']]);
    assert.ok(nobodyMs > 0 && nobodyMs <= LEASE_MS, `${nobodyMs} ms without a leader`);
  });

  it('stops before its lease is over for others when the clock stood still meanwhile', async () => {
    a.link = 'cut';
    clock.stall(LEASE_MS * 0.9);
    assert.equal(a.election.holds(), false, 'even before its timer has fired');
  });

  it('goes to the other at once when it is given back', async () => {
    await a.election.close();
    await clock.pass(0);
    assert.deepEqual(b.told, ['elected 2']);
  });

  it('goes at once to the next process on the data folder of the one that had it', async () => {
    await b.election.close();
    a.link = 'cut';
    const next = new Runner(bus, clock, 'a', 'a-2');
    next.election.start();
    await clock.pass(0);
    assert.deepEqual(next.told, ['elected 2']);
    a.link = 'up';
    await clock.pass(LEASE_MS);
    assert.deepEqual(a.told, ['elected 1', 'deposed']);
  });

  it('goes to that next process as soon as it is ready, though it has looked before', async () => {
    await b.election.close();
    a.link = 'cut';
    const next = new Runner(bus, clock, 'a', 'a-2');
    next.isReady = false;
    next.election.start();
    await clock.pass(LEASE_MS / 4);
    assert.deepEqual(next.told, []);
    next.isReady = true;
    next.election.nudge();
    await clock.pass(0);
    assert.deepEqual(next.told, ['elected 2']);
  });

  it('comes back to one that was cut off, in a new term, once it is heard again', async () => {
    await b.election.close();
    a.link = 'cut';
    await clock.pass(2 * LEASE_MS);
    a.link = 'up';
    await clock.pass(LEASE_MS / 5);
    assert.deepEqual(a.told, ['elected 1', 'deposed', 'elected 2']);
  });

  it('stays with the leader while somebody writes over it each 700 ms', async () => {
    await scribble(4 * LEASE_MS);
    assert.deepEqual([a.told, b.told], [['elected 1'], []]);
    assert.ok(a.election.holds());
  });

  it('goes to the other when the leader is cut off, also while somebody scribbles', async () => {
    a.link = 'cut';
    await scribble(2 * LEASE_MS);
    assert.deepEqual([a.told, b.told], [['elected 1', 'deposed'], ['elected 2']]);
    assert.ok(b.election.holds());
  });

  async function scribble(forMs: number): Promise<void> {
    const keys = bus.keys({ bucket: SUBJECTS.leaderBucket });
    for (let ms = 0; ms < forMs; ms += 700) {
      await keys.put(SUBJECTS.leaseKey, Buffer.from('{"type":"io.nats.jetstream.api"}'));
      await clock.pass(700);
    }
  }

  it('stays with one whose renewal was stored and not acknowledged', async () => {
    const keys = bus.keys({ bucket: SUBJECTS.leaderBucket });
    const entry = await keys.get(SUBJECTS.leaseKey);
    assert.ok(entry !== undefined);
    await keys.update(SUBJECTS.leaseKey, entry.value, entry.revision);
    await clock.pass(2 * LEASE_MS);
    assert.deepEqual([a.told, b.told], [['elected 1'], []]);
    assert.ok(a.election.holds());
  });
});
