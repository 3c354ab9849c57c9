/**
 * What `dbbouncer verify` finds: a flipped byte anywhere in the log, read models that are not what
 * the events say, and a bus that says something else.
 */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import * as fc from 'fast-check';
import { DATABASE_FILE, openCore } from '@dbbouncer/control-plane/core.ts';
import type { ControlPlaneCore } from '@dbbouncer/control-plane/core.ts';
import { openLogOf, reading } from '@dbbouncer/control-plane/maintenance/data-folder.ts';
import { verifyLog } from '@dbbouncer/control-plane/maintenance/verify.ts';
import type { Verdict } from '@dbbouncer/control-plane/maintenance/verify.ts';
import { verifyPublished } from '@dbbouncer/control-plane/maintenance/verify-published.ts';
import { createMemoryBus } from '@dbbouncer/shared/bus/memory-bus.ts';
import { DEFAULT_POOL_SETTINGS } from '@dbbouncer/shared/contract/pool-settings.ts';
import { systemClock } from '@dbbouncer/shared/kernel/clock.ts';
import type { TenantId } from '@dbbouncer/shared/kernel/ids.ts';
import { silentLogger } from '@dbbouncer/shared/kernel/log.ts';
import { META, register, registerAll, temporaryDirectory, update } from './core-harness.ts';
import { EVENT_LOG, published } from './published.ts';

const EVENTS = 7;
const COLUMNS =
  'position stream stream_version type data actor reason request_id occurred_at epoch' +
  ' prev_hash hash';

function open(dataDir: string, bus = createMemoryBus()): ControlPlaneCore {
  return openCore({ dataDir, bus, clock: systemClock, log: silentLogger, durability: 'normal' });
}

async function fill({ commands }: ControlPlaneCore): Promise<void> {
  await commands.handle(register('acme'), { ...META, reason: 'because' });
  await commands.handle(register('beta'), META);
  await commands.handle(update('acme', { port: 6_000 }), { ...META, reason: 'moved' });
  const defaults = { ...DEFAULT_POOL_SETTINGS, pipelineResendRatio: 1e-7 };
  await commands.handle({ kind: 'set_defaults', defaults }, META);
  await commands.handle({ kind: 'remove_tenant', id: 'beta' as TenantId }, META);
  await commands.handle(register('gamma'), META);
  const server = { name: 'main', host: 'db', port: 5432, maxConnections: 50 };
  await commands.handle({ kind: 'set_server', server }, META);
}

const verdictOn = (dataDir: string): Verdict =>
  reading(openLogOf(dataDir), (log) => verifyLog(log));

/** Runs `work` on the database behind everybody's back. */
function tamper<T>(dataDir: string, work: (client: Database.Database) => T): T {
  const client = new Database(join(dataDir, DATABASE_FILE));
  try {
    return work(client);
  } finally {
    client.close();
  }
}

describe('verify', () => {
  let whole: string;
  let scratch: string;
  const cleanups: (() => void)[] = [];
  before(async () => {
    whole = temporaryDirectory({ after: (cleanup) => void cleanups.push(cleanup as () => void) });
    scratch = temporaryDirectory({ after: (cleanup) => void cleanups.push(cleanup as () => void) });
    const core = open(whole);
    await fill(core);
    await core.close();
  });
  after(() => cleanups.forEach((cleanup) => cleanup()));

  /** A copy of the whole log, at the same place for each. */
  function copy(): string {
    const target = join(scratch, DATABASE_FILE);
    for (const name of [`${target}-wal`, `${target}-shm`]) rmSync(name, { force: true });
    copyFileSync(join(whole, DATABASE_FILE), target);
    return scratch;
  }

  it('finds a log whole that nobody touched, and changes no byte of it', () => {
    const file = join(whole, DATABASE_FILE);
    const bytes = readFileSync(file);
    const verdict = verdictOn(whole);
    assert.equal(verdict.outcome, 'whole');
    assert.equal(verdict.position, EVENTS);
    assert.ok(readFileSync(file).equals(bytes));
  });

  it('works beside a control plane, and sees what that has written since', async (t) => {
    const dataDir = temporaryDirectory(t);
    const core = open(dataDir);
    t.after(() => core.close());
    await registerAll(core, 'a', 'b');
    const during: Verdict[] = [];
    const writes: Promise<unknown>[] = [];
    reading(openLogOf(dataDir), (log) => {
      const verdict = verifyLog(log, (position) => {
        if (position === 1) writes.push(core.commands.handle(register('c'), META));
      });
      during.push(verdict);
    });
    await Promise.all(writes);
    assert.deepEqual(
      [...during, verdictOn(dataDir)].map((verdict) => [
        verdict.outcome,
        'position' in verdict && verdict.position,
      ]),
      [
        ['whole', 2],
        ['whole', 3],
      ],
    );
  });

  it('names the position of any byte that is flipped in any column of any event', () => {
    const flips = fc.record({
      position: fc.integer({ min: 1, max: EVENTS }),
      column: fc.constantFrom(...COLUMNS.split(' ')),
      place: fc.nat(),
      mask: fc.integer({ min: 1, max: 255 }),
    });
    let flipped = 0;
    fc.assert(
      fc.property(flips, (flip) => {
        const dataDir = copy();
        if (!tamper(dataDir, (client) => flipByte(client, flip))) return;
        flipped += 1;
        const verdict = verdictOn(dataDir);
        assert.equal(verdict.outcome, 'broken', JSON.stringify(flip));
        assert.equal(verdict.where, `position ${flip.position}`, JSON.stringify(flip));
      }),
      { numRuns: 150 },
    );
    assert.ok(flipped > 100, `${flipped} bytes were flipped`);
  });

  it('finds a byte that JSON takes for the same: 1e-7 written 1E-7', () => {
    const dataDir = copy();
    const sql = "UPDATE events SET data = replace(data, '1e-7', '1E-7') WHERE position = 4";
    tamper(dataDir, (client) => {
      disarm(client);
      assert.equal(client.prepare(sql).run().changes, 1);
    });
    const reason = 'its content does not have its hash';
    assert.deepEqual(verdictOn(dataDir), { outcome: 'broken', where: 'position 4', reason });
  });

  for (const [what, sql, where, reason] of [
    ['a writer that is missing', 'DELETE FROM writer', 'table writer', 'has 0 rows and not one'],
    [
      'a writer of no term',
      'PRAGMA ignore_check_constraints = ON; UPDATE writer SET epoch = 0',
      'table writer',
      'names no term: 0',
    ],
    [
      'two writers',
      'PRAGMA ignore_check_constraints = ON; INSERT INTO writer VALUES (2, 1)',
      'table writer',
      'has 2 rows and not one',
    ],
    [
      'an end that is missing',
      'DELETE FROM events WHERE position > 4',
      'position 5',
      'missing: the read models are of position 7',
    ],
    [
      'an event before the first',
      'UPDATE events SET position = -7 WHERE position = 7',
      'position 7',
      'missing: 1 events lie before the first position',
    ],
    [
      'read models of an earlier event',
      "UPDATE checkpoints SET position = 4 WHERE name LIKE 'read-models/%'",
      'position 5',
      'is not in the read models, which are of position 4',
    ],
    [
      'a tenant that was changed in the read models alone',
      "UPDATE tenants SET data = replace(data, '6000', '6001')",
      'tenants "acme", data.port',
      'is not what the events say',
    ],
    [
      'a tenant that is missing there',
      "DELETE FROM tenants WHERE key = 'gamma'",
      'tenants "gamma"',
      'is not there',
    ],
    [
      'a tenant that no event has registered',
      "INSERT INTO tenants SELECT 'ghost', id, origin, version, position, created_at, updated_at," +
        " search_text, data FROM tenants WHERE key = 'acme'",
      'tenants "ghost"',
      'is there, and no event says so',
    ],
    [
      'defaults that are others there',
      'UPDATE defaults SET data = replace(data, \'"maxConnections":20\', \'"maxConnections":21\')',
      'defaults "1", data.maxConnections',
      'is not what the events say',
    ],
    ['a table that is gone', 'DROP TABLE tenants', 'table tenants', 'is not there'],
  ] as const) {
    it(`names ${where} for ${what}`, () => {
      const dataDir = copy();
      tamper(dataDir, (client) => {
        disarm(client);
        client.exec(sql);
      });
      assert.deepEqual(verdictOn(dataDir), { outcome: 'broken', where, reason });
    });
  }

  for (const [sql, where, reason] of [
    ['DROP INDEX events_by_type', 'index events_by_type', 'is not there'],
    ['DROP TRIGGER events_are_not_deleted', 'trigger events_are_not_deleted', 'is not there'],
    [
      'DROP TRIGGER events_are_not_changed;' +
        ' CREATE TRIGGER events_are_not_changed BEFORE UPDATE ON tenants BEGIN SELECT 1; END',
      'trigger events_are_not_changed',
      'is not what the migrations make it',
    ],
    [
      "CREATE TRIGGER later AFTER INSERT ON api_keys BEGIN UPDATE api_keys SET data = '{}'; END",
      'trigger later',
      'is there, and no migration makes it',
    ],
  ] as const) {
    it(`names ${where}, which ${reason}`, () => {
      const dataDir = copy();
      tamper(dataDir, (client) => client.exec(sql));
      assert.deepEqual(verdictOn(dataDir), { outcome: 'broken', where, reason });
    });
  }

  it('takes JSON of another order in the read models for the same', () => {
    const dataDir = copy();
    const sql =
      "UPDATE tenants SET data = json_insert(json_remove(data, '$.port'), '$.port', 6000)";
    tamper(dataDir, (client) => client.exec(`${sql} WHERE key = 'acme'`));
    assert.equal(verdictOn(dataDir).outcome, 'whole');
  });
});

describe('verify, of the events on the bus', () => {
  it('says how far the bus is behind, and names an event that is another one there', async (t) => {
    const dataDir = temporaryDirectory(t);
    const bus = createMemoryBus();
    t.after(() => bus.close());
    const core = open(dataDir, bus);
    await fill(core);
    await published(core);
    await core.close();
    const log = openLogOf(dataDir);
    t.after(() => log.close());
    const compare = () => verifyPublished(log, bus, systemClock);
    assert.deepEqual(await compare(), { outcome: 'whole', position: EVENTS, behind: 0 });

    const [first] = log.readAll(0, 1);
    await bus.log(EVENT_LOG).append('again', Buffer.from(JSON.stringify(first)));
    assert.deepEqual(await compare(), { outcome: 'whole', position: 1, behind: EVENTS - 1 });

    const [second] = log.readAll(1, 1);
    const other = Buffer.from(JSON.stringify({ ...second, actor: 'mallory' }));
    await bus.log(EVENT_LOG).append('other', other);
    const reason = 'is another event on the bus';
    assert.deepEqual(await compare(), { outcome: 'broken', where: 'position 2', reason });
  });

  it('names an event that only the bus has', async (t) => {
    const bus = createMemoryBus();
    t.after(() => bus.close());
    const more = open(temporaryDirectory(t), bus);
    await registerAll(more, 'a', 'b', 'c');
    await published(more);
    await more.close();
    const dataDir = temporaryDirectory(t);
    await open(dataDir).close();
    const log = openLogOf(dataDir);
    t.after(() => log.close());
    assert.deepEqual(await verifyPublished(log, bus, systemClock), {
      outcome: 'broken',
      where: 'position 1',
      reason: 'is on the bus and not in the log',
    });
  });
});

interface Flip {
  readonly position: number;
  readonly column: string;
  /** Which byte of the value, counted round. */
  readonly place: number;
  readonly mask: number;
}

/** Whether a byte was flipped: an absent reason has none, and no two events share a position. */
function flipByte(client: Database.Database, { position, column, place, mask }: Flip): boolean {
  disarm(client);
  const value: unknown = client
    .prepare(`SELECT ${column} FROM events WHERE position = ?`)
    .pluck()
    .get(position);
  if (value === null) return false;
  const bytes = bytesOf(value);
  const at = place % bytes.length;
  bytes[at] = (bytes[at] ?? 0) ^ mask;
  const isNumber = typeof value === 'number';
  const given = isNumber ? bytes.readBigInt64BE() : bytes;
  const expression = isNumber ? '?' : 'CAST(? AS TEXT)';
  try {
    const sql = `UPDATE events SET ${column} = ${expression} WHERE position = ?`;
    return client.prepare(sql).run(given, position).changes === 1;
  } catch (error) {
    assert.ok(error instanceof Database.SqliteError, String(error));
    assert.match(error.code, /^SQLITE_CONSTRAINT/);
    return false;
  }
}

function bytesOf(value: unknown): Buffer {
  if (typeof value === 'string') return Buffer.from(value);
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value as number));
  return bytes;
}

function disarm(client: Database.Database): void {
  client.exec('DROP TRIGGER events_are_not_changed; DROP TRIGGER events_are_not_deleted');
  client.pragma('ignore_check_constraints = ON');
}
