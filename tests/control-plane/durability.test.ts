/**
 * What is on disk before a change is acknowledged, as the kernel sees it: each write of a real
 * control plane is followed from the page that holds its event, over the sync of the log, to the
 * first byte of its answer.
 * Source: SQLite, "Write-Ahead Logging" (what `synchronous` syncs when).
 */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { callsOf, SystemCallTrace } from '../support/system-call-trace.ts';
import type { SystemCall } from '../support/system-call-trace.ts';
import { ACKNOWLEDGE_ONE } from './acknowledge-one.ts';
import { temporaryDirectory } from './core-harness.ts';
import { API_KEY, tenantBody } from './harness.ts';

const CALLS = ['fsync', 'fdatasync', 'pwrite64', 'write', 'writev'];
const CONNECTIONS = 16;
/** SQLite moves the log into the database when it has this many pages. */
const CHECKPOINT_PAGES = 1_000;
const PAGE_BYTES = 4_096;

tellLogsOfFailures();

/** Gone after the test. */
async function startPlane(
  t: TestContext,
  durability: 'full' | 'normal',
): Promise<DbbouncerProcess> {
  const env = { DBBOUNCER_API_KEY: API_KEY, DBBOUNCER_DURABILITY: durability };
  const plane = await DbbouncerProcess.start({ command: 'up', env });
  t.after(() => plane.kill());
  return plane;
}

/** Registers a tenant; gives the request's id, which event and answer carry. */
async function write(plane: DbbouncerProcess, number: number): Promise<string> {
  const requestId = `traced-${String(number).padStart(4, '0')}`;
  const headers = {
    authorization: `Bearer ${API_KEY}`,
    'content-type': 'application/json',
    'x-request-id': requestId,
  };
  const body = JSON.stringify(tenantBody(`t${number}`));
  const answer = await fetch(`${plane.apiUrl}/tenants`, { method: 'POST', headers, body });
  assert.equal(answer.status, 201, await answer.text());
  return requestId;
}

/** Writes over as many connections as are given, and what the kernel saw of them. */
async function tracedWrites(plane: DbbouncerProcess, connections: number, each: number, first = 1) {
  const trace = await SystemCallTrace.of(plane.pid, CALLS);
  const lanes = Array.from({ length: connections }, async (_, lane) => {
    const ids: string[] = [];
    for (let i = 0; i < each; i++) ids.push(await write(plane, first + lane * each + i));
    return ids;
  });
  const ids = (await Promise.all(lanes)).flat();
  return { ids, calls: await trace.end() };
}

const isSync = ({ name }: SystemCall) => name === 'fsync' || name === 'fdatasync';
const isOf = (end: string) => (call: SystemCall) => call.args.includes(`${end}>`);
const inLog = isOf('dbbouncer.db-wal');
const inDatabase = isOf('dbbouncer.db');
const isLogSync = (call: SystemCall) => isSync(call) && inLog(call);
const isAnswer = ({ name, args }: SystemCall) => /^writev?$/.test(name) && args.includes('HTTP/1');

/** Where the event is written, where its answer begins, and the syncs of the log between. */
function wayOf(requestId: string, calls: readonly SystemCall[]) {
  const holds = ({ args }: SystemCall) => args.includes(requestId);
  const written = calls.findIndex((call) => inLog(call) && holds(call));
  const answered = calls.findIndex((call) => isAnswer(call) && holds(call));
  assert.ok(written >= 0 && answered >= 0, `${requestId} is written and answered`);
  return { written, answered, syncs: calls.slice(written, answered).filter(isLogSync).length };
}

describe('durability: full, the default', () => {
  it('answers no write before its event is synced; 16 at once share syncs', async (t) => {
    const plane = await startPlane(t, 'full');
    const { ids, calls } = await tracedWrites(plane, CONNECTIONS, 3);
    for (const id of ids) {
      const { written, answered, syncs } = wayOf(id, calls);
      assert.ok(written < answered, `${id} is in the log before it is answered`);
      assert.ok(syncs >= 1, `${id} is synced before it is answered`);
    }
    const syncs = calls.filter(isLogSync).length;
    assert.ok(syncs <= ids.length / 2, `${ids.length} writes share ${syncs} syncs`);
  });

  it('has the names of folder, key and database on disk before it acknowledges', async (t) => {
    const above = temporaryDirectory(t);
    const data = join(above, 'made', 'data');
    const names = ['fsync', 'fdatasync', 'link', 'linkat', 'write'];
    const calls = await callsOf(names, [process.execPath, ACKNOWLEDGE_ONE, data]);
    const acknowledged = calls.findIndex(({ args }) => args.includes('acknowledged'));
    assert.ok(acknowledged > 0);
    const before = calls.slice(0, acknowledged);
    const syncOf = (folder: string) => (call: SystemCall) => isSync(call) && isOf(folder)(call);
    for (const folder of [above, join(above, 'made')]) {
      assert.ok(before.some(syncOf(folder)), `the new folder in ${folder}`);
    }
    const linked = before.findIndex(({ args }) => args.includes('/master.key"'));
    const next = before.slice(linked).find(isSync);
    assert.ok(linked > 0 && next !== undefined && isOf(data)(next), 'the master key');
    const logged = before.findIndex(isLogSync);
    assert.ok(logged > 0 && before.slice(logged).some(syncOf(data)), 'the log of the database');
  });
});

describe('durability: normal', () => {
  it('answers without a sync; a checkpoint syncs the log, then the database', async (t) => {
    const plane = await startPlane(t, 'normal');
    const log = join(plane.dataDir, 'dbbouncer.db-wal');
    let writes = 0;
    while (statSync(log).size < (CHECKPOINT_PAGES - 50) * PAGE_BYTES) await write(plane, ++writes);
    const { ids, calls } = await tracedWrites(plane, 1, 12, writes + 1);
    const synced = ids.filter((id) => wayOf(id, calls).syncs > 0);
    const order = calls
      .filter((call) => isLogSync(call) || inDatabase(call))
      .map(({ name }) => name);
    const pages = order.filter((name) => name === 'pwrite64').length;
    assert.ok(pages > 0, 'a checkpoint');
    assert.match(order.join(' '), /^(fsync|fdatasync) (pwrite64 )+(fsync|fdatasync)( |$)/);
    assert.ok(synced.length <= 1, `${synced.length} of ${ids.length} writes waited for a sync`);
  });
});
