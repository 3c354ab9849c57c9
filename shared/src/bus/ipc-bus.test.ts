/** The bus of another process: the contract, over a channel that clones what it carries. */
import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { systemClock } from '../kernel/clock.ts';
import { silentLogger } from '../kernel/log.ts';
import { busContract } from './bus.contract.ts';
import type { Bus } from './bus.ts';
import { IpcBus } from './ipc-bus.ts';
import { lendBus } from './ipc-bus-server.ts';
import type { LentBus } from './ipc-bus-server.ts';
import type { FromBus, ToBus } from './ipc-frames.ts';
import { createMemoryBus } from './memory-bus.ts';
import { bytes, Collector, newLog, rejectsWith, text } from './support.contract.ts';

const ports: MessagePort[] = [];
afterEach(() => {
  for (const port of ports.splice(0)) port.close();
});

/** Lent over a channel as that between processes: a client of its own, and what it is lent by. */
function lentOverChannel(bus: Bus): { client: IpcBus; lent: LentBus } {
  const { port1, port2 } = new MessageChannel();
  ports.push(port1, port2);
  const lent = lendBus(bus, (frame) => port1.postMessage(frame));
  port1.on('message', (frame: ToBus) => lent.receive(frame));
  const client = new IpcBus({
    send: (frame) => port2.postMessage(frame),
    clock: systemClock,
    log: silentLogger,
  });
  port2.on('message', (frame: FromBus) => client.receive(frame));
  return { client, lent };
}

busContract('IpcBus', async () => lentOverChannel(createMemoryBus()).client);

describe('IpcBus', () => {
  it('is the same bus for two processes and the one that has it', async () => {
    const bus = createMemoryBus();
    const [one, two] = [lentOverChannel(bus).client, lentOverChannel(bus).client];
    const heard = new Collector<string>();
    bus.subscribe('word', (data) => heard.add(`owner ${text(data)}`));
    two.subscribe('word', (data) => heard.add(`two ${text(data)}`));
    one.respond('question', async (data) => bytes(`one answers ${text(data)}`));
    await one.objects('bucket').put('name', bytes('kept'));
    await two.objects('bucket').get('name');
    one.publish('word', bytes('hello'));
    assert.deepEqual((await heard.first(2)).toSorted(), ['owner hello', 'two hello']);
    const answer = await two.request('question', bytes('it'), 5_000);
    assert.equal(text(answer), 'one answers it');
  });

  it('leaves nothing open on the bus when its process is gone', async () => {
    const bus = createMemoryBus();
    const { client, lent } = lentOverChannel(bus);
    const asked = new Collector<string>();
    client.respond('question', (data) => {
      asked.add(text(data));
      return new Promise(() => {});
    });
    const log = newLog(bus);
    const followed = new Collector<number>();
    const spec = { stream: 'gone', subject: 'gone.entry' };
    client.log(spec).follow(1, ({ sequence }) => {
      followed.add(sequence);
      return new Promise(() => {});
    });
    await bus.log(spec).append('a', bytes('one'));
    await followed.first(1);
    const failed = rejectsWith('BUS_UNAVAILABLE', bus.request('question', bytes('x'), 200));
    await asked.first(1);
    lent.close();
    await failed;
    await rejectsWith('BUS_UNAVAILABLE', bus.request('question', bytes('x'), 20_000));
    await log.append('still', bytes('there'));
  });

  it('fails what is under way when the channel closes, and is closed from then on', async () => {
    const { client } = lentOverChannel(createMemoryBus());
    client.respond('silent', () => new Promise(() => {}));
    const failed = rejectsWith('BUS_UNAVAILABLE', client.request('silent', bytes('x'), 20_000));
    const statuses: string[] = [];
    client.onStatus((status) => statuses.push(status));
    client.ended();
    await failed;
    await rejectsWith('BUS_UNAVAILABLE', newLog(client).state());
    assert.deepEqual([client.status, statuses], ['closed', ['closed']]);
  });

  it('gives up a call that the other process does not answer within 10 s', async () => {
    let fire = (): void => {};
    const clock = {
      ...systemClock,
      after: (delayMs: number, then: () => void) => {
        assert.equal(delayMs, 10_000);
        fire = then;
        return { cancel: () => {} };
      },
    };
    const client = new IpcBus({ send: () => {}, clock, log: silentLogger });
    const failed = rejectsWith('BUS_UNAVAILABLE', client.objects('b').get('o'));
    fire();
    await failed;
  });
});
