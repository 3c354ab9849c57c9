/**
 * Clients that set parameters at random, in and out of transactions, over a few server connections:
 * none of them can be told from a client on a private connection, message by message.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import fc from 'fast-check';
import { fuzzing } from '../support/fuzzing.ts';
import { bind, execute, parse, query, sync } from '../support/raw-client.ts';
import type { RawAddress } from '../support/raw-client.ts';
import { TestProxy } from '../support/test-proxy.ts';
import { ObservedClient } from './observed-client.ts';

const PASSWORD = 'random settings';
const CLIENTS = 3;
let cluster: PostgresCluster;
let proxy: TestProxy;

before(async () => {
  cluster = await startPostgresCluster({ superuserPassword: PASSWORD });
  await cluster.sql('postgres', 'CREATE DATABASE acme');
  await cluster.sql('acme', 'CREATE SCHEMA other; CREATE ROLE someone; GRANT someone TO postgres');
  const pool = { poolMode: 'transaction', maxConnections: CLIENTS, minConnections: 0 } as const;
  const tenant = { port: cluster.port, username: 'postgres', password: PASSWORD, pool };
  proxy = await TestProxy.start({ tenants: [{ id: 'acme', database: 'acme', ...tenant }] });
});
after(async () => {
  await proxy.stop();
  await cluster.stop();
});

function login(address: RawAddress, parameters: Record<string, string>): Promise<ObservedClient> {
  const who = { user: 'postgres', password: PASSWORD, database: 'acme' };
  return ObservedClient.login(address, { ...who, parameters });
}

const VALUES: Readonly<Record<string, readonly string[]>> = {
  timezone: ["'UTC'", "'Europe/Berlin'", '7', "INTERVAL '-08:00' HOUR TO MINUTE", "'Nowhere'"],
  datestyle: ["'German'", 'ISO, DMY', "'SQL, MDY'"],
  search_path: ['other', 'other, public', '"$user", "größe"', "''"],
  work_mem: ["'8MB'", '4096', "'1 elephant'"],
  statement_timeout: ['60000', "'1min'"],
  extra_float_digits: ['0', '3'],
  standard_conforming_strings: ['on', 'off'],
  client_encoding: ["'UTF8'", "'LATIN1'"],
  'app.one': ["'x'", "''", "E'a\\\\b''c'"],
  'app.two': ["'größe'", '2'],
};
const NAMES = Object.keys(VALUES);
const name = fc.constantFrom(...NAMES);
const assignment = name.chain((parameter) =>
  fc.tuple(fc.constant(parameter), fc.constantFrom(...(VALUES[parameter] ?? []), 'DEFAULT')),
);

const statement = fc.oneof(
  { weight: 6, arbitrary: assignment.map(([parameter, value]) => setTo('SET', parameter, value)) },
  {
    weight: 2,
    arbitrary: assignment.map(([parameter, value]) => setTo('SET LOCAL', parameter, value)),
  },
  { weight: 2, arbitrary: name.map((parameter) => `RESET ${parameter}`) },
  { weight: 5, arbitrary: name.map((parameter) => `SHOW ${parameter}`) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom('app.one', 'extra_float_digits'), fc.constantFrom('1', '2', 'zero'))
      .chain(([parameter, value]) =>
        fc
          .constantFrom('true', 'false')
          .map((local) => `SELECT set_config('${parameter}', '${value}', ${local})`),
      ),
  },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      'BEGIN',
      'BEGIN',
      'COMMIT',
      'ROLLBACK',
      'SAVEPOINT a',
      'SAVEPOINT b',
      'ROLLBACK TO a',
      'RELEASE a',
      'COMMIT AND CHAIN',
      "PREPARE TRANSACTION 'never'",
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'RESET ALL',
      'DISCARD ALL',
      'SET ROLE someone',
      'RESET ROLE',
      'SELECT current_user',
      'SELEC 1',
      'SELECT 1/0',
      `SELECT '2020-01-01 00:00'::timestamptz, 'a\\\\b'`,
      "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SHOW timezone",
      "SET timezone = 'Asia/Tokyo'; SELECT 1/0",
    ),
  },
);

function setTo(verb: string, parameter: string, value: string): string {
  const isInterval = value.startsWith('INTERVAL');
  return isInterval ? `${verb} TIME ZONE ${value}` : `${verb} ${parameter} TO ${value}`;
}

interface Batch {
  readonly who: number;
  readonly how: 'simple' | 'extended' | 'one_sync';
  readonly texts: readonly string[];
}

const batch: fc.Arbitrary<Batch> = fc.record({
  who: fc.nat({ max: CLIENTS - 1 }),
  how: fc.constantFrom('simple', 'extended', 'one_sync'),
  texts: fc.array(statement, { minLength: 1, maxLength: 3 }),
});
/**
 * All have both parameters of two parts: one that any client has set is there, empty, on its server
 * connection for good, where a private connection of a client that has not would say 42704.
 */
const CUSTOM = { 'app.one': 'from the start', 'app.two': '' };
const startups = fc.array(
  fc.constantFrom<Record<string, string>>(
    CUSTOM,
    { ...CUSTOM, DateStyle: 'German' },
    { ...CUSTOM, options: '-c timezone=Asia/Tokyo -c extra_float_digits=3' },
    { ...CUSTOM, search_path: 'other, public' },
  ),
  { minLength: CLIENTS, maxLength: CLIENTS },
);

function bytesOf({ how, texts }: Batch): { bytes: Buffer; readies: number } {
  if (how === 'simple') {
    return { bytes: Buffer.concat(texts.map((sql) => query(sql))), readies: texts.length };
  }
  const each = texts.map((sql) => Buffer.concat([parse(sql), bind([], ''), execute()]));
  if (how === 'one_sync') return { bytes: Buffer.concat([...each, sync()]), readies: 1 };
  return {
    bytes: Buffer.concat(each.flatMap((bytes) => [bytes, sync()])),
    readies: texts.length,
  };
}

describe('random scripts of parameters', () => {
  it('read byte for byte the same as on private connections', async () => {
    const direct = { host: '127.0.0.1', port: cluster.port };
    const scripts = fc.array(batch, { minLength: 1, maxLength: 14 });
    await fc.assert(
      fc.asyncProperty(startups, scripts, async (parameters, script) => {
        const pairs = await Promise.all(
          parameters.map((own) => Promise.all([login(proxy, own), login(direct, own)])),
        );
        try {
          for (const part of script) {
            const pair = pairs[part.who] ?? [];
            const { bytes, readies } = bytesOf(part);
            const [mine, expected] = await Promise.all(
              pair.map((side) => side.ask(bytes, readies)),
            );
            const text = `${part.who} ${part.how}: ${part.texts.join(' | ')}`;
            assert.deepEqual(mine, expected, text);
            const [told, right] = pair.map((side) => Object.fromEntries(side.parameters));
            assert.deepEqual(told, right, text);
          }
        } finally {
          for (const { client } of pairs.flat()) client.end();
        }
      }),
      fuzzing({ runs: 60, seed: 41_773 }),
    );
    await proxy.atRest();
  });
});
