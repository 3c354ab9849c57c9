/**
 * LISTEN and NOTIFY in transaction mode: clients that listen hold one server connection together,
 * and cannot tell it from one of their own.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import fc from 'fast-check';
import { fuzzing } from '../support/fuzzing.ts';
import {
  bind,
  close,
  describe as describeMessage,
  execute,
  parse,
  query,
  sync,
} from '../support/raw-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import {
  ask,
  codes,
  connectTo,
  heard,
  heardIn,
  heardSoFar,
  listenTenant,
  makeDatabases,
  PASSWORD,
  payloadsIn,
  serverConnections,
  tags,
  types,
} from './listen-support.ts';

let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await makeDatabases(cluster, 'acme', 'other', 'pinned');
  proxy = await TestProxy.start({
    tenants: [
      listenTenant('acme', cluster.port),
      listenTenant('other', cluster.port),
      listenTenant('pinned', cluster.port, { listen: 'pin' }),
    ],
  });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

const connect = (database = 'acme') => connectTo(proxy, database);
const direct = () => connectTo({ host: '127.0.0.1', port: cluster.port }, 'acme');

describe('LISTEN in transaction mode', () => {
  it('is answered as by the server, and hears what is sent from then on, in order', async () => {
    const [client, talker] = [await connect(), await connect()];
    const messages = await ask(client, 'LISTEN news');
    assert.equal(types(messages), 'CZ');
    assert.deepEqual(tags(messages), ['LISTEN']);
    await ask(talker, `NOTIFY news, 'first'; NOTIFY news, 'second'`);
    await ask(talker, `SELECT pg_notify('news', 'third')`);
    const all = [await heard(client), await heard(client), await heard(client)];
    assert.deepEqual(
      all.map(({ payload }) => payload),
      ['first', 'second', 'third'],
    );
    assert.ok(all.every(({ channel }) => channel === 'news'));
    for (const each of [client, talker]) each.end();
  });

  it('of 200 clients holds one server connection, and each of them hears', async () => {
    const clients = await Promise.all(Array.from({ length: 200 }, () => connect()));
    await Promise.all(clients.map((client, i) => ask(client, `LISTEN everyone; LISTEN own_${i}`)));
    await ask(clients[0] as RawClient, `NOTIFY everyone, 'to all'; NOTIFY own_77, 'to one'`);
    for (const client of clients) assert.equal((await heard(client)).payload, 'to all');
    assert.equal((await heard(clients[77] as RawClient)).payload, 'to one');
    const metrics = await fetch(proxy.metricsUrl).then((page) => page.text());
    assert.match(metrics, /connections_kept\{tenant="acme",db_type="postgres"\} 1\n/);
    assert.match(metrics, /listening_clients\{tenant="acme"\} 200\n/);
    assert.match(metrics, /listening_channels\{tenant="acme"\} 201\n/);
    assert.ok((await serverConnections(cluster, 'acme')).length <= 4);
    for (const client of clients) client.end();
    await proxy.atRest();
  });

  it('with quotes, capitals, more than 63 bytes is the channel that the server means', async () => {
    const [client, talker] = [await connect(), await direct()];
    const long = 'x'.repeat(70);
    const names = ['Folded', '"Quo""ted"', '"канал"', long, '"a b;c"', 'listen'];
    for (const name of names) {
      await ask(client, `LISTEN ${name}`);
      await ask(talker, `NOTIFY ${name}, 'x'`);
    }
    const channels = (await heardSoFar(client, talker)).map(({ channel }) => channel);
    const expected = ['folded', 'Quo"ted', 'канал', 'x'.repeat(63), 'a b;c', 'listen'];
    assert.deepEqual([...new Set(channels)], expected);
    for (const each of [client, talker]) each.end();
  });

  it('by the extended protocol is parsed, described and run like any statement', async () => {
    const [client, talker] = [await connect(), await connect()];
    const whole = [parse('LISTEN ext'), describeMessage('S'), bind(), execute(), sync()];
    const messages = await ask(client, ...whole);
    assert.equal(types(messages), '1tn2CZ');
    assert.deepEqual(tags(messages), ['LISTEN']);
    await ask(talker, `NOTIFY ext, 'unnamed'`);
    assert.equal((await heard(client)).payload, 'unnamed');
    await ask(client, parse('LISTEN named', 'l'), parse('UNLISTEN named', 'u'), sync());
    await ask(talker, `NOTIFY named, 'parsed is not listening'`);
    assert.deepEqual(tags(await ask(client, bind([], 'l'), execute(), sync())), ['LISTEN']);
    await ask(talker, `NOTIFY named, 'named'`);
    assert.equal((await heard(client)).payload, 'named');
    assert.deepEqual(tags(await ask(client, bind([], 'u'), execute(), sync())), ['UNLISTEN']);
    await ask(talker, `NOTIFY named, 'too late'`);
    await ask(client, bind([], 'l', 'p'), close('P', 'p'), sync());
    await ask(talker, `NOTIFY named, 'bound is not listening'`);
    assert.deepEqual(await heardSoFar(client, talker), []);
    for (const each of [client, talker]) each.end();
  });

  it('in a pipeline is undone by a later error of the same batch', async () => {
    const [client, talker] = [await connect(), await connect()];
    const fails = [parse('SELECT 1/0'), bind(), execute()];
    const messages = await ask(client, parse('LISTEN p'), bind(), execute(), ...fails, sync());
    assert.deepEqual(tags(messages), ['LISTEN']);
    assert.deepEqual(codes(messages), ['22012']);
    await ask(talker, `NOTIFY p, 'nobody listens'`);
    assert.deepEqual(await heardSoFar(client, talker), []);
    for (const each of [client, talker]) each.end();
  });

  it('that fails where the server would fail it is not listening', async () => {
    const [client, talker] = [await connect(), await connect()];
    await ask(client, 'BEGIN');
    await ask(client, 'SELECT 1/0');
    assert.deepEqual(codes(await ask(client, 'LISTEN f')), ['25P02']);
    await ask(client, 'ROLLBACK');
    await ask(client, 'BEGIN');
    await ask(client, 'LISTEN f');
    assert.equal(codes(await ask(client, `PREPARE TRANSACTION 'x'`)).length, 1);
    await ask(talker, `NOTIFY f, 'nobody listens'`);
    assert.deepEqual(await heardSoFar(client, talker), []);
    for (const each of [client, talker]) each.end();
  });

  it('is given up by DISCARD ALL, and by leaving', async () => {
    const [client, talker] = [await connect(), await connect()];
    await ask(client, 'LISTEN d');
    await ask(client, 'DISCARD ALL');
    await ask(talker, `NOTIFY d, 'nobody listens'`);
    assert.deepEqual(await heardSoFar(client, talker), []);
    for (const each of [client, talker]) each.end();
    await proxy.atRest();
  });

  it('hears no notification of another database, nor of another tenant', async () => {
    const [client, stranger, talker] = [await connect(), await connect('other'), await connect()];
    for (const each of [client, stranger]) await ask(each, 'LISTEN same');
    await ask(stranger, `NOTIFY same, 'of other'`);
    await ask(talker, `NOTIFY same, 'of acme'`);
    assert.equal((await heard(stranger)).payload, 'of other');
    assert.equal((await heard(client)).payload, 'of acme');
    assert.deepEqual(await heardSoFar(client, talker), []);
    for (const each of [client, stranger, talker]) each.end();
  });

  it('is not touched by what resets the server connections of transactions', async () => {
    const [client, talker] = [await connect(), await connect()];
    await ask(client, 'LISTEN r');
    // Each leaves its server connection to be reset.
    for (let i = 0; i < 10; i++) await ask(talker, `SELECT pg_notify('r', '${i}')`);
    for (let i = 0; i < 10; i++) assert.equal((await heard(client)).payload, String(i));
    for (const each of [client, talker]) each.end();
  });
});

describe('a notification', () => {
  it('comes within no transaction, but before the ReadyForQuery that ends it', async () => {
    const [client, idle, talker] = [await connect(), await connect(), await connect()];
    for (const each of [client, idle]) await ask(each, 'LISTEN t');
    await ask(client, 'BEGIN');
    await ask(talker, `NOTIFY t, 'meanwhile'`);
    assert.equal((await heard(idle)).payload, 'meanwhile');
    for (let i = 0; i < 20; i++) assert.equal(types(await ask(client, 'SELECT 1')), 'TDCZ');
    const messages = await ask(client, 'COMMIT');
    assert.equal(types(messages), 'CAZ');
    assert.deepEqual(payloadsIn(messages), ['meanwhile']);
    for (const each of [client, idle, talker]) each.end();
  });

  it('comes to an idle client at once, while another client is in a transaction', async () => {
    const [client, busy, talker] = [await connect(), await connect(), await connect()];
    for (const each of [client, busy]) await ask(each, 'LISTEN t');
    await ask(busy, 'BEGIN');
    await ask(talker, `NOTIFY t, 'now'`);
    assert.equal((await heard(client)).payload, 'now');
    assert.deepEqual(payloadsIn(await ask(busy, 'ROLLBACK')), ['now']);
    for (const each of [client, busy, talker]) each.end();
  });

  it('comes between the batches of a client that never rests', async () => {
    const [client, talker] = [await connect(), await connect()];
    await ask(client, 'LISTEN t');
    client.send(Buffer.concat(Array.from({ length: 50 }, () => query('SELECT pg_sleep(0.01)'))));
    await client.until('Z');
    await ask(talker, `NOTIFY t, 'in between'`);
    let before = 0;
    while ((await client.next())?.type !== 'A') before += 1;
    assert.ok(before < 49 * 4 - 1, `it came after ${before} messages`);
    for (const each of [client, talker]) each.end();
  });

  it('carries the id of the client that sent it, known from its own', async () => {
    const clients = await Promise.all(Array.from({ length: 12 }, () => connect()));
    for (const client of clients) await ask(client, 'LISTEN who');
    const rounds = 5;
    // Twelve clients take turns on three server connections.
    for (let round = 0; round < rounds; round++) {
      await Promise.all(clients.map((client, i) => ask(client, `NOTIFY who, '${round}.${i}'`)));
    }
    for (const client of clients) {
      const all = await heardSoFar(client, clients[0] as RawClient);
      assert.ok(all.length <= rounds * clients.length);
      for (const { processId, payload } of all) {
        const sender = clients[Number(payload.split('.')[1])];
        assert.equal(processId, sender?.key().processId, payload);
      }
    }
    for (const client of clients) client.end();
  });

  it('sent by a trigger carries the id of the client whose statement it was', async () => {
    await cluster.sql(
      'acme',
      `CREATE TABLE watched (a int);
       CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_notify('changes', NEW.a::text); RETURN NEW; END $$;
       CREATE TRIGGER tell AFTER INSERT ON watched FOR EACH ROW EXECUTE FUNCTION tell();`,
    );
    const clients = await Promise.all(Array.from({ length: 6 }, () => connect()));
    const [listener] = clients as [RawClient];
    await ask(listener, 'LISTEN changes');
    for (let round = 0; round < 5; round++) {
      await Promise.all(
        clients.map((client, i) => ask(client, `INSERT INTO watched VALUES (${i})`)),
      );
    }
    const told = await heardSoFar(listener, clients[1] as RawClient);
    for (const { processId, payload } of told) {
      assert.equal(processId, clients[Number(payload)]?.key().processId);
    }
    for (const client of clients) client.end();
  });

  it('from somebody who is no client of the proxy carries the real process id', async () => {
    const [client, stranger] = [await connect(), await direct()];
    await ask(client, 'LISTEN s');
    await ask(stranger, `NOTIFY s, 'x'`);
    assert.equal((await heard(client)).processId, stranger.key().processId);
    for (const each of [client, stranger]) each.end();
  });

  it('to a client that keeps its connection for it carries that client’s own id', async () => {
    const client = await connect('pinned');
    await ask(client, 'LISTEN mine');
    const messages = await ask(client, `NOTIFY mine, 'to me'`);
    assert.equal(types(messages), 'CAZ');
    assert.equal(heardIn(messages)[0]?.processId, client.key().processId);
    client.end();
    await proxy.atRest();
  });
});

describe('a notification that is sent right after LISTEN was answered', () => {
  it('is never missed, in 1,000 rounds', async () => {
    const [client, talker] = [await connect(), await direct()];
    for (let round = 0; round < 1_000; round++) {
      // Every other one within a transaction: its COMMIT is what counts.
      const listen = round % 2 === 0 ? 'LISTEN race' : 'BEGIN; LISTEN race; COMMIT';
      await ask(client, listen);
      talker.send(query(`NOTIFY race, '${round}'`));
      assert.equal((await heard(client)).payload, String(round));
      await talker.until('Z');
      await ask(client, 'UNLISTEN race');
    }
    for (const each of [client, talker]) each.end();
  });
});

const step = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('A: LISTEN a', 'A: LISTEN b', 'A: UNLISTEN a') },
  { weight: 4, arbitrary: fc.constantFrom('B: NOTIFY a', 'B: NOTIFY b', 'A: NOTIFY a') },
  { weight: 2, arbitrary: fc.constantFrom('A: BEGIN', 'A: COMMIT', 'A: ROLLBACK') },
  { weight: 2, arbitrary: fc.constantFrom('A: SAVEPOINT s', 'A: ROLLBACK TO s', 'A: RELEASE s') },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      'A: UNLISTEN *',
      'A: DISCARD ALL',
      'A: SELECT 1/0',
      'A: LISTEN a; SELECT 1/0',
      'A: LISTEN a; COMMIT; LISTEN b',
      'A: BEGIN; LISTEN b; NOTIFY b; COMMIT',
      'A: LISTEN b; UNLISTEN b',
    ),
  },
);

describe('Scripts of a listener and a talker', () => {
  /** What a client reads, without what differs by connection: process ids, and when. */
  async function perform(
    [client, talker, witness]: readonly [RawClient, RawClient, RawClient],
    channel: string,
    script: readonly string[],
  ) {
    const answers: string[] = [];
    for (const [index, line] of [...script, 'A: ROLLBACK'].entries()) {
      const sql = line.slice(3).replaceAll(/NOTIFY (\w)/g, `NOTIFY $1, '${index}'`);
      const messages = await ask(line.startsWith('A') ? client : talker, sql);
      answers.push(types(messages).replaceAll('A', ''), ...tags(messages));
      answers.push(...codes(messages).map(String));
      // A notification is on its way for a moment, and an UNLISTEN may be faster: when the witness
      // and another answer have come, so has everything before.
      await ask(talker, `NOTIFY ${channel}`);
      await heard(witness);
      await ask(client, 'SELECT 1');
    }
    const told = await heardSoFar(client, talker);
    await ask(client, 'UNLISTEN *');
    return { answers, told: told.map(({ channel, payload }) => `${channel} ${payload}`) };
  }

  it('give the same answers and notifications as on connections of their own', async () => {
    const proxied = [await connect(), await connect(), await connect()] as const;
    const own = [await direct(), await direct(), await direct()] as const;
    // Both are of one database: each has a channel of its own.
    await ask(proxied[2], 'LISTEN proxied');
    await ask(own[2], 'LISTEN own');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (script) => {
        const expected = await perform(own, 'own', script);
        assert.deepEqual(await perform(proxied, 'proxied', script), expected);
      }),
      fuzzing({ runs: 40, seed: 7 }),
    );
    for (const each of [...proxied, ...own]) each.end();
    await proxy.atRest();
  });
});
