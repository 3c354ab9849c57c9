/**
 * What becomes of a real control plane whose disk is full, fails, or is held by another program:
 * it refuses writes at once and whole, goes on with everything else, and takes writes again by
 * itself.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { DATABASE_FILE } from '@dbbouncer/control-plane/core.ts';
import { DbbouncerProcess, tellLogsOfFailures } from '../support/dbbouncer-process.ts';
import { eventually } from '../support/eventually.ts';
import { failDisk } from '../support/failing-disk.ts';
import { dbbouncer, Program } from '../support/processes.ts';
import type { Ended } from '../support/processes.ts';
import { SmallDisk } from '../support/small-disk.ts';
import { API_KEY, tenantBody } from './harness.ts';
import { HOLD_LOCK } from './hold-lock.ts';

tellLogsOfFailures();

const env = { DBBOUNCER_API_KEY: API_KEY };

async function startPlane(
  t: TestContext,
  prepare?: (folder: string) => Promise<void>,
): Promise<Plane> {
  const options = prepare === undefined ? {} : { prepare };
  const running = await DbbouncerProcess.start({ command: 'up', env, ...options });
  t.after(() => running.kill());
  return new Plane(running);
}

const IN_FILE = { db_type: 'postgres', host: 'h', dbname: 'd', username: 'u', password: 'p' };

async function holdLock(t: TestContext, plane: Plane): Promise<Program> {
  const database = join(plane.process.dataDir, DATABASE_FILE);
  const holder = new Program(process.execPath, [HOLD_LOCK, database]);
  t.after(() => holder.signal('SIGKILL'));
  await holder.says(/locked/);
  return holder;
}

/** A control plane, and the tenants it said it has registered. */
class Plane {
  readonly process: DbbouncerProcess;
  readonly acknowledged: string[] = [];

  constructor(process: DbbouncerProcess) {
    this.process = process;
  }

  get log(): string {
    return join(this.process.dataDir, `${DATABASE_FILE}-wal`);
  }

  async call(method: string, path: string, body?: object) {
    const headers = {
      authorization: `Bearer ${API_KEY}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    };
    const given = body === undefined ? {} : { body: JSON.stringify(body) };
    const answer = await fetch(this.process.apiUrl + path, { method, headers, ...given });
    const text = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json') === true;
    const json = (isJson ? JSON.parse(text) : {}) as Readonly<Record<string, unknown>>;
    return { status: answer.status, headers: answer.headers, text, json };
  }

  async register(id: string) {
    const answer = await this.call('POST', '/tenants', tenantBody(id));
    if (answer.status === 201) this.acknowledged.push(id);
    return answer;
  }

  async tenants(): Promise<readonly string[]> {
    const { json } = await this.call('GET', '/tenants?limit=1000');
    return (json['tenants'] as readonly { id: string }[]).map(({ id }) => id);
  }

  /** Registers until one is refused. */
  async registerUntilRefused(prefix: string) {
    for (let i = 0; i < 1_000; i++) {
      const answer = await this.register(`${prefix}-${i}`);
      if (answer.status !== 201) return answer;
    }
    throw new Error('1,000 tenants were registered and none refused');
  }

  async eventLog(): Promise<unknown> {
    const [ready, health] = [await this.call('GET', '/ready'), await this.call('GET', '/health')];
    assert.deepEqual([ready.status, health.status], [200, 200]);
    assert.equal(ready.json['event_log'], health.json['event_log']);
    const { text } = await this.call('GET', '/metrics');
    const [, metric] = /^dbbouncer_event_log_read_only (\d)$/m.exec(text) ?? [];
    assert.equal(metric, ready.json['event_log'] === undefined ? '0' : '1');
    return ready.json['event_log'];
  }

  async takesWritesAgain(id: string): Promise<void> {
    const isTaken = async () => (await this.register(id)).status === 201;
    await eventually('writes are taken again', isTaken);
    assert.equal(await this.eventLog(), undefined);
    assert.match(this.process.log, /the event log takes changes again/);
  }

  /** kill -9, and the next life knows what was acknowledged and nothing else. */
  async survives(): Promise<void> {
    await this.process.kill();
    await this.process.start();
    assert.deepEqual(await this.tenants(), this.acknowledged.toSorted());
    const verified = await this.verify();
    assert.equal(verified.code, 0, verified.stderr);
  }

  verify(): Promise<Ended> {
    return dbbouncer(['verify', '--data-dir', this.process.dataDir]).ended();
  }
}

/** A full disk under a process: a real one where there is one, else the kernel says so. */
async function fillDisk(plane: Plane, disk: SmallDisk | undefined): Promise<() => Promise<void>> {
  if (disk === undefined) {
    const failure = { calls: ['pwrite64'], error: 'ENOSPC', after: 7 } as const;
    return await failDisk(plane.process.pid, plane.log, failure);
  }
  disk.fill();
  return async () => disk.free();
}

const PAGE_BYTES = 4_096;
/** How a page of rows begins. Source: SQLite, "Database File Format" §1.6. */
const TABLE_LEAF = 0x0d;

function overwrite(file: string, at: number, bytes: number): void {
  const handle = openSync(file, 'r+');
  writeSync(handle, Buffer.alloc(bytes, 0xff), 0, bytes, at);
  closeSync(handle);
}

/** All leaves that hold `text`: pages keep what was moved off them. */
function overwriteLeavesWith(file: string, text: string): void {
  const bytes = readFileSync(file);
  let found = 0;
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
    const isLeaf = bytes[at] === TABLE_LEAF;
    if (!isLeaf || !bytes.subarray(at, at + PAGE_BYTES).includes(text)) continue;
    overwrite(file, at, PAGE_BYTES);
    found += 1;
  }
  assert.ok(found > 0, 'a page holds it');
}

// Each waits for processes most of the time.
describe('a control plane', { concurrency: 2 }, () => {
  describe('a full disk', () => {
    it('refuses writes whole with 503, serves the rest, and recovers by itself', async (t) => {
      let disk: SmallDisk | undefined;
      t.after(() => disk?.unmount());
      const plane = await startPlane(t, async (folder) => {
        disk = SmallDisk.mount(join(folder, 'data'), 12);
      });
      await plane.register('first');
      const makeRoom = await fillDisk(plane, disk);
      const refused = await plane.registerUntilRefused('full');
      assert.equal(refused.status, 503);
      assert.equal(refused.json['code'], 'STORE_READ_ONLY');
      assert.equal(refused.headers.get('retry-after'), '2');
      assert.match(
        String(refused.json['detail']),
        /^Nothing was changed\. The disk of \/.* is full/,
      );

      const several = ['x', 'y', 'z'].map((id) => ({ op: 'create', id, body: tenantBody(id) }));
      const batch = await plane.call('POST', '/tenants:batch', { operations: several });
      assert.deepEqual([batch.status, batch.json['code']], [503, 'STORE_READ_ONLY'], batch.text);
      assert.deepEqual(await plane.tenants(), plane.acknowledged.toSorted());
      const { json: fleet } = await plane.call('GET', '/fleet');
      assert.equal((fleet['proxies'] as readonly { status: string }[])[0]?.status, 'live');
      assert.equal(await plane.eventLog(), 'read_only');
      assert.match(plane.process.log, /the event log is read-only: writes are refused/);

      await makeRoom();
      await plane.takesWritesAgain('room');
      await plane.survives();
    });
  });

  describe('a disk that fails while a change is being kept', () => {
    it('has 503 STORE_OUTCOME_UNKNOWN; when writing works again the change is gone', async (t) => {
      const plane = await startPlane(t);
      await plane.register('first');
      const failure = { calls: ['fsync', 'fdatasync'], error: 'EIO' } as const;
      const repair = await failDisk(plane.process.pid, plane.log, failure);
      const { status, json } = await plane.register('lost');
      assert.deepEqual([status, json['code']], [503, 'STORE_OUTCOME_UNKNOWN']);
      const next = await plane.register('next');
      assert.deepEqual([next.status, next.json['code']], [503, 'STORE_READ_ONLY']);
      assert.deepEqual(await plane.tenants(), ['first']);
      await repair();
      await plane.takesWritesAgain('repaired');
      await plane.survives();
    });
  });

  describe('a database that another program holds', () => {
    it('refuses writes naming that program, and takes them when it lets go', async (t) => {
      const plane = await startPlane(t);
      const holder = await holdLock(t, plane);
      const { status, json } = await plane.register('held');
      assert.deepEqual([status, json['code']], [503, 'STORE_READ_ONLY']);
      const holds = `process ${holder.pid} \\(node hold-lock\\.ts\\)`;
      const detail = new RegExp(`dbbouncer\\.db is locked by ${holds}`);
      assert.match(String(json['detail']), detail);
      holder.signal('SIGTERM');
      await holder.ended();
      await plane.takesWritesAgain('free');
    });

    it('keeps a changed config file waiting, which is done when it lets go', async (t) => {
      const file = (folder: string) => join(folder, 'dbbouncer.yaml');
      const listing = (id: string) => `tenants:\n  ${id}: ${JSON.stringify(IN_FILE)}\n`;
      const plane = await startPlane(t, (folder) => writeFile(file(folder), listing('one')));
      const holder = await holdLock(t, plane);
      await writeFile(file(plane.process.folder), listing('two'));
      const state = async () => (await plane.call('GET', '/config-file')).json['state'];
      await eventually('the file is refused', async () => (await state()) === 'rejected');
      holder.signal('SIGTERM');
      await holder.ended();
      await eventually('the file is done', async () => (await state()) === 'applied');
      assert.deepEqual(await plane.tenants(), ['two']);
    });

    it('is refused to a second control plane, which names the first', async (t) => {
      const plane = await startPlane(t);
      const ports = ['--api-port', '0', '--postgres-port', '0', '--metrics-port', '0'];
      const second = dbbouncer(['up', '--data-dir', plane.process.dataDir, ...ports], { env });
      const { code, stderr } = await second.ended();
      assert.equal(code, 1);
      const holder = `process ${plane.process.pid} \\(`;
      assert.match(
        stderr,
        new RegExp(`Another control plane writes to .*dbbouncer\\.db: ${holder}`),
      );
    });
  });

  describe('a damaged database', () => {
    it('keeps a control plane from starting, naming file and cure', async (t) => {
      const plane = await startPlane(t);
      await plane.register('acme');
      await plane.process.stop();
      const file = join(plane.process.dataDir, DATABASE_FILE);
      overwrite(file, 0, 100);
      await assert.rejects(plane.process.start(), ({ message }: Error) => {
        assert.match(message, new RegExp(`dbbouncer: ${file} is damaged\\.`));
        assert.match(message, /dbbouncer verify says [^]* dbbouncer restore/);
        return true;
      });
      const { code, stderr } = await plane.verify();
      assert.deepEqual([code, stderr.includes(`${file} is damaged.`)], [1, true], stderr);
    });

    it('is read as far as it can be, takes no changes, and says so', async (t) => {
      const plane = await startPlane(t);
      for (let i = 0; i < 40; i++) await plane.register(`t${i}`);
      await plane.process.stop();
      const file = join(plane.process.dataDir, DATABASE_FILE);
      overwriteLeavesWith(file, 'TenantRegistered{"origin":"api","tenant":{"database":"t0_db"');
      await plane.process.start();
      const events = await plane.call('GET', '/events');
      assert.deepEqual([events.status, events.json['code']], [503, 'STORE_DAMAGED']);
      assert.match(String(events.json['detail']), new RegExp(`^${file} is damaged\\. dbbouncer`));
      const { status, json } = await plane.register('more');
      assert.deepEqual([status, json['code']], [503, 'STORE_READ_ONLY']);
      assert.deepEqual(await plane.tenants(), plane.acknowledged.toSorted());
      assert.equal(await plane.eventLog(), 'read_only');
    });
  });
});
