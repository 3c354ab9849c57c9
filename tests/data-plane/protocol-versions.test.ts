/** What clients of every minor version of protocol 3 are answered, and their cancel keys. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import {
  errorText,
  fields,
  firstColumns,
  query,
  RawClient,
  startup,
} from '../support/raw-client.ts';
import type { RawMessage } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { untilRunning } from './running-statements.ts';

const PASSWORD = 'version secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', database: 'postgres', ...tenant }] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

/** The first message that answers a startup packet, of the proxy and of PostgreSQL 18 itself. */
async function firstAnswers(packet: Buffer): Promise<readonly (RawMessage | undefined)[]> {
  return Promise.all(
    [proxy, cluster].map(async ({ host, port }) => {
      const client = await RawClient.connect({ host, port });
      client.send(packet);
      const answer = await client.next();
      client.destroy();
      return answer;
    }),
  );
}

describe('protocol 3', () => {
  const negotiated: readonly (readonly [string, number, Readonly<Record<string, string>>])[] = [
    ['3.3', 3, {}],
    ['3.9999', 9_999, {}],
    ['3.0 with an option nobody knows', 0, { '_pq_.compression': 'on' }],
    ['3.2 with two of them', 2, { '_pq_.a': '1', '_pq_.b': '2' }],
  ];
  for (const [name, minor, options] of negotiated) {
    it(`${name} is negotiated in the same bytes as by PostgreSQL 18`, async () => {
      const packet = startup({ user: 'postgres', database: 'acme', ...options }, minor);
      const [mine, theirs] = await firstAnswers(packet);
      assert.equal(mine?.type, 'v');
      assert.deepEqual(mine, theirs);
    });
  }

  for (const minor of [0, 1, 2]) {
    it(`3.${minor} goes on with the login at once`, async () => {
      const packet = startup({ user: 'postgres', database: 'acme' }, minor);
      for (const answer of await firstAnswers(packet)) assert.equal(answer?.type, 'R');
    });
  }

  it('is the only one: 2.0 and 4.0 read what is supported', async () => {
    for (const major of [2, 4]) {
      const client = await RawClient.connect(proxy);
      const packet = startup({ user: 'postgres' });
      packet.writeUInt16BE(major, 4);
      client.send(packet);
      const answer = await client.next();
      assert.ok(answer !== undefined);
      assert.match(
        errorText(answer),
        /^0A000: unsupported frontend protocol \d\.0: .* 3\.0 to 3\.2/,
      );
    }
  });
});

describe('a cancel key', () => {
  async function cancelsWithKeyOf(minor: number): Promise<number> {
    const client = await RawClient.login(proxy, { ...login, minor });
    client.send(query('SELECT pg_sleep(60)'));
    await untilRunning(cluster, 'pg_sleep(60)');
    const key = client.key();
    const wrong = Buffer.from(key.secretKey);
    wrong[0] = (wrong[0] ?? 0) ^ 1;
    for (const secretKey of [wrong, key.secretKey.subarray(0, 4), key.secretKey]) {
      const canceller = await RawClient.connect(proxy);
      canceller.cancel({ processId: key.processId, secretKey });
      await canceller.closed();
    }
    const ended = (await client.until('Z')).find(({ type }) => type === 'E');
    assert.ok(ended !== undefined);
    assert.equal(fields(ended)['C'], '57014');
    client.send(query('SELECT 1'));
    assert.deepEqual(firstColumns(await client.until('Z')), ['1']);
    client.end();
    return key.secretKey.length;
  }

  it('has 4 bytes in protocol 3.0, and in 3.1, which nobody made', async () => {
    assert.equal(await cancelsWithKeyOf(0), 4);
    assert.equal(await cancelsWithKeyOf(1), 4);
  });

  it('has 32 random bytes and the name of the proxy in 3.2', async () => {
    const length = await cancelsWithKeyOf(2);
    assert.ok(length > 32 && length <= 64, `${length} bytes`);
  });
});
