/**
 * The config feed over a real nats-server that is late, killed, or comes back without its data.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { ConfigFeed } from '@dbbouncer/data-plane/config-feed/feed.ts';
import { Router } from '@dbbouncer/data-plane/routing/router.ts';
import { someConfig, someTenant } from '@dbbouncer/data-plane/routing/testing.ts';
import type { Bus } from '@dbbouncer/shared/bus/bus.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';
import { append, at, isFollowing, putSnapshot, set, status } from './config-feed-support.ts';

let server: NatsServer;
/** The proxy's connection and the control plane's. */
let bus: Bus;
let controlPlane: Bus;
let feed: ConfigFeed;
let router: Router;
let alive: NodeJS.Timeout;

function connect(name: string): Bus {
  const servers = server.url;
  return connectNatsBus({ servers, name, reconnectDelayMs: 40, operationTimeoutMs: 300 });
}

before(async () => {
  // Neither timers of the product nor the server keep the process alive; this test has to.
  alive = setInterval(() => {}, 1_000);
  server = await startNatsServer();
});
after(async () => {
  clearInterval(alive);
  await server.stop();
});

beforeEach(async () => {
  await server.stop();
  server.wipe();
  bus = connect('proxy');
  controlPlane = connect('control plane');
  router = new Router(silentLogger);
  feed = new ConfigFeed({ bus, router, clock: systemClock, log: silentLogger });
});
afterEach(async () => {
  await feed.stop();
  await bus.close();
  await controlPlane.close();
});

describe('ConfigFeed over NATS', { timeout: 60_000 }, () => {
  it('waits for a server that is late, then for a control plane', async () => {
    feed.start();
    assert.equal(feed.status.phase, 'booting');
    await server.start();
    await append(controlPlane, { to: 1, changes: [...set('acme')] });
    await feed.whenReady();
    const { phase, appliedPosition } = feed.status;
    assert.deepEqual({ phase, appliedPosition }, { phase: 'following', appliedPosition: 1 });
    assert(router.current.byKey('acme') !== undefined);
  });

  it('serves on while the server is killed and follows on when it is back', async () => {
    await server.start();
    await putSnapshot(controlPlane, someConfig([someTenant('acme')], { position: 5 }));
    feed.start();
    await status(feed, isFollowing);
    await append(controlPlane, { to: 6 });
    await status(feed, at(6));
    await server.kill();
    const cut = await status(feed, (now) => now.phase === 'cut_off');
    assert.equal(cut.appliedPosition, 6);
    assert(router.current.byKey('acme') !== undefined);
    await server.start();
    await append(controlPlane, { to: 7, changes: [...set('globex')] });
    assert.equal((await status(feed, at(7))).rejectedTotal, 0);
    assert.equal((await status(feed, isFollowing)).source, 'bus');
  });

  it('takes the snapshot of a server that came back without its data', async () => {
    await server.start();
    await putSnapshot(controlPlane, someConfig([someTenant('acme')], { position: 5 }));
    feed.start();
    await status(feed, isFollowing);
    await server.stop();
    server.wipe();
    await server.start();
    await putSnapshot(controlPlane, someConfig([someTenant('globex')], { position: 9 }));
    await append(controlPlane, { from: 9, to: 10 });
    await status(feed, at(10));
    assert.equal(router.current.byKey('acme'), undefined);
    assert(router.current.byKey('globex') !== undefined);
  });
});
