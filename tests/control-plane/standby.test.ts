/**
 * Control planes beside each other in one process, on a bus that a test can make fail: what the
 * event stream refuses, what becomes of a write whose sender heard nothing, what is grouped.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { openCore } from '@dbbouncer/control-plane/core.ts';
import type { ControlPlaneCore } from '@dbbouncer/control-plane/core.ts';
import { lastEventIn } from '@dbbouncer/control-plane/publish/event-message.ts';
import { encodeLease, leaseMarks } from '@dbbouncer/control-plane/replication/lease-record.ts';
import type { Bus, BusKeys } from '@dbbouncer/shared/bus/bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { META, register, temporaryDirectory, until } from './core-harness.ts';
import { EVENT_LOG, messagesOn } from './published.ts';
import { UnreliableBus } from './unreliable-bus.ts';

/** Short, so that the tests are. */
const LEASE_MS = 500;
const MARKS = leaseMarks([Buffer.from('same')]);

const plane = (bus: Bus, dataDir: string, id: string, clock: Clock = systemClock) => {
  const core = openCore({
    dataDir,
    durability: 'replicated',
    standing: { id, leaseMs: LEASE_MS, marks: MARKS },
    bus,
    clock,
    log: silentLogger,
  });
  const nothing = async () => {};
  core.join({ apiUrl: `http://${id}`, onLeading: nothing, onFollowing: nothing });
  return core;
};

const roleOf = (core: ControlPlaneCore) => core.status().replica?.role;
const leads = (core: ControlPlaneCore) => until('it leads', () => roleOf(core) === 'leading');

/** The bus as one sees it whose link for keys is dead: it hears of no lease, and can renew none. */
function deafTo(bus: Bus, isDeaf: () => boolean): Bus {
  const forever = () => new Promise<never>(() => {});
  return new Proxy(bus, {
    get: (target, name) => {
      if (name !== 'keys') {
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      }
      return (spec: Parameters<Bus['keys']>[0]): BusKeys => {
        const keys = target.keys(spec);
        return {
          ...keys,
          get: (key) => (isDeaf() ? forever() : keys.get(key)),
          create: (key, value) => (isDeaf() ? forever() : keys.create(key, value)),
          put: (key, value) => keys.put(key, value),
          update: (key, value, at) => (isDeaf() ? forever() : keys.update(key, value, at)),
          delete: (key, at) => keys.delete(key, at),
          watch: (key, handler) =>
            keys.watch(key, async (change) => {
              if (!isDeaf()) await handler(change);
            }),
        };
      };
    },
  });
}

describe('control planes beside each other', { timeout: 30_000 }, () => {
  let bus: UnreliableBus;
  const open: ControlPlaneCore[] = [];
  const opened = (core: ControlPlaneCore) => {
    open.push(core);
    return core;
  };
  beforeEach(() => {
    bus = new UnreliableBus();
  });
  afterEach(async () => {
    bus.comeBack();
    for (const core of open.splice(0)) await core.close();
    await bus.close();
  });

  it('refuse the write of one that believes to lead and was deposed, and it follows', async (t) => {
    let deaf = false;
    let frozenMs: number | undefined;
    // Its clock stands still as well: for all it knows its lease goes on for ever.
    const clock: Clock = {
      ...systemClock,
      nowMs: () => frozenMs ?? systemClock.nowMs(),
      after: (delayMs, fire) =>
        systemClock.after(delayMs, () => {
          if (frozenMs === undefined) fire();
        }),
    };
    const deafBus = deafTo(bus, () => deaf);
    const former = opened(plane(deafBus, temporaryDirectory(t), 'former', clock));
    await leads(former);
    await former.commands.handle(register('before'), META);
    const next = opened(plane(bus, temporaryDirectory(t), 'next'));
    await until('it follows', () => roleOf(next) === 'following');
    frozenMs = systemClock.nowMs();
    deaf = true;
    await leads(next);
    assert.equal(roleOf(former), 'leading', 'it has not heard of it');
    await assert.rejects(former.commands.handle(register('late'), META), { code: 'NOT_LEADER' });
    await next.commands.handle(register('after'), META);
    assert.equal(next.tenants.getTenant('late'), undefined);
    assert.equal(former.tenants.getTenant('late'), undefined);
    frozenMs = undefined;
    deaf = false;
    await until(
      'it has what the next one wrote',
      () => former.tenants.getTenant('after') !== undefined,
    );
    assert.notEqual(roleOf(former), 'leading');
    assert.deepEqual([...former.events.readAll(0)], [...next.events.readAll(0)]);
  });

  it('tell nobody to go to who has written himself into the lease', async (t) => {
    const follower = opened(plane(bus, temporaryDirectory(t), 'follower'));
    await leads(follower);
    const keys = bus.keys({ bucket: SUBJECTS.leaderBucket });
    const thief = { holder: 'thief', process: 'any', apiUrl: 'http://thief', term: 9 };
    const mark = leaseMarks([Buffer.from('another key')]).of(thief);
    const lease = { ...thief, state: 'held', leaseMs: 60_000, mark } as const;
    await keys.put(SUBJECTS.leaseKey, encodeLease(lease));
    await until('it leads no more', () => roleOf(follower) === 'following');
    assert.equal(follower.status().replica?.leader, undefined);
    await assert.rejects(follower.commands.handle(register('acme'), META), (error: Error) => {
      assert.match(error.message, /master key is another one than that of .*thief/);
      return true;
    });
  });

  it('acknowledge a write once whose answer from the bus was lost', async (t) => {
    const core = opened(plane(bus, temporaryDirectory(t), 'one'));
    await leads(core);
    bus.loseNextAnswer(SUBJECTS.eventStream);
    const { position } = await core.commands.handle(register('acme'), META);
    const events = (await messagesOn(bus, EVENT_LOG)).map(lastEventIn);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['TermBegun', 'TenantRegistered'],
    );
    assert.equal(position, 2);
  });

  it('write a message once that arrives after its repetition', async (t) => {
    const core = opened(plane(bus, temporaryDirectory(t), 'one'));
    await leads(core);
    bus.holdBackNext(SUBJECTS.eventStream);
    await core.commands.handle(register('acme'), META);
    await bus.deliverHeldBack();
    await core.commands.handle(register('other'), META);
    assert.equal((await messagesOn(bus, EVENT_LOG)).length, 3);
  });

  it('say that the outcome of a write is unknown when the bus goes, and keep it', async (t) => {
    const core = opened(plane(bus, temporaryDirectory(t), 'one'));
    await leads(core);
    bus.loseNextAnswer(SUBJECTS.eventStream);
    const write = core.commands.handle(register('acme'), META);
    // The message is on its way when the link breaks.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    bus.goDown();
    await assert.rejects(write, { code: 'STORE_OUTCOME_UNKNOWN' });
    assert.equal(core.tenants.getTenant('acme'), undefined);
    await assert.rejects(core.commands.handle(register('other'), META), { code: 'NOT_LEADER' });
    bus.comeBack();
    await leads(core);
    assert.equal(core.tenants.getTenant('acme')?.config.id, 'acme');
    const terms = [...core.events.readAll(0)].map(({ epoch }) => epoch);
    assert.deepEqual(terms, [1, 1, 2]);
  });

  it('keep 200 writes that come together in few messages, and a batch in one', async (t) => {
    const core = opened(plane(bus, temporaryDirectory(t), 'one'));
    await leads(core);
    const ids = Array.from({ length: 200 }, (_, n) => `t${n}`);
    await Promise.all(ids.map((id) => core.commands.handle(register(id), META)));
    const messages = (await messagesOn(bus, EVENT_LOG)).length;
    assert.ok(messages <= 4, `${messages} messages`);
    await core.commands.handleAll(
      ids.map((id) => ({ kind: 'remove_tenant', id: id as never })),
      META,
    );
    assert.equal((await messagesOn(bus, EVENT_LOG)).length, messages + 1);
  });

  it('refuse one command of a batch alone, and keep the others', async (t) => {
    const core = opened(plane(bus, temporaryDirectory(t), 'one'));
    await leads(core);
    const outcomes = await Promise.allSettled(
      ['a', 'a', 'b'].map((id) => core.commands.handle(register(id), META)),
    );
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
    assert.equal(core.status().position, 3);
  });

  it('stop at a stream that was made anew, and go on when it is the old one again', async (t) => {
    const core = opened(plane(bus, temporaryDirectory(t), 'one'));
    await leads(core);
    await core.commands.handle(register('acme'), META);
    bus.wipe();
    await assert.rejects(core.commands.handle(register('late'), META));
    await until('it has stopped', () => roleOf(core) === 'stopped');
    await assert.rejects(core.commands.handle(register('late'), META), {
      code: 'EVENT_STREAM_UNUSABLE',
      message: /was deleted and made anew/,
    });
    assert.equal(core.tenants.getTenant('acme')?.config.id, 'acme');
  });

  it('write the events of a log from before into an empty stream when it takes over', async (t) => {
    const dataDir = temporaryDirectory(t);
    const alone = openCore({
      dataDir,
      bus: new UnreliableBus(),
      clock: systemClock,
      log: silentLogger,
    });
    for (const id of ['a', 'b', 'c']) await alone.commands.handle(register(id), META);
    await alone.close();
    const core = opened(plane(bus, dataDir, 'one'));
    await leads(core);
    const standby = opened(plane(bus, temporaryDirectory(t), 'two'));
    await until('it has all of it', () => standby.status().position === 4);
    assert.deepEqual([...standby.events.readAll(0)], [...core.events.readAll(0)]);
    assert.equal(core.status().epoch, 2);
  });

  it('never lead with a message in the stream that is not as it was written', async (t) => {
    const first = plane(bus, temporaryDirectory(t), 'one');
    await leads(first);
    await first.commands.handle(register('acme'), META);
    const [last] = [...first.events.readAll(1)];
    await first.close();
    const forged = { ...last, position: 3, streamVersion: 2, prevHash: last?.hash };
    await bus.log(EVENT_LOG).append('forged', Buffer.from(JSON.stringify(forged)));
    const core = opened(plane(bus, temporaryDirectory(t), 'two'));
    await until('it has stopped', () => roleOf(core) === 'stopped');
    assert.match(core.status().replica?.problem ?? '', /event 3 has another hash/);
    assert.equal(core.status().position, 2);
  });
});
