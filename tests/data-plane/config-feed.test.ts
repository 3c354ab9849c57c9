/**
 * The config feed over the real in-process bus and a real disk: how a proxy starts, follows,
 * recovers and is cut off.
 */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ConfigFeed } from '@dbbouncer/data-plane/config-feed/feed.ts';
import { DiskCopy } from '@dbbouncer/data-plane/config-feed/disk-copy.ts';
import { Router } from '@dbbouncer/data-plane/routing/router.ts';
import { someConfig, someTenant } from '@dbbouncer/data-plane/routing/testing.ts';
import type { Bus, BusStatus } from '@dbbouncer/shared/bus/bus.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import type { Clock } from '@dbbouncer/shared/kernel/clock.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import type { Logger } from '@dbbouncer/shared/kernel/log.ts';
import {
  answerSnapshotRequests,
  append,
  appendText,
  at,
  isFollowing,
  putSnapshot,
  putSnapshotBytes,
  set,
  status,
} from './config-feed-support.ts';

/** Waits are real but short. */
const clock: Clock = {
  ...systemClock,
  after: (delayMs, fire) => systemClock.after(delayMs / 20, fire),
};
let dir: string;
let bus: Bus;
let router: Router;
const feeds: ConfigFeed[] = [];

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'config-feed-'));
  bus = createMemoryBus();
  router = new Router(silentLogger);
});

afterEach(async () => {
  for (const feed of feeds.splice(0)) await feed.stop();
  await bus.close();
  await rm(dir, { recursive: true });
});

function startFeed(over: Bus = bus, bootWaitMs = 2_000): ConfigFeed {
  const log = silentLogger;
  const disk = new DiskCopy({ dir, clock, log });
  const feed = new ConfigFeed({ bus: over, router, clock, log, disk, bootWaitMs });
  feeds.push(feed);
  feed.start();
  return feed;
}

describe('ConfigFeed starts', () => {
  it('from the snapshot and follows the deltas after it', async () => {
    await append(bus, { to: 1, changes: [...set('never-replayed')] });
    await putSnapshot(bus, someConfig([someTenant('acme')], { position: 5 }));
    const feed = startFeed();
    await status(feed, at(5));
    await append(bus, { to: 6, changes: [...set('globex')] });
    const { phase, source, epoch } = await status(feed, at(6));
    assert.deepEqual({ phase, source, epoch }, { phase: 'following', source: 'bus', epoch: 1 });
    assert.deepEqual([...router.current.config.tenants].map(([key]) => key).toSorted(), [
      'acme',
      'globex',
    ]);
  });

  it('with nothing before the first control plane, and works as soon as one appears', async () => {
    const feed = startFeed();
    assert.equal(feed.status.phase, 'booting');
    await append(bus, { to: 1, changes: [...set('acme')] });
    await feed.whenReady();
    assert.equal(feed.status.appliedPosition, 1);
    assert.equal(feed.status.phase, 'following');
  });

  it('with nothing, and finds a snapshot that comes without a delta', async () => {
    const feed = startFeed();
    await new Promise((resolve) => feed.onStatus(resolve));
    assert.equal(feed.status.phase, 'booting');
    await putSnapshot(bus, someConfig([someTenant('acme')], { position: 5 }));
    await feed.whenReady();
    const { source, appliedPosition } = feed.status;
    assert.deepEqual({ source, appliedPosition }, { source: 'bus', appliedPosition: 5 });
  });

  it('ready only at the end of the log: an old snapshot knows not the newest tenants', async () => {
    await putSnapshot(bus, someConfig([], { position: 0 }));
    for (let to = 1; to <= 300; to += 1) {
      await append(bus, { to, changes: to === 300 ? [...set('newest')] : [] });
    }
    const feed = startFeed();
    await feed.whenReady();
    assert.equal(feed.status.appliedPosition, 300);
    assert(router.current.byKey('newest') !== undefined);
  });

  it('ready with the old snapshot after 2 s when the deltas behind it do not arrive', async () => {
    await putSnapshot(bus, someConfig([someTenant('acme')], { position: 5 }));
    await append(bus, { to: 6 });
    const feed = startFeed(new Link(bus, 'connected', 'stay away').bus);
    await status(feed, at(5));
    assert.equal(feed.status.phase, 'booting');
    await feed.whenReady();
    assert.equal(feed.status.appliedPosition, 5);
  });

  it('ready with the last good config when a later delta cannot be served', async () => {
    await putSnapshot(bus, someConfig([someTenant('acme')], { position: 5 }));
    await append(bus, { to: 6, changes: [...set('globex')] });
    await appendText(bus, '{"no":"delta"}');
    const feed = startFeed();
    await feed.whenReady();
    assert.equal(feed.status.appliedPosition, 6);
  });

  it('ready with an empty fleet: no tenant at position 0 is a config', async () => {
    await putSnapshot(bus, someConfig([], { epoch: 0, position: 0 }));
    const feed = startFeed();
    await feed.whenReady();
    assert.equal(feed.status.source, 'bus');
  });

  it('by asking for a snapshot when the log begins too late', async () => {
    const asked = answerSnapshotRequests(bus, () => someConfig([], { position: 8 }));
    await append(bus, { to: 8 });
    const feed = startFeed();
    await status(feed, at(8));
    assert.equal(asked.asked, 1);
  });

  it('from the first delta when the snapshot counts in another log', async () => {
    const place = { logCreatedAt: 'another log', logSequence: 900 };
    await putSnapshot(bus, someConfig([], { position: 2 }), place);
    for (const to of [1, 2, 3]) await append(bus, { to });
    await status(startFeed(), at(3));
  });
});

describe('ConfigFeed follows', () => {
  it('a single delta within 20 ms', async () => {
    await putSnapshot(bus, someConfig([]));
    const feed = startFeed();
    await status(feed, isFollowing);
    const startedMs = performance.now();
    await append(bus, { to: 2 });
    await status(feed, at(2));
    assert(performance.now() - startedMs < 20);
  });

  it('a burst of 500 deltas with fewer swaps than deltas', async () => {
    await putSnapshot(bus, someConfig([]));
    for (let to = 2; to <= 501; to++) {
      await append(bus, { to, changes: [...set(`tenant-${to}`)] });
    }
    await putSnapshot(bus, someConfig([]), { logSequence: 0 });
    let swaps = 0;
    router.onSwap(() => swaps++);
    await status(startFeed(), at(501));
    assert.equal(router.current.config.tenants.size, 500);
    assert(swaps < 250, `${swaps} swaps`);
  });

  it('ignoring what it has', async () => {
    await putSnapshot(bus, someConfig([], { position: 3 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    for (const to of [2, 3, 4]) await append(bus, { to });
    assert.equal((await status(feed, at(4))).rejected, undefined);
  });

  it('over a gap with a new snapshot, swapping only the tenants that differ', async () => {
    await putSnapshot(bus, someConfig([someTenant('acme'), someTenant('globex')], { position: 5 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    const acme = router.current.byKey('acme');
    const moved = someTenant('globex', { host: 'new.internal' });
    answerSnapshotRequests(bus, () => someConfig([someTenant('acme'), moved], { position: 9 }));
    await append(bus, { to: 9 });
    await status(feed, at(9));
    assert.equal(router.current.byKey('acme'), acme);
    assert.equal(router.current.byKey('globex')?.host, 'new.internal');
    await append(bus, { to: 10 });
    await status(feed, at(10));
  });

  it('over a gap with the stored snapshot when nobody answers', async () => {
    await putSnapshot(bus, someConfig([], { position: 5 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    await append(bus, { to: 9 });
    await putSnapshot(bus, someConfig([], { position: 9 }));
    assert.equal((await status(feed, at(9))).phase, 'following');
  });
});

describe('ConfigFeed keeps the last good config', () => {
  it('and records a delta of a term that has ended, then goes on', async () => {
    await putSnapshot(bus, someConfig([], { epoch: 2, position: 5 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    await append(bus, { epoch: 1, to: 6, changes: [...set('stale')] });
    const { rejected } = await status(feed, (now) => now.rejected !== undefined);
    assert.deepEqual(rejected, {
      position: 6,
      reason: 'written in term 1, which term 2 has ended',
    });
    await append(bus, { epoch: 2, to: 6 });
    assert.equal((await status(feed, at(6))).rejected, undefined);
    assert.equal(router.current.byKey('stale'), undefined);
  });

  it('when a delta does not decode, and recovers by a later snapshot', async () => {
    await putSnapshot(bus, someConfig([someTenant('acme')], { position: 5 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    await appendText(bus, '{"epoch":1,"from":5,"to":6,"changes":"what?"}');
    const { rejected } = await status(feed, (now) => now.rejected !== undefined);
    assert.equal(rejected?.position, 6);
    assert.equal(feed.status.appliedPosition, 5);
    assert(router.current.byKey('acme') !== undefined);
    answerSnapshotRequests(bus, () => someConfig([someTenant('acme')], { position: 7 }));
    const recovered = await status(feed, at(7));
    assert.equal(recovered.rejected, undefined);
    assert.equal(recovered.rejectedTotal, 1);
  });

  it('and says once that it begins again for a delta that it refuses over and over', async () => {
    await putSnapshot(bus, someConfig([someTenant('acme')], { position: 5 }));
    const said: string[] = [];
    const log: Logger = {
      ...silentLogger,
      info: (_fields, message) => said.push(message),
      child: () => log,
    };
    const feed = new ConfigFeed({ bus, router, clock, log });
    feeds.push(feed);
    const asked = Promise.withResolvers<void>();
    let rounds = 0;
    // The one that is stored is all there is: the delta comes behind it again.
    bus.respond(SUBJECTS.snapshotRequest, async () => {
      rounds += 1;
      if (rounds === 5) asked.resolve();
      return new Uint8Array();
    });
    feed.start();
    await status(feed, isFollowing);
    await appendText(bus, '{"epoch":1,"from":5,"to":6,"changes":"what?"}');
    await asked.promise;
    assert.equal(said.filter((message) => message === 'config feed begins again').length, 1);
  });

  it('when delta and snapshot are inconsistent alike', async () => {
    await putSnapshot(bus, someConfig([], { position: 5 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    const bad = someTenant('bad', { pool: { minConnections: 9, maxConnections: 8 } });
    let served = someConfig([bad], { position: 6 });
    answerSnapshotRequests(bus, () => served);
    await append(bus, { to: 6, changes: [{ kind: 'tenant_set', tenant: bad }] });
    const { rejected } = await status(feed, (now) => now.rejected !== undefined);
    assert.equal(
      rejected?.reason,
      'tenant "bad": min_connections (9) is above max_connections (8)',
    );
    assert.equal(feed.status.appliedPosition, 5);
    served = someConfig([someTenant('bad')], { position: 7 });
    await append(bus, { to: 7, changes: [...set('bad')] });
    assert.equal((await status(feed, at(7))).rejected, undefined);
  });

  it('when the stored snapshot is garbage, until there is a good one', async () => {
    await putSnapshotBytes(bus, 'garbage');
    const feed = startFeed();
    const { rejected, phase } = await status(feed, (now) => now.rejected !== undefined);
    assert.deepEqual(rejected, { position: 0, reason: 'snapshot is not JSON' });
    assert.equal(phase, 'booting');
    await putSnapshot(bus, someConfig([], { position: 3 }));
    assert.equal((await status(feed, at(3))).rejected, undefined);
  });

  it('but follows a later term back to a lower position', async () => {
    await putSnapshot(bus, someConfig([someTenant('lost')], { position: 9 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    answerSnapshotRequests(bus, () => someConfig([], { epoch: 2, position: 7 }));
    await append(bus, { epoch: 2, to: 7 });
    assert.equal((await status(feed, at(7))).epoch, 2);
    assert.equal(router.current.byKey('lost'), undefined);
  });
});

/** `bus` as a proxy sees it whose connection comes and goes, and may lead to another bus then. */
class Link {
  readonly bus: Bus;
  #real: Bus;
  #status: BusStatus;
  readonly #listeners = new Set<(status: BusStatus) => void>();

  constructor(real: Bus, status: BusStatus, deltas: 'arrive' | 'stay away' = 'arrive') {
    this.#real = real;
    this.#status = status;
    const statusNow = () => this.#status;
    this.bus = {
      get status() {
        return statusNow();
      },
      onStatus: (listener) => {
        this.#listeners.add(listener);
        return { close: () => void this.#listeners.delete(listener) };
      },
      log: (spec) => ({
        append: async (id, data, options) => await this.#open().log(spec).append(id, data, options),
        last: async () => await this.#open().log(spec).last(),
        state: async () => await this.#open().log(spec).state(),
        follow: (from, handler) =>
          deltas === 'arrive'
            ? this.#real.log(spec).follow(from, handler)
            : { close: () => undefined },
      }),
      objects: (bucket) => ({
        put: async (name, data) => await this.#open().objects(bucket).put(name, data),
        get: async (name) => await this.#open().objects(bucket).get(name),
      }),
      keys: (spec) => this.#real.keys(spec),
      publish: (subject, data) => this.#real.publish(subject, data),
      subscribe: (subject, handler) => this.#real.subscribe(subject, handler),
      request: async (subject, data, ms) => await this.#open().request(subject, data, ms),
      respond: (subject, handler) => this.#real.respond(subject, handler),
      close: async () => await this.#real.close(),
    };
  }

  turn(status: BusStatus, real = this.#real): void {
    this.#status = status;
    this.#real = real;
    for (const listener of this.#listeners) listener(status);
  }

  #open(): Bus {
    if (this.#status === 'connected') return this.#real;
    throw sharedErrors.fail('BUS_UNAVAILABLE', 'the link is down');
  }
}

describe('ConfigFeed cut off', () => {
  async function leaveCopy(position: number): Promise<void> {
    const copy = new DiskCopy({ dir, clock: systemClock, log: silentLogger });
    copy.save(someConfig([someTenant('acme')], { position }));
    await copy.flush();
  }

  it('starts from the copy on disk, and takes the bus when it is there', async () => {
    await leaveCopy(5);
    await putSnapshot(bus, someConfig([], { position: 8 }));
    const link = new Link(bus, 'connecting');
    const feed = startFeed(link.bus, 20);
    await feed.whenReady();
    assert.equal(feed.status.phase, 'cut_off');
    assert.equal(feed.status.source, 'disk');
    assert.equal(feed.status.appliedPosition, 5);
    assert(router.current.byKey('acme') !== undefined);
    link.turn('connected');
    const now = await status(feed, at(8));
    assert.equal(now.source, 'bus');
    assert.equal((await status(feed, isFollowing)).appliedPosition, 8);
  });

  it('keeps a copy on disk that is newer than the snapshot on the bus', async () => {
    await leaveCopy(5);
    await append(bus, { to: 5 });
    await putSnapshot(bus, someConfig([], { position: 4 }));
    const link = new Link(bus, 'connecting');
    const feed = startFeed(link.bus, 1);
    await feed.whenReady();
    link.turn('connected');
    await status(feed, (now) => now.source === 'bus');
    assert.equal(feed.status.appliedPosition, 5);
    await append(bus, { to: 6 });
    await status(feed, at(6));
  });

  it('uses the copy at once when the bus is there but holds nothing', async () => {
    await leaveCopy(5);
    const feed = startFeed(bus, 60_000);
    await feed.whenReady();
    assert.equal(feed.status.source, 'disk');
    await append(bus, { to: 6 });
    assert.equal((await status(feed, at(6))).source, 'bus');
  });

  it('says so while the link is down and follows on when it is back', async () => {
    await putSnapshot(bus, someConfig([]));
    const link = new Link(bus, 'connected');
    const feed = startFeed(link.bus);
    await status(feed, isFollowing);
    link.turn('disconnected');
    assert.equal(feed.status.phase, 'cut_off');
    link.turn('connected');
    assert.equal(feed.status.phase, 'following');
    await append(bus, { to: 2 });
    await status(feed, at(2));
  });

  it('takes a new snapshot when the log was made anew meanwhile', async () => {
    await putSnapshot(bus, someConfig([]));
    const link = new Link(bus, 'connected');
    const feed = startFeed(link.bus);
    await status(feed, isFollowing);
    link.turn('disconnected');
    await bus.close();
    // Logs are told apart by when they were made.
    await new Promise((resolve) => setTimeout(resolve, 2));
    bus = createMemoryBus();
    await putSnapshot(bus, someConfig([], { position: 9 }));
    link.turn('connected', bus);
    await status(feed, at(9));
  });

  it('leaves a copy from which the next start begins', async () => {
    await putSnapshot(bus, someConfig([someTenant('acme')], { position: 5 }));
    const feed = startFeed();
    await status(feed, isFollowing);
    await append(bus, { to: 6, changes: [...set('globex')] });
    await status(feed, at(6));
    await feed.stop();
    const copy = new DiskCopy({ dir, clock: systemClock, log: silentLogger });
    const loaded = await copy.load();
    assert.equal(loaded?.position, 6);
    assert.equal(loaded.tenants.size, 2);
  });

  it('applies nothing any more after stop', async () => {
    await putSnapshot(bus, someConfig([]));
    const feed = startFeed();
    await status(feed, isFollowing);
    await feed.stop();
    await append(bus, { to: 2 });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(feed.status.appliedPosition, 1);
  });
});
