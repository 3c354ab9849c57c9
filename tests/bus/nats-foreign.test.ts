/**
 * What somebody can write who may ask and not write: he names the place that the answer goes to,
 * and JetStream, or whoever answers, writes there for him. Tried with a proxy's own permissions.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { connect, usernamePasswordAuthenticator } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Bus, BusLog, LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import { connectNatsBus } from '@dbbouncer/shared/bus/nats-bus.ts';
import { bytes, Collector, rejectsWith, text } from '@dbbouncer/shared/bus/support.contract.ts';
import { natsGrants, natsPermissionsText } from '@dbbouncer/shared/contract/nats-grants.ts';
import { SUBJECTS } from '@dbbouncer/shared/contract/subjects.ts';
import { eventually } from '../support/eventually.ts';
import { startNatsServer } from '../support/nats-server.ts';
import type { NatsServer } from '../support/nats-server.ts';

const ASKED = `$JS.API.STREAM.INFO.${SUBJECTS.configStream}`;
/** What describes the object, in its bucket. */
const DESCRIPTION = `$O.${SUBJECTS.snapshotBucket}.M.${btoa(SUBJECTS.snapshotObject)}`;

describe('a bus beside somebody with the permissions of a proxy', { timeout: 30_000 }, () => {
  let nats: NatsServer;
  let bus: Bus;
  let attacker: NatsConnection;
  let events: BusLog;
  let stored = 0;

  before(async () => {
    const control = natsPermissionsText(natsGrants('control_plane'));
    const proxy = natsPermissionsText(natsGrants('proxy', 'eu-1'));
    const config = `authorization { users = [
      { user: control, password: pw, permissions: ${control} }
      { user: proxy, password: pw, permissions: ${proxy} }
    ] }`;
    nats = await startNatsServer({ config });
    const servers = nats.url.replace('//', '//control:pw@');
    const inboxPrefix = SUBJECTS.controlPlaneInbox;
    bus = connectNatsBus({ servers, name: 'control plane', inboxPrefix });
    events = bus.log({ stream: SUBJECTS.eventStream, subject: SUBJECTS.event });
    await bus.log({ stream: SUBJECTS.configStream, subject: SUBJECTS.configDelta }).state();
    const authenticator = usernamePasswordAuthenticator('proxy', 'pw');
    attacker = await connect({ servers: nats.url, authenticator });
  });
  after(async () => {
    await attacker.close();
    await bus.close();
    await nats.stop();
  });
  beforeEach(async () => {
    stored += 1;
    await events.append(`id-${stored}`, bytes(`own ${stored}`));
  });

  /** Has JetStream write its answer there, `times` over. */
  async function answerTo(subject: string, times = 1): Promise<void> {
    for (let n = 0; n < times; n += 1) attacker.publish(ASKED, '', { reply: subject });
    await attacker.flush();
  }

  async function foreignInLog(times: number): Promise<void> {
    const { lastSequence } = await events.state();
    await answerTo(SUBJECTS.event, times);
    await eventually('they are in the log', async () => {
      return (await events.state()).lastSequence === lastSequence + times;
    });
  }

  it('tells 3 messages in a log that nobody has appended from those around them', async () => {
    const got = new Collector<LogMessage>();
    const { lastSequence } = await events.state();
    events.follow(lastSequence, got.add);
    await foreignInLog(3);
    await events.append('behind', bytes('behind'), { expectedLastSequence: lastSequence + 3 });
    const messages = await got.first(5);
    const origins = messages.map(({ origin = 'log' }) => origin);
    assert.deepEqual(origins, ['log', 'foreign', 'foreign', 'foreign', 'log']);
    assert.equal(text(messages.at(-1)?.data ?? bytes('')), 'behind');
  });

  it('gives the newest message that was appended, with 250 others behind it', async () => {
    await foreignInLog(250);
    const last = await events.last();
    assert.equal(text(last?.data ?? bytes('')), `own ${stored}`);
  });

  it('puts and gets an object again whose description was written over', async () => {
    const objects = bus.objects(SUBJECTS.snapshotBucket);
    await objects.put(SUBJECTS.snapshotObject, bytes('one'));
    // As JSON that describes nothing, and as what is no JSON: a piece of the object.
    const { nuid } = await described();
    const piece = JSON.stringify({ last_by_subj: `$O.${SUBJECTS.snapshotBucket}.C.${nuid}` });
    const direct = `$JS.API.DIRECT.GET.OBJ_${SUBJECTS.snapshotBucket}`;
    for (const [subject, body] of [
      [ASKED, ''],
      [direct, piece],
    ] as const) {
      attacker.publish(subject, body, { reply: DESCRIPTION });
      await attacker.flush();
      await eventually('it cannot be read', async () => {
        return await objects.get(SUBJECTS.snapshotObject).then(
          () => false,
          ({ code }: { code?: string }) => code === 'BUS_UNAVAILABLE',
        );
      });
      await objects.put(SUBJECTS.snapshotObject, bytes('next'));
      assert.equal(text((await objects.get(SUBJECTS.snapshotObject)) ?? bytes('')), 'next');
      await objects.put(SUBJECTS.snapshotObject, bytes('one'));
    }
  });

  async function described(): Promise<{ readonly nuid: string }> {
    const query = JSON.stringify({ last_by_subj: DESCRIPTION });
    const subject = `$JS.API.STREAM.MSG.GET.OBJ_${SUBJECTS.snapshotBucket}`;
    const inbox = { noMux: true, timeout: 2_000, reply: `${SUBJECTS.proxyInbox}.mine` };
    const { message } = (await attacker.request(subject, query, inbox)).json<{
      readonly message: { readonly data: string };
    }>();
    return JSON.parse(atob(message.data)) as { readonly nuid: string };
  }

  it('answers no request that wants its answer in a stream, or in its purge', async () => {
    bus.respond(SUBJECTS.snapshotRequest, async () => bytes('{}'));
    const before = await events.state();
    for (const reply of [SUBJECTS.event, `$JS.API.STREAM.PURGE.${SUBJECTS.eventStream}`]) {
      attacker.publish(SUBJECTS.snapshotRequest, '', { reply });
    }
    // The answer to a proper one comes behind what the others would have got.
    const inbox = { noMux: true, timeout: 2_000, reply: `${SUBJECTS.proxyInbox}.mine` };
    await attacker.request(SUBJECTS.snapshotRequest, '', inbox);
    await rejectsWith('BUS_UNAVAILABLE', bus.request('dbbouncer.probe.nobody', bytes(''), 200));
    assert.deepEqual(await events.state(), before);
  });
});
