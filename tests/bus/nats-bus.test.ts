/** The NATS bus on a real nats-server that stays: the contract, and others on the same server. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { busContract } from '@dbbouncer/shared/bus/bus.contract.ts';
import type { Bus, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import {
  appendUpTo,
  bytes,
  Collector,
  readings,
  text,
  uniqueName,
} from '@dbbouncer/shared/bus/support.contract.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { startNatsServer } from '../support/nats-server.ts';
import { connectedBus, reached, upTo, withBus } from './nats-harness.ts';

busContract('NatsBus', connectedBus);

/** A log of three messages, and what its follower got: these three, and whatever comes. */
async function followedLog(bus: Bus) {
  const stream = uniqueName();
  const log = bus.log({ stream, subject: `${stream}.entry` });
  const got = new Collector<LogMessage>();
  log.follow(1, got.add);
  await appendUpTo(log, 3);
  await got.first(3);
  return { stream, log, got };
}

describe('NatsBus log and other hands on its stream', { timeout: 30_000 }, () => {
  it(
    'follows on after a purge, with the next message',
    withBus(async (bus) => {
      const { stream, log, got } = await followedLog(bus);
      await bus.request(`$JS.API.STREAM.PURGE.${stream}`, bytes(''), 5_000);
      const state = await log.state();
      assert.deepEqual([state.firstSequence, state.lastSequence], [4, 3]);
      assert.equal(await log.last(), undefined);
      await appendUpTo(log, 4, 4);
      assert.deepEqual(readings(await got.first(4)), upTo(4));
    }),
  );

  it(
    'follows the new stream from its start when it is deleted and made again',
    withBus(async (bus) => {
      const { stream, log, got } = await followedLog(bus);
      await bus.request(`$JS.API.STREAM.DELETE.${stream}`, bytes(''), 5_000);
      await appendUpTo(log, 2);
      assert.deepEqual(readings(await got.first(5)), [...upTo(3), '1:1', '2:2']);
    }),
  );

  it(
    'does not pull further while the handler is busy',
    withBus(async (bus) => {
      const stream = uniqueName();
      const log = bus.log({ stream, subject: `${stream}.entry` });
      const total = 500;
      await appendUpTo(log, total);
      let release = () => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      const got = new Collector<number>();
      log.follow(1, async ({ sequence }) => {
        got.add(sequence);
        await held;
      });
      await got.first(1);
      const list = await bus.request(`$JS.API.CONSUMER.LIST.${stream}`, bytes(''), 5_000);
      const { consumers } = JSON.parse(text(list)) as {
        consumers: [{ delivered: { stream_seq: number } }];
      };
      assert.equal(consumers[0].delivered.stream_seq, 100);
      assert.equal(got.items.length, 1);
      release();
      assert.ok((await got.first(total)).every((sequence, index) => sequence === index + 1));
    }),
  );

  it(
    'uses an existing stream as it is',
    withBus(async (bus) => {
      const stream = uniqueName();
      const subject = `${stream}.entry`;
      await appendUpTo(bus.log({ stream, subject, messagesMax: 2 }), 1);
      const log = bus.log({ stream, subject, messagesMax: 50 });
      await appendUpTo(log, 4, 2);
      assert.equal((await log.state()).firstSequence, 3);
    }),
  );
});

describe('NatsBus between two processes', { timeout: 30_000 }, () => {
  it(
    'carries log, object, message and request from one bus to another',
    withBus(async (one) => {
      const other = await connectedBus();
      const [stream, subject, bucket] = [uniqueName(), uniqueName(), uniqueName()];
      const got = new Collector<LogMessage>();
      other.log({ stream, subject: `${stream}.entry` }).follow(1, got.add);
      await one.log({ stream, subject: `${stream}.entry` }).append('a', bytes('1'));
      assert.deepEqual(readings(await got.first(1)), ['1:1']);
      await one.objects(bucket).put('latest', bytes('snapshot'));
      const read = await other.objects(bucket).get('latest');
      assert.equal(text(read ?? bytes('nothing')), 'snapshot');
      other.respond(subject, async (data) => bytes(`${text(data)}, answered`));
      // The answer proves that the server knows the responder; until then nobody may be there.
      await other.request(subject, bytes('ready'), 5_000);
      assert.equal(text(await one.request(subject, bytes('asked'), 5_000)), 'asked, answered');
      await other.close();
    }),
  );
});

describe('NatsBus and a server with a login', { timeout: 30_000 }, () => {
  it('connects with the user and password of its URL, and keeps trying without', async () => {
    const guarded = await startNatsServer({ login: { user: 'ada', password: 'p@ss/w' } });
    const refusals = new Collector<string>();
    const log = {
      ...silentLogger,
      warn: (_fields: unknown, message: string) => refusals.add(message),
      child: () => log,
    };
    const stranger = connectNatsBus({ servers: guarded.url, name: 'stranger', log });
    const servers = `nats://ada:p%40ss%2Fw@127.0.0.1:${guarded.port}`;
    const bus = connectNatsBus({ servers, name: 'ada' });
    await reached(bus, 'connected');
    assert.deepEqual(await refusals.first(1), ['cannot connect to NATS']);
    assert.notEqual(stranger.status, 'connected');
    await Promise.all([stranger.close(), bus.close()]);
    await guarded.stop();
  });
});
