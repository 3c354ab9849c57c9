/**
 * A server connection reads all it is told into the same memory. What a slow client has yet to be
 * sent of it must stay as it is, whatever is read on that connection meanwhile.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { Authority } from '../support/certificates.ts';
import { metric } from '../support/proxy-metrics.ts';
import { firstColumns, query, RawClient } from '../support/raw-client.ts';
import { scratchOfTest } from '../support/scratch.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { requestTls } from '../support/tls-client.ts';

const PASSWORD = 'patient secret';
const login = { user: 'postgres', password: PASSWORD, database: 'acme' };
const ROUNDS = 4;
const ROWS = 200_000;
/** 8 MB, more than the kernel takes for a client that does not read; no two places are alike. */
const RESULT = query(`COPY (SELECT md5(i::text) FROM generate_series(1, ${ROWS}) i) TO STDOUT`);
const OTHER = query(`COPY (SELECT repeat('x', 200000)) TO STDOUT`);

let cluster: PostgresCluster;
let proxy: TestProxy;
let digest: string;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  const folder = (await scratchOfTest()).path;
  const authority = await Authority.create('Test authority');
  const { cert, key } = await authority.issue({ commonName: 'proxy', ips: ['127.0.0.1'] });
  const [certFile, keyFile] = [join(folder, 'read-memory.crt'), join(folder, 'read-memory.key')];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  const pool = { poolMode: 'transaction', maxConnections: 1 } as const;
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({
    tenants: [{ id: 'acme', database: 'postgres', ...tenant }],
    env: { DBBOUNCER_TLS_CERT: certFile, DBBOUNCER_TLS_KEY: keyFile },
  });
  const direct = await RawClient.login(
    { host: '127.0.0.1', port: cluster.port },
    {
      ...login,
      database: 'postgres',
    },
  );
  direct.send(RESULT);
  digest = await readSlowly(direct);
  direct.end();
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

/** A chunk in each millisecond, past the client's own reader. @returns a digest */
function readSlowly({ socket }: RawClient): Promise<string> {
  const hash = createHash('sha256');
  let tail: Buffer = Buffer.alloc(0);
  socket.removeAllListeners('data');
  return new Promise((resolve, reject) => {
    socket.once('close', () => reject(new Error('the connection has ended')));
    socket.on('data', (chunk: Buffer) => {
      hash.update(chunk);
      tail = Buffer.concat([tail, chunk]).subarray(-READY.length);
      if (tail.equals(READY)) return resolve(hash.digest('hex'));
      socket.pause();
      setTimeout(() => socket.resume(), 1);
    });
    socket.resume();
  });
}

/** The last message of a result. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

async function clientOver(transport: 'clear' | 'TLS'): Promise<RawClient> {
  if (transport === 'clear') return RawClient.login(proxy, login);
  const client = RawClient.over(await requestTls(proxy, { rejectUnauthorized: false }));
  await client.authenticate(login);
  return client;
}

describe('a client that reads slowly', () => {
  for (const transport of ['clear', 'TLS'] as const) {
    it(`reads its own result byte for byte, in ${transport}, with others behind it`, async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const slow = await clientOver(transport);
        const quick = await clientOver('clear');
        slow.socket.pause();
        slow.send(RESULT);
        // In line for the one server connection: its result is read once the other's was.
        quick.send(Buffer.concat([OTHER, query('SELECT 1')]));
        const [read, answers] = await Promise.all([readSlowly(slow), answersOf(quick)]);
        assert.equal(read, digest, `round ${round}`);
        assert.deepEqual(answers, ['1']);
        slow.end();
        quick.end();
      }
      assert.ok((await metric(proxy, 'dbbouncer_buffer_pool_gets_total')) > 0);
      await proxy.atRest();
    });
  }
});

async function answersOf(client: RawClient): Promise<string[]> {
  await client.until('Z');
  return firstColumns(await client.until('Z'));
}
