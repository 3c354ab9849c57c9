/**
 * No secret is in clear anywhere: a whole run with planted ones, on separate processes that log all
 * they can, and then a look into everything that came out of it: answers, logs, metrics, files,
 * the write-ahead log, every message on the bus.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { startPostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import type { PostgresCluster } from '@dbbouncer/cli/demo/postgres-cluster.ts';
import { tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { NatsTap } from '../support/nats-tap.ts';
import { startFleet } from './fleet.ts';
import type { Fleet } from './fleet.ts';
import { ask, disconnectAll } from './sql-clients.ts';

const USER = 'planted_user';
const PLANTED = {
  apiKey: 'planted-api-key-4f1c9b7e',
  masterKey: 'planted master key 8d2e6a5c',
  password: 'Planted-Passw0rd-31d0',
  secondPassword: 'Planted-Passw0rd-57aa',
  wrongServerPassword: 'Planted-Passw0rd-62bc',
  userPassword: 'Planted-Us3r-90ce',
  serverPassword: 'Planted-S3rver-77d1',
  refusedPassword: 'Planted-Refus3d-18ff',
  wrongLogin: 'Planted-Wr0ng-44e2',
  chosenKey: 'planted-chosen-key-5b8d',
  wrongKey: 'planted-wrong-key-a2c3',
  shortKey: 'planted-short-1',
} as const;
/** No secret: where it is not found, looking for secrets proves nothing. */
const CANARY = 'canary.planted.example';

interface Found {
  readonly where: string;
  readonly text: string;
}

let cluster: PostgresCluster;
let fleet: Fleet;
let tap: NatsTap;
const answers: Found[] = [];
/** Made by the control plane in this run. */
let generatedKey = '';

tellLogsOfFailures();

before(async () => {
  [cluster, fleet] = await Promise.all([
    startPostgresCluster({ superuserPassword: 'superuser of this test' }),
    startFleet({
      apiKey: PLANTED.apiKey,
      masterKey: PLANTED.masterKey,
      onNats: async ({ port }) => {
        tap = await NatsTap.open(port);
      },
    }),
  ]);
  await cluster.sql('postgres', `CREATE ROLE ${USER} LOGIN PASSWORD '${PLANTED.password}'`);
  await run();
});
after(async () => {
  await disconnectAll();
  tap.close();
  await fleet.stop();
  await cluster.remove();
});

/** Asks the control plane and remembers all of the answer. */
async function call(
  method: string,
  path: string,
  body?: unknown,
  key: string = PLANTED.apiKey,
  extra: Readonly<Record<string, string>> = {},
) {
  const response = await fetch(`${fleet.controlPlane.apiUrl}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...extra,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    // Where an answer goes on for ever, its beginning will do.
    signal: AbortSignal.timeout(10_000),
  });
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream');
  const text = isStream === true ? await beginningOf(response) : await response.text();
  const where = `${method} ${path}: ${response.status}`;
  answers.push({ where, text: `${JSON.stringify([...response.headers])}\n${text}` });
  return { status: response.status, text };
}

async function beginningOf(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  const first = await reader?.read();
  await reader?.cancel();
  return Buffer.from((first?.value as Uint8Array | undefined) ?? []).toString('utf8');
}

const tenant = (fields: Readonly<Record<string, unknown>> = {}) => ({
  id: 'planted',
  db_type: 'postgres',
  host: '127.0.0.1',
  port: cluster.port,
  dbname: 'postgres',
  username: USER,
  password: PLANTED.password,
  min_connections: 0,
  ...fields,
});

async function run(): Promise<void> {
  await changeTenants();
  await createKeys();
  await useClients();
  await refuseAll();
  await readAll();
}

async function changeTenants(): Promise<void> {
  const expect = async (status: number, ...asked: Parameters<typeof call>) => {
    const answer = await call(...asked);
    assert.equal(answer.status, status, answer.text);
  };
  await expect(201, 'POST', '/tenants', tenant({ users: [listedUser()] }));
  await expect(201, 'POST', '/tenants', tenant({ id: 'canary', host: CANARY }));
  await expect(200, 'PATCH', '/tenants/canary?force=true', { password: PLANTED.secondPassword });
  await expect(200, 'PUT', '/tenants/canary?force=true', tenant({ id: 'canary', host: CANARY }));
  const wrong = tenant({ id: 'unwelcome', password: PLANTED.wrongServerPassword });
  await expect(201, 'POST', '/tenants', wrong);
  for (const operation of ['pause', 'resume', 'reconnect', 'drain', 'resume', 'kill']) {
    await expect(200, 'POST', `/tenants/canary/${operation}`);
  }
  await rehearseAndRepeat();
  await fleet.settled();
}

/** What is answered without being done, done at once with others, and kept to be answered again. */
async function rehearseAndRepeat(): Promise<void> {
  const { secondPassword: password } = PLANTED;
  const rehearsed = await call('PATCH', '/tenants/canary?dry_run=true', { password });
  assert.equal(rehearsed.status, 200, rehearsed.text);
  const probed = await call('PATCH', '/tenants/canary?dry_run=true&probe=true', { password });
  assert.match(probed.text, /"outcome":"(failed|reachable)"/);
  const again = { 'idempotency-key': 'asked-twice' };
  for (let time = 0; time < 2; time++) {
    const body = tenant({ id: 'repeated', password });
    const { status, text } = await call('POST', '/tenants', body, PLANTED.apiKey, again);
    assert.equal(status, 201, text);
  }
  const other = { password: PLANTED.wrongServerPassword };
  const update = { op: 'update', id: 'repeated', if_match: '*', body: other };
  const { id, ...body } = tenant({ id: 'canary', password: PLANTED.refusedPassword });
  const twice = { op: 'create', id, body };
  const done = await call('POST', '/tenants:batch', { operations: [update] });
  assert.equal(done.status, 200, done.text);
  const refused = await call('POST', '/tenants:batch', { operations: [update, twice] });
  assert.match(String(refused.status), /^4\d\d$/, refused.text);
  assert.match(refused.text, /canary/);
  const key = await call('POST', '/secrets/reseal');
  assert.equal(key.status, 200, key.text);
}

function listedUser() {
  const { userPassword: password, serverPassword: server_password } = PLANTED;
  return { name: 'listed', password, server_user: USER, server_password };
}

async function createKeys(): Promise<void> {
  const body = { name: 'generated', scope: 'admin' };
  const { text } = await call('POST', '/api-keys', body);
  answers.pop();
  generatedKey = String((JSON.parse(text) as { key: unknown }).key);
  assert.match(generatedKey, /^dbb_/);
  const chosen = { name: 'chosen', scope: 'viewer', key: PLANTED.chosenKey };
  assert.equal((await call('POST', '/api-keys', chosen)).status, 201);
  for (const key of [generatedKey, PLANTED.chosenKey]) {
    assert.equal((await call('GET', '/tenants', undefined, key)).status, 200);
  }
  assert.equal((await call('DELETE', '/tenants/canary', undefined, PLANTED.chosenKey)).status, 403);
}

/** Right and wrong logins, and one that the database itself refuses, at both proxies. */
async function useClients(): Promise<void> {
  for (const { postgresPort: port } of fleet.proxies) {
    const login = { port, tenant: 'planted', user: USER };
    assert.equal(await ask({ ...login, password: PLANTED.password }, 'SELECT 1'), 1);
    await assert.rejects(ask({ ...login, password: PLANTED.wrongLogin }, 'SELECT 1'));
    const unwelcome = { ...login, tenant: 'unwelcome', password: PLANTED.wrongServerPassword };
    await assert.rejects(ask(unwelcome, 'SELECT 1'));
    const listed = { ...login, user: 'listed', password: PLANTED.userPassword };
    await assert.rejects(ask(listed, 'SELECT 1'), 'the server password is wrong');
  }
}

async function refuseAll(): Promise<void> {
  const { refusedPassword: password } = PLANTED;
  const bodies = [
    tenant({ password }),
    tenant({ id: 'x', password: [password] }),
    tenant({ id: 'x', password: `${password}\0` }),
    tenant({ id: 'x', users: [{ ...listedUser(), password: { password } }] }),
    `{"password":"${password}"`,
    `{"password":"${password}",}`,
    tenant({ id: 'x', password, host: 'h'.repeat(300_000) }),
  ];
  for (const body of bodies) {
    const { status } = await call('POST', '/tenants', body);
    assert.ok(status >= 400 && status < 500);
  }
  assert.equal((await call('PATCH', '/tenants/nobody', { password })).status, 404);
  assert.equal((await call('GET', '/tenants', undefined, PLANTED.wrongKey)).status, 401);
  const short = { name: 'short', scope: 'viewer', key: PLANTED.shortKey };
  assert.equal((await call('POST', '/api-keys', short)).status, 400);
}

interface Described {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** Everything that can be read, whatever routes there are. */
async function readAll(): Promise<void> {
  const { text } = await call('GET', '/openapi.json');
  const { paths } = JSON.parse(text) as Described;
  const readable = Object.keys(paths).filter((path) => paths[path]?.['get'] !== undefined);
  assert.ok(readable.length >= 7);
  for (const path of readable) {
    for (const id of ['canary', 'planted']) {
      await call('GET', path.replace('{id}', id).replace('{position}', '1'));
    }
  }
  for (const path of ['/docs', '/api-keys?include=revoked_too', '/config/diff?from=0&to=5']) {
    await call('GET', path);
  }
  const tail = { accept: 'text/event-stream', 'last-event-id': '0' };
  await call('GET', '/events', undefined, PLANTED.apiKey, tail);
  for (const { metricsUrl } of fleet.proxies) {
    for (const path of ['/metrics', '/health', '/ready']) {
      const where = `proxy ${path}`;
      answers.push({ where, text: await (await fetch(metricsUrl + path)).text() });
    }
  }
}

/** As it may have been written. */
function formsOf(secret: string): readonly string[] {
  const bytes = Buffer.from(secret);
  const url = encodeURIComponent(secret);
  return [secret, bytes.toString('base64').replace(/=+$/, ''), bytes.toString('hex'), url];
}

function logs(): readonly Found[] {
  return [fleet.controlPlane, ...fleet.proxies].map(({ log }, index) => {
    return { where: `log of process ${index}`, text: log };
  });
}

/** With the processes still running: what is in the write-ahead log only is there too. */
function files(): readonly Found[] {
  return [fleet.controlPlane, ...fleet.proxies].flatMap(({ folder }) =>
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ where: path, text: readFileSync(path, 'latin1') })),
  );
}

function messages(): readonly Found[] {
  return [{ where: 'the bus', text: tap.heard.toString('latin1') }];
}

function assertNowhere(secret: string, name: string, places: readonly Found[]): void {
  for (const form of formsOf(secret)) {
    for (const { where, text } of places) {
      const at = text.indexOf(form);
      const around = text.slice(Math.max(0, at - 200), at + form.length + 80);
      assert.equal(at, -1, `${name} is in ${where}:\n${around}`);
    }
  }
}

describe('planted secrets, after a whole run', () => {
  it('are looked for where they would be: what is no secret is found everywhere', () => {
    for (const places of [answers, files(), messages()]) {
      assert.ok(places.some(({ text }) => text.includes(CANARY)));
    }
    assert.ok(files().some(({ where, text }) => where.endsWith('-wal') && text.includes(CANARY)));
    for (const { where, text } of logs()) assert.match(text, /"level":"debug"/, where);
    assert.match(logs()[0]?.text ?? '', /request denied/);
    assert.match(logs()[1]?.text ?? '', /unwelcome/);
  });

  for (const [name, secret] of Object.entries(PLANTED)) {
    it(`are in no answer, log, file or message: ${name}`, () => {
      assertNowhere(secret, name, [...answers, ...logs(), ...files(), ...messages()]);
    });
  }

  it('are in no answer but its own, no log, file or message: a generated API key', () => {
    assertNowhere(generatedKey, 'it', [...answers, ...logs(), ...files(), ...messages()]);
  });

  it('leave what recognises API keys in the log of events alone: no answer, no proxy', () => {
    const path = join(fleet.controlPlane.dataDir, 'dbbouncer.db');
    const database = new DatabaseSync(path, { readOnly: true });
    const rows = database.prepare("SELECT data FROM events WHERE type = 'ApiKeyCreated'").all();
    database.close();
    assert.equal(rows.length, 2);
    const ofProxies = files().filter(({ where }) => {
      return fleet.proxies.some(({ folder }) => where.startsWith(folder));
    });
    for (const { data } of rows) {
      const { proof } = (JSON.parse(String(data)) as { key: { proof: Record<string, string> } })
        .key;
      assert.deepEqual(Object.keys(proof).sort(), ['hash', 'verifier']);
      for (const [name, text] of Object.entries(proof)) {
        assertNowhere(text, name, [...answers, ...logs(), ...ofProxies]);
      }
    }
  });
});
