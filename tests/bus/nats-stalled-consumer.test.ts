/**
 * A consumer that shows signs of life and delivers nothing, as one does on a server that has not
 * caught up with its cluster. Takes as long as the bus takes to notice, some 13 s.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { LogMessage } from '@dbbouncer/shared/bus/bus.ts';
import {
  bytes,
  Collector,
  readings,
  text,
  uniqueName,
} from '@dbbouncer/shared/bus/support.contract.ts';
import { eventually } from '../support/eventually.ts';
import { connectedBus } from './nats-harness.ts';

it('is left for a new one within 15 s when the stream has more than it delivers', async (t) => {
  const bus = await connectedBus();
  t.after(() => bus.close());
  const stream = uniqueName();
  const log = bus.log({ stream, subject: `${stream}.*` });
  const got = new Collector<LogMessage>();
  const ask = async (subject: string, request: object = {}) => {
    const answer = await bus.request(`$JS.API.${subject}`, bytes(JSON.stringify(request)), 5_000);
    return JSON.parse(text(answer)) as Readonly<Record<string, unknown>>;
  };
  log.follow(1, got.add);
  const name = await eventually('it has a consumer', async () => {
    const { consumers } = await ask(`CONSUMER.NAMES.${stream}`);
    return (consumers as readonly string[] | undefined)?.[0];
  });
  const { config } = await ask(`CONSUMER.INFO.${stream}.${name}`);
  // From now on it delivers what nobody sends.
  const changed = { ...(config as object), filter_subject: `${stream}.nothing` };
  const answer = await ask(`CONSUMER.CREATE.${stream}.${name}.${stream}.nothing`, {
    stream_name: stream,
    config: changed,
  });
  assert.equal(answer['error'], undefined, JSON.stringify(answer));
  bus.publish(`${stream}.entry`, bytes('one'));
  await eventually('the message is delivered', () => got.items.length > 0, { withinMs: 15_000 });
  assert.deepEqual(readings(await got.first(1)), ['1:one']);
});
